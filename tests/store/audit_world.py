"""A small audited world: rows of every kind with their leaves, sealed and signed as it goes."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

from tieout import clock
from tieout.finance.digest import digest_bytes
from tieout.store import audit, audit_checkpoints, evidence, records
from tieout.store.audit_keys import public_keys, public_path
from tieout.store.audit_verifier import Key
from tieout.store.audit_verify import Verdict, verify
from tieout.store.database import Connection, Database
from tieout.store.records import Record

LANDSCAPE = "test"


@dataclass
class AuditWorld:
    """A database, the state folder of its landscape, and a seed."""

    database: Database
    state: Path
    random: random.Random = field(default_factory=lambda: random.Random(7))
    made: int = 0

    @property
    def notes(self) -> Path:
        return audit_checkpoints.folder_of(self.state)

    @property
    def keys(self) -> list[Key]:
        return public_keys(public_path(self.state))

    def grow(self, batches: int) -> None:
        """That many transactions, each with a batch of one kind."""
        for _ in range(batches):
            kind = self.random.choice((self.add_records, self.add_proof, self.add_action))
            with self.database.transaction() as connection:
                kind(connection)
        if self.random.random() < 0.3 or not self.made:
            with self.database.transaction() as connection:
                self.add_tie_out(connection)
        self.made += batches

    def add_records(self, connection: Connection) -> None:
        made = [self._record() for _ in range(self.random.randint(1, 5))]
        records.add(connection, made)
        audit.record(connection, "worker", "resolve", evidence.of_records(made))

    def _record(self) -> Record:
        key = f"{self.random.getrandbits(128):032x}"
        body = f'{{"number":"SO-{key[:6]}","total":"{self.random.randint(1, 9999)}.10"}}'
        amount = Decimal(self.random.randint(1, 99999)) / 100
        return Record(
            "sales_order", key, 1, body, digest_bytes(body.encode()), True, "crm", "Order",
            f"006{key[:9]}", "v1", self.random.randint(1, 999), "orders", 1, "h", "NWDE", "EUR",
            amount, clock.now().date(), "2026-03", "won",
        )  # fmt: skip

    def add_proof(self, connection: Connection) -> None:
        """A dispatch and the proof of it, as the engine would have left them."""
        key = f"{self.random.getrandbits(128):032x}"
        row = connection.execute(
            "INSERT INTO intents (write_key, document_id, revision, generation, action, system, "
            "stream, record_type, record_key, record_version, flow, reference, body, digest, "
            "legal_entity, currency, amount, period, mapping, mapping_version, landscape_hash, "
            "rate_ids, planned_at) VALUES (%s, %s, 1, 1, 'create', 'erp', 'invoice', 'invoice', "
            "%s, 1, 'flow', %s, '{}', 'd', 'NWDE', 'EUR', 12.50, '2026-03', 'm', 1, 'h', %s, %s) "
            "RETURNING dispatch_id",
            (f"erp/invoice/{key}/1", self.random.getrandbits(40), key, f"T-{key[:8]}", ["ecb"],
             clock.now()),
        ).fetchone()  # fmt: skip
        assert row is not None
        connection.execute(
            "INSERT INTO proofs (dispatch_id, document_id, verdict, meant, found, target_id, "
            "digest, read_at, legal_entity) VALUES (%s, 1, 'agrees', '{}', '{}', %s, 'x', %s, "
            "'NWDE')",
            (row[0], key[:6], clock.now()),
        )
        leaves = [
            evidence.of_stored(connection, f"dispatch/{row[0]}"),
            evidence.of_stored(connection, f"proof/erp/invoice/{key}/1#{row[0]}"),
        ]
        audit.record(connection, "worker", "prove", leaves)

    def add_action(self, connection: Connection) -> None:
        audit.action(connection, "omar", "replay", {"cases": [self.random.randint(1, 99)]})

    def add_tie_out(self, connection: Connection) -> None:
        row = connection.execute(
            "INSERT INTO tie_outs (name, made_at, made_by, agrees, explained, difference, result, "
            "landscape_hash) VALUES ('bookings', %s, 'omar', false, true, 7.25, '{}', 'h') "
            "RETURNING tie_out_id",
            (clock.now(),),
        ).fetchone()
        assert row is not None
        connection.execute(
            "INSERT INTO breaks VALUES (%s, 'crm', 'erp', 'K1', 'amount', 'NWDE', '2026-03', "
            "'EUR', 10.00, 2.75, 7.25, NULL)",
            (row[0],),
        )
        leaf = evidence.of_stored(connection, f"tie_out/{row[0]}")
        audit.record(connection, "omar", "reconcile", [leaf])

    def seal(self, *, sign: bool = True) -> audit_checkpoints.Sealed:
        return audit_checkpoints.seal_all(self.database, self.state, LANDSCAPE, "sealer", sign=sign)

    def verdict(self) -> Verdict:
        with self.database.transaction() as connection:
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            return verify(connection, self.notes, self.keys)
