"""Ways to tamper with an audited database as its superuser: each changes something for certain."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import psycopg
from psycopg import sql

from tieout.store import audit_log, evidence
from tieout.store.audit_verifier import Range, batch_content, leaf_hash, root_of

Superuser = psycopg.Connection[tuple[Any, ...]]
Tampering = Callable[[Superuser, random.Random], None]

EDITS = (
    ("records", "body", "body || ' '"),
    ("records", "amount", "coalesce(amount, 0) + 0.01"),
    ("records", "legal_entity", "'NWUK'"),
    ("records", "period", "'2026-04'"),
    ("proofs", "found", "found || ' '"),
    ("proofs", "verdict", "CASE verdict WHEN 'agrees' THEN 'differs' ELSE 'agrees' END"),
    ("proofs", "read_at", "read_at - interval '2 days'"),
    ("intents", "body", "body || ' '"),
    ("intents", "amount", "amount * 2"),
    ("tie_outs", "agrees", "NOT agrees"),
    ("tie_outs", "result", "result || ' '"),
    ("breaks", "difference", "difference + 1"),
    ("actions", "actor", "'nobody'"),
    ("actions", "at", "at - interval '1 day'"),
    ("audit_batches", "at", "at - interval '1 second'"),
    ("audit_batches", "actor", "actor || 'x'"),
    ("audit_batches", "root", "sha256(root)"),
    ("audit_batches", "leaf_hashes", "set_byte(leaf_hashes, 0, 255 - get_byte(leaf_hashes, 0))"),
    ("audit_batches", "leaf_hashes", "substr(leaf_hashes, 2)"),
    ("audit_batches", "subjects[1]", "subjects[1] || '0'"),
    ("audit_batches", "subjects[1]", "NULL"),
    ("audit_batches", "leaves", "leaves + 1"),
    ("audit_log_leaves", "leaf_hash", "sha256(leaf_hash)"),
    ("audit_log_nodes", "hash", "sha256(hash)"),
    ("audit_checkpoints", "note", "replace(note, 'at 2', 'at 1')"),
)
EVIDENCE = ("records", "proofs", "intents", "tie_outs", "actions", "breaks")
LOG = ("audit_batches", "audit_log_leaves", "audit_log_nodes")


def some_row(connection: Superuser, table: str, chance: random.Random) -> tuple[int, int]:
    """The place (ctid) of one row and how many there are."""
    rows = connection.execute(
        sql.SQL("SELECT ctid::text FROM {} ORDER BY ctid").format(sql.Identifier(table))
    ).fetchall()
    return chance.choice(rows)[0], len(rows)


def edit(connection: Superuser, chance: random.Random) -> None:
    table, column, new = chance.choice(EDITS)
    place, _ = some_row(connection, table, chance)
    query = sql.SQL("UPDATE {} SET {} = {} WHERE ctid = %s::tid").format(
        sql.Identifier(table), sql.SQL(column), sql.SQL(new)
    )
    assert connection.execute(query, (place,)).rowcount == 1


def delete(connection: Superuser, chance: random.Random) -> None:
    table = chance.choice((*EVIDENCE, *LOG, "a leaf"))
    if table == "a leaf":
        cut_leaf(connection, chance)
        return
    place, _ = some_row(connection, table, chance)
    query = sql.SQL("DELETE FROM {} WHERE ctid = %s::tid").format(sql.Identifier(table))
    assert connection.execute(query, (place,)).rowcount == 1


def insert_row(connection: Superuser, chance: random.Random) -> None:
    """A row of evidence that was never audited."""
    statement = chance.choice(
        (
            "INSERT INTO actions (at, actor, verb, detail) SELECT at, actor, verb, detail "
            "FROM actions LIMIT 1",
            "INSERT INTO proofs (dispatch_id, document_id, verdict, meant, found, target_id, "
            "digest, read_at, legal_entity) SELECT dispatch_id, document_id, verdict, meant, "
            "found, target_id, digest, read_at, legal_entity FROM proofs LIMIT 1",
            "INSERT INTO records SELECT record_type, record_key, version + 1, body, digest, "
            "in_scope, system, stream, source_key, source_version, arrival_id, mapping, "
            "mapping_version, landscape_hash, legal_entity, currency, amount, accounting_date, "
            "period, status, recorded_at FROM records LIMIT 1",
            "INSERT INTO breaks SELECT tie_out_id, left_side, right_side, 'K2', kind, "
            "legal_entity, period, currency, left_amount, right_amount, difference, case_id "
            "FROM breaks LIMIT 1",
        )
    )
    assert connection.execute(statement).rowcount == 1


def cut_leaf(connection: Superuser, chance: random.Random) -> None:
    """A leaf is taken out of its batch: its subject, its hash, or both."""
    place, _ = some_row(connection, "audit_batches", chance)
    subject, hashed = chance.choice(((1, 0), (0, 32), (1, 32)))
    cut = (
        "UPDATE audit_batches SET subjects = trim_array(subjects, %s), "
        "leaf_hashes = substr(leaf_hashes, 1, length(leaf_hashes) - %s) WHERE ctid = %s::tid"
    )
    assert connection.execute(cut, (subject, hashed, place)).rowcount == 1


def insert_leaf(connection: Superuser, chance: random.Random) -> None:
    """A leaf more in a batch: with its hash, or a name alone, or a hash alone."""
    place, _ = some_row(connection, "audit_batches", chance)
    name, hashed = chance.choice((("{record/x/y/1}", b"x" * 32), ("{x}", b""), ("{}", b"x" * 32)))
    added = (
        "UPDATE audit_batches SET subjects = subjects || %s::text[], "
        "leaf_hashes = leaf_hashes || %s WHERE ctid = %s::tid"
    )
    assert connection.execute(added, (name, hashed, place)).rowcount == 1


def insert_batch(connection: Superuser, chance: random.Random) -> None:
    """A whole batch, well made, dated back a day and not in the log."""
    leaf = leaf_hash(b"record/x/y/1\nforged")
    connection.execute(
        "INSERT INTO audit_batches (at, actor, action, leaves, root, written_by, subjects, "
        "leaf_hashes) SELECT min(at) - interval '1 day', 'worker', 'resolve', 1, %s, '1', "
        "'{note/x}', %s FROM audit_batches",
        (root_of([leaf]), leaf),
    )


def swap(connection: Superuser, chance: random.Random) -> None:
    """Two entries of the log, or two leaves of one batch, change places."""
    if chance.random() < 0.5:
        connection.execute(
            "UPDATE audit_log_leaves SET batch_id = -batch_id, log_index = log_index "
            "WHERE log_index IN (0, 1)"
        )
        connection.execute(
            "UPDATE audit_log_leaves l SET batch_id = -o.batch_id FROM audit_log_leaves o "
            "WHERE l.log_index IN (0, 1) AND o.log_index = 1 - l.log_index"
        )
        return
    rows = connection.execute("SELECT batch_id FROM audit_batches WHERE leaves > 1").fetchall()
    swapped = (
        "UPDATE audit_batches SET subjects = subjects[2:2] || subjects[1:1] || subjects[3:], "
        "leaf_hashes = substr(leaf_hashes, 33, 32) || substr(leaf_hashes, 1, 32) || "
        "substr(leaf_hashes, 65) WHERE batch_id = %s"
    )
    assert connection.execute(swapped, chance.choice(rows)).rowcount == 1


def truncate(connection: Superuser, chance: random.Random) -> None:
    """The last entries go, tree and seals and all they spoke of with them, consistently."""
    size = audit_log.newest(connection).size
    shorten(connection, size - chance.randint(1, size // 2))


def shorten(connection: Superuser, size: int) -> None:
    """The log and everything that it speaks of, as if the rest had never been."""
    gone = connection.execute(
        "SELECT f.subject FROM audit_leaves f LEFT JOIN audit_log_leaves l USING (batch_id) "
        "WHERE l.log_index >= %s OR l.log_index IS NULL",
        (size,),
    ).fetchall()
    ids: dict[str, list[str]] = {}
    for (subject,) in gone:
        kind, _, rest = str(subject).partition("/")
        last = rest.rpartition("#")[2] if kind == "proof" else rest.rpartition("/")[2]
        ids.setdefault(kind, []).append(rest.split("/")[1] if kind == "record" else last)
    for kind, table, column in (
        ("record", "records", "record_key"),
        ("proof", "proofs", "dispatch_id"),
        ("dispatch", "intents", "dispatch_id"),
        ("tie_out", "tie_outs", "tie_out_id"),
        ("tie_out", "breaks", "tie_out_id"),
        ("action", "actions", "action_id"),
    ):
        query = sql.SQL("DELETE FROM {} WHERE {}::text = ANY(%s)").format(
            sql.Identifier(table), sql.Identifier(column)
        )
        connection.execute(query, (ids.get(kind, []),))
    connection.execute(
        "DELETE FROM audit_batches WHERE batch_id NOT IN "
        "(SELECT batch_id FROM audit_log_leaves WHERE log_index < %s)",
        (size,),
    )
    connection.execute("DELETE FROM audit_log_leaves WHERE log_index >= %s", (size,))
    rebuild(connection)


def rewrite(connection: Superuser, chance: random.Random) -> None:
    """A record is changed, and every hash above it is recomputed, up to the root."""
    place, _ = some_row(connection, "records", chance)
    row = connection.execute(
        "UPDATE records SET amount = amount + 1 WHERE ctid = %s::tid "
        "RETURNING 'record/' || record_type || '/' || record_key || '/' || version",
        (place,),
    ).fetchone()
    assert row is not None
    subject, text = evidence.of_stored(connection, str(row[0]))
    changed = connection.execute(
        "SELECT batch_id, leaf_no FROM audit_leaves WHERE subject = %s", (subject,)
    ).fetchone()
    assert changed is not None
    connection.execute(
        "UPDATE audit_batches SET leaf_hashes = overlay(leaf_hashes PLACING %s FROM %s) "
        "WHERE batch_id = %s",
        (leaf_hash(f"{subject}\n{text}".encode()), 32 * changed[1] + 1, changed[0]),
    )
    leaves = connection.execute(
        "SELECT leaf_hash FROM audit_leaves WHERE batch_id = %s ORDER BY leaf_no", changed[:1]
    ).fetchall()
    batch = connection.execute(
        "UPDATE audit_batches SET root = %s WHERE batch_id = %s "
        "RETURNING batch_id, at, actor, action, leaves, root",
        (root_of(bytes(leaf) for (leaf,) in leaves), changed[0]),
    ).fetchone()
    assert batch is not None
    connection.execute(
        "UPDATE audit_log_leaves SET leaf_hash = %s WHERE batch_id = %s",
        (leaf_hash(batch_content(audit_log.entry(batch))), changed[0]),
    )
    rebuild(connection)


def rebuild(connection: Superuser) -> None:
    """Every hash above the leaves of the log, and the last seal."""
    tree = Range()
    connection.execute("DELETE FROM audit_log_nodes")
    leaves = connection.execute(
        "SELECT leaf_hash FROM audit_log_leaves ORDER BY log_index"
    ).fetchall()
    nodes = [node for (leaf,) in leaves for node in tree.append(bytes(leaf))]
    with connection.cursor() as cursor:
        cursor.executemany("INSERT INTO audit_log_nodes VALUES (%s, %s, %s)", nodes)
    connection.execute(
        "UPDATE audit_seals SET size = %s, root = %s WHERE seal_id = "
        "(SELECT max(seal_id) FROM audit_seals)",
        (tree.size, tree.root()),
    )


TAMPERINGS: tuple[Tampering, ...] = (
    edit, edit, edit, delete, delete, insert_row, insert_leaf, insert_batch, swap, truncate,
    rewrite,
)  # fmt: skip
