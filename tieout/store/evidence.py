"""What an audit leaf stands for: one row, written out in one way when it is made and when checked.

A row's text is a JSON list of its kind and its columns; the leaf holds the SHA-256 of that text.
What may change later (a dispatch's state, a case) is not in it, what must not change is. Rows from
before this module have leaves over their own digest; they are still recomputed, just less widely.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import msgspec

from tieout.finance.decimals import canonical_decimal
from tieout.store import archive_reading
from tieout.store.database import Connection
from tieout.store.intents import NewDispatch
from tieout.store.proofs import Proof
from tieout.store.records import Record

Leaf = tuple[str, str]  # subject, text

# A leaf is made three times for every record, so its text is written by a compiled encoder. It is
# byte for byte what json.dumps(…, ensure_ascii=False, separators=(",", ":")) gives (a property test
# says so): leaves and exports from before hold on to that text. Columns that the encoder would
# write in another form (numbers, dates) are made plain first, each where it stands.
_ENCODE = msgspec.json.Encoder().encode
_SHA256 = hashlib.sha256
_AS_IT_IS = frozenset((str, int, bool, type(None)))


def row_text(kind: str, columns: Iterable[object]) -> str:
    """The row as it is hashed: what a person can read and anybody can hash again.

    Raises TypeError for a value that no column has (a float), OverflowError for a whole number
    beyond 64 bits.
    """
    return _row_bytes(kind, columns).decode()


def text_of(row: str) -> str:
    """The leaf's text: the digest of the row's."""
    return hashlib.sha256(row.encode()).hexdigest()


def _leaf_text(*columns: str | int | list[str] | None) -> str:
    try:
        return _SHA256(_ENCODE(columns)).hexdigest()
    except TypeError:  # a kind of text of its own, as the slow reader's numbers are
        return _SHA256(_ENCODE([_plain(one) for one in columns])).hexdigest()


def _amount(value: Decimal | None) -> str | None:
    return None if value is None else canonical_decimal(value)


def _row_bytes(kind: str, columns: Iterable[object]) -> bytes:
    said = [one if type(one) in _AS_IT_IS else _plain(one) for one in columns]
    return _ENCODE([f"{kind}/1", *said])


def _plain(value: object) -> object:
    if isinstance(value, Decimal):
        return canonical_decimal(value)
    if isinstance(value, dt.datetime):
        return value.astimezone(dt.UTC).isoformat()
    if isinstance(value, dt.date):
        return value.isoformat()
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    if value is None or type(value) is bool:
        return value
    if isinstance(value, str):
        return str.__str__(value)  # the encoder takes no kinds of text, as an enumeration is one
    if isinstance(value, int):
        return int(value)
    raise TypeError(f"a {type(value).__name__} has no place in an audit leaf")


def of_records(records: Sequence[Record]) -> list[Leaf]:
    """The leaves of record versions: every column but the time of storing."""
    return [
        (
            f"record/{r.record_type}/{r.record_key}/{r.version}",
            _leaf_text(
                "record/1", r.record_type, r.record_key, r.version, r.body, r.digest, r.in_scope,
                r.system, r.stream, r.source_key, r.source_version, r.arrival_id,
                r.mapping, r.mapping_version, r.landscape_hash, r.legal_entity,
                r.currency, _amount(r.amount),
                None if r.accounting_date is None else r.accounting_date.isoformat(),
                r.period, r.status,
            ),
        )
        for r in records
    ]  # fmt: skip


def of_proofs(proofs: Sequence[Proof]) -> list[Leaf]:
    """The leaves of proofs: what was meant, what was found, and the verdict."""
    return [
        (
            f"proof/{p.dispatch.write_key}#{p.dispatch.dispatch_id}",
            _leaf_text(
                "proof/1", p.dispatch.write_key, p.dispatch.dispatch_id, p.dispatch.document_id,
                "agrees" if p.agrees else "differs", p.meant, p.found, p.differences,
                p.target_id, p.number, p.digest, p.dispatch.legal_entity,
            ),
        )
        for p in proofs
    ]  # fmt: skip


def of_dispatches(plans: Sequence[NewDispatch], ids: Sequence[int]) -> list[Leaf]:
    """The leaves of intents: what was to be written where, before anything left."""
    return [
        (
            f"dispatch/{dispatch_id}",
            _leaf_text(
                "dispatch/1", dispatch_id, n.write_key, n.document.document_id, n.revision,
                n.generation, n.action, n.document.system, n.document.stream,
                n.document.record_type, n.document.record_key, n.record_version, n.flow,
                n.reference, n.body, n.digest, n.legal_entity, n.currency, _amount(n.amount),
                n.period, n.mapping, n.mapping_version, n.landscape_hash, list(n.rate_ids),
            ),
        )
        for dispatch_id, n in zip(ids, plans, strict=True)
    ]  # fmt: skip


def of_stored(connection: Connection, subject: str) -> Leaf:
    """The leaf of a row that was just stored, by its subject (tie_out/12, action/replay/7).

    Raises LookupError when there is no such row.
    """
    kind = KINDS[subject.partition("/")[0]]
    for row in kind.rows(connection, [subject]):
        return subject, text_of(row.text)
    raise LookupError(f"no row for the audit leaf {subject}")


@dataclass(frozen=True, slots=True)
class Stored:
    """A row as it is now. `older` is what leaves from before this module were made of; `row` names
    the row where several older ones share a subject."""

    subject: str
    at: dt.datetime
    text: str
    older: str
    row: str


@dataclass(frozen=True, slots=True)
class Kind:
    """How rows of one table are read back by their subjects.

    `select` gives subject, time, older text, then the columns; `chosen` picks by a list of keys.
    """

    name: str
    table: str
    select: str
    chosen: str
    key: Callable[[str], object]
    older_chosen: str = ""  # subjects of before this module, without a number at their end
    mark: str = ""  # what stands before that number
    id_column: str = ""  # rows with a smaller one than any that has a leaf are from before
    archived: Callable[[Connection, Sequence[Any]], list[tuple[Any, ...]]] | None = None

    def rows(self, connection: Connection, subjects: Sequence[str]) -> list[Stored]:
        """The rows of these subjects; several for one are possible (an older proof's)."""
        keyed = [key for key in map(self.key, subjects) if key is not None]
        found = connection.execute(f"{self.select} WHERE {self.chosen}", (keyed,)).fetchall()
        if self.archived:
            found += self.archived(connection, keyed)
        stored = [self._stored(row) for row in found]
        older = [_rest(one) for one in subjects if self.older_chosen and self.key(one) is None]
        if older:
            found = connection.execute(
                f"{self.select} WHERE {self.older_chosen}", (older,)
            ).fetchall()
            if self.archived:
                found += self.archived(connection, _dispatches(connection, older))
            rows = map(self._stored, found)
            stored += [
                Stored(one.subject.rpartition(self.mark)[0], one.at, "", one.older, one.subject)
                for one in rows
            ]
        return stored

    def away(self, connection: Connection) -> int:
        """How many rows are in the archive, and not in the table any more."""
        row = connection.execute(
            "SELECT coalesce(sum(rows), 0) FROM archived_months WHERE table_name = %s "
            "AND expired_at IS NULL",
            (self.table,),
        ).fetchone()
        return int(row[0]) if row else 0

    def _stored(self, row: Sequence[Any]) -> Stored:
        text = row_text(self.name, row[3:])
        return Stored(str(row[0]), row[1], text, str(row[2]), str(row[0]))


def _number(subject: str) -> int | None:
    last = re.split("[/#]", subject)[-1]
    return int(last) if last.isdigit() and len(last) < 19 else None


def _record(subject: str) -> str | None:
    parts = subject.split("/")
    known = len(parts) == 4 and parts[3].isdigit() and len(parts[3]) < 10
    return "/".join(parts[1:]) if known else None


def _rest(subject: str) -> str:
    return subject.partition("/")[2]


def _dispatches(connection: Connection, write_keys: Sequence[str]) -> list[int]:
    found = connection.execute(
        "SELECT dispatch_id FROM intents WHERE write_key = ANY(%s)", (list(write_keys),)
    ).fetchall()
    return [int(row[0]) for row in found]


def _archived_proofs(connection: Connection, dispatch_ids: Sequence[Any]) -> list[tuple[Any, ...]]:
    """Proofs that left for the archive, with the write keys that the register keeps. A file that is
    not what was written has none: whoever verifies says so once (`audit_archive`)."""
    rows = archive_reading.rows(
        connection, "proofs", [int(one) for one in dispatch_ids], lambda _: None
    )
    keys: dict[int, str] = dict(
        connection.execute(
            "SELECT dispatch_id, write_key FROM dispatches WHERE dispatch_id = ANY(%s)",
            ([row["dispatch_id"] for row in rows],),
        ).fetchall()
    )
    return [
        (
            f"proof/{keys[row['dispatch_id']]}#{row['dispatch_id']}",
            row["read_at"],
            row["digest"],
            keys[row["dispatch_id"]],
            *(row[name] for name in _PROOF_COLUMNS),
        )
        for row in rows
        if row["dispatch_id"] in keys
    ]


_PROOF_COLUMNS = (
    "dispatch_id", "document_id", "verdict", "meant", "found", "differences", "target_id",
    "number", "digest", "legal_entity",
)  # fmt: skip

KINDS: dict[str, Kind] = {
    one.name: one
    for one in (
        Kind(
            "record",
            "records",
            "SELECT 'record/' || record_type || '/' || record_key || '/' || version, recorded_at, "
            "digest, record_type, record_key, version, body, digest, in_scope, system, stream, "
            "source_key, source_version, arrival_id, mapping, mapping_version, landscape_hash, "
            "legal_entity, currency, amount, accounting_date, period, status FROM records",
            "(record_type, record_key, version) IN (SELECT split_part(s, '/', 1), "
            "split_part(s, '/', 2), split_part(s, '/', 3)::int FROM unnest(%s::text[]) s)",
            _record,
        ),
        Kind(
            "proof",
            "proofs",
            "SELECT 'proof/' || d.write_key || '#' || d.dispatch_id, p.read_at, p.digest, "
            "d.write_key, p.dispatch_id, "
            "p.document_id, p.verdict, p.meant, p.found, p.differences, p.target_id, p.number, "
            "p.digest, p.legal_entity FROM proofs p JOIN intents d USING (dispatch_id)",
            "p.dispatch_id = ANY(%s::bigint[])",
            lambda subject: _number(subject) if "#" in subject else None,
            "d.write_key = ANY(%s::text[])",
            "#",
            archived=_archived_proofs,
        ),
        Kind(
            "dispatch",
            "intents",
            "SELECT 'dispatch/' || dispatch_id, planned_at, '', dispatch_id, write_key, "
            "document_id, revision, generation, action, system, stream, record_type, record_key, "
            "record_version, flow, reference, body, digest, legal_entity, currency, amount, "
            "period, mapping, mapping_version, landscape_hash, rate_ids FROM intents",
            "dispatch_id = ANY(%s::bigint[])",
            _number,
            id_column="dispatch_id",
        ),
        Kind(
            "tie_out",
            "tie_outs",
            "SELECT 'tie_out/' || t.tie_out_id, t.made_at, t.result, t.tie_out_id, t.name, "
            "t.made_at, t.made_by, t.agrees, t.explained, t.difference, t.result, "
            "t.landscape_hash, (SELECT coalesce(array_agg(b::text ORDER BY b::text), '{}') "
            "FROM breaks b WHERE b.tie_out_id = t.tie_out_id) FROM tie_outs t",
            "t.tie_out_id = ANY(%s::bigint[])",
            _number,
        ),
        Kind(
            "action",
            "actions",
            "SELECT 'action/' || verb || '/' || action_id, at, detail, action_id, at, actor, "
            "verb, detail FROM actions",
            "action_id = ANY(%s::bigint[])",
            _number,
            "verb = ANY(%s::text[])",
            "/",
        ),
    )
}
