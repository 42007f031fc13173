"""The sealed audit log: batches, in an order that commits cannot disturb, become one Merkle tree.

One process seals at a time. A transaction draws its batch number early and commits late, so
numbers are no safe order: a batch is sealed once every transaction that was older than it, or ran
when it was looked at, is over (`pg_snapshot_xmin`). What is sealed once keeps its place for ever.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tieout import clock
from tieout.store import audit_tree
from tieout.store.audit_tree import Node
from tieout.store.audit_verifier import Range, batch_content, leaf_hash
from tieout.store.database import Connection

SEALER_LOCK = 7_408_311_906  # any fixed number: one sealer at a time
MOST_PER_SEAL = 20_000

# Every transaction below xmin is over and visible. A number at or above xmax that is visible all
# the same was drawn in an earlier life of the database: it was restored into a younger server.
_UNSEALED = (
    "FROM audit_batches b WHERE NOT EXISTS "
    "(SELECT FROM audit_log_leaves l WHERE l.batch_id = b.batch_id)"
)
_SETTLED = (
    " AND (b.written_by IS NULL OR b.written_by < pg_snapshot_xmin(pg_current_snapshot()) "
    "OR b.written_by >= pg_snapshot_xmax(pg_current_snapshot()))"
)


class AuditBroken(Exception):
    """The log must not be continued as it is. Says what is wrong and what to do."""


@dataclass(frozen=True, slots=True)
class Seal:
    """The state of the log: its size in batches and its root."""

    size: int
    root: bytes
    horizon: str
    sealed_at: dt.datetime | None
    added: int = 0


def instant(at: dt.datetime) -> str:
    """An instant as the log writes it: UTC, always with microseconds, so that text sorts."""
    return at.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def entry(row: Sequence[Any]) -> dict[str, Any]:
    """A batch as the log sees it, from batch_id, at, actor, action, leaves, root."""
    return {
        "batch_id": int(row[0]),
        "at": instant(row[1]),
        "actor": str(row[2]),
        "action": str(row[3]),
        "count": int(row[4]),
        "root": bytes(row[5]).hex(),
    }


def lock(connection: Connection, *, wait: bool = True) -> bool:
    """Become the only sealer until the transaction ends; False if another is and we do not wait."""
    if wait:
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (SEALER_LOCK,))
        return True
    row = connection.execute("SELECT pg_try_advisory_xact_lock(%s)", (SEALER_LOCK,)).fetchone()
    return bool(row and row[0])


def newest(connection: Connection) -> Seal:
    """The log as it was last sealed."""
    row = connection.execute(
        "SELECT size, root, horizon::text, sealed_at FROM audit_seals ORDER BY seal_id DESC LIMIT 1"
    ).fetchone()
    if row is None:
        return Seal(0, Range().root(), "0", None)
    return Seal(int(row[0]), bytes(row[1]), str(row[2]), row[3])


def waiting(connection: Connection) -> int:
    """How many committed batches are not in the log yet."""
    row = connection.execute(f"SELECT count(*) {_UNSEALED}").fetchone()
    return int(row[0]) if row else 0


def seal(connection: Connection, actor: str, *, sweep: bool = False) -> Seal:
    """Append what is settled to the log, in the caller's transaction; the caller holds the lock.

    At most MOST_PER_SEAL batches; call again while that many were added. `sweep` looks at every
    batch instead of those since the last seal: right after a start, a restore or an upgrade.
    Raises AuditBroken when the stored tree does not give the root of the last seal.
    """
    last = newest(connection)
    tree = tree_at(connection, last.size)
    if tree.root() != last.root:
        raise AuditBroken(
            f"the stored tree does not give the root of the last seal ({last.size} batches): rows "
            "were changed. Nothing is sealed on top of it; `tieout audit verify` says where"
        )
    since = "" if sweep else " AND b.written_by >= %(horizon)s::xid8"
    rows = connection.execute(
        f"SELECT b.batch_id, b.at, b.actor, b.action, b.leaves, b.root {_UNSEALED}{since}{_SETTLED}"
        " ORDER BY b.batch_id LIMIT %(most)s",
        {"horizon": last.horizon, "most": MOST_PER_SEAL},
    ).fetchall()
    if not rows and not sweep:
        return last
    hashes = [leaf_hash(batch_content(entry(row))) for row in rows]
    _store(connection, tree, [int(row[0]) for row in rows], hashes)
    horizon = last.horizon if len(rows) == MOST_PER_SEAL else _settled_horizon(connection, last)
    if rows or horizon != last.horizon:
        connection.execute(
            "INSERT INTO audit_seals (size, root, horizon, sealed_at, sealed_by) "
            "VALUES (%s, %s, %s::xid8, %s, %s)",
            (tree.size, tree.root(), horizon, clock.now(), actor),
        )
    return Seal(tree.size, tree.root(), horizon, clock.now(), len(rows))


def _settled_horizon(connection: Connection, last: Seal) -> str:
    """From where the next seal has to look: the oldest transaction that is unsealed or running.

    Read in a later snapshot than the batches were: what became visible in between counts as well.
    """
    row = connection.execute(
        "SELECT least(pg_snapshot_xmin(pg_current_snapshot()), min(b.written_by))::text "
        f"{_UNSEALED} AND (b.written_by >= %s::xid8 OR b.written_by IS NULL)",
        (last.horizon,),
    ).fetchone()
    return str(row[0]) if row else last.horizon


def _store(
    connection: Connection, tree: Range, batch_ids: Sequence[int], hashes: Sequence[bytes]
) -> None:
    first = tree.size
    nodes = [node for hashed in hashes for node in tree.append(hashed)]
    connection.execute(
        "INSERT INTO audit_log_leaves (log_index, batch_id, leaf_hash) "
        "SELECT %s + t.nth - 1, t.batch_id, t.hash "
        "FROM unnest(%s::bigint[], %s::bytea[]) WITH ORDINALITY AS t (batch_id, hash, nth)",
        (first, list(batch_ids), list(hashes)),
    )
    connection.execute(
        "INSERT INTO audit_log_nodes (level, node_index, hash) "
        "SELECT * FROM unnest(%s::smallint[], %s::bigint[], %s::bytea[])",
        ([node[0] for node in nodes], [node[1] for node in nodes], [node[2] for node in nodes]),
    )


def hashes_of(connection: Connection, nodes: Sequence[Node]) -> dict[Node, bytes]:
    """The stored hashes of these subtrees; leaves are level 0. What is missing is left out."""
    rows = connection.execute(
        "SELECT 0, log_index, leaf_hash FROM audit_log_leaves WHERE log_index = ANY(%s) UNION ALL "
        "SELECT n.level, n.node_index, n.hash FROM audit_log_nodes n "
        "JOIN unnest(%s::smallint[], %s::bigint[]) AS t (level, node_index) "
        "ON n.level = t.level AND n.node_index = t.node_index",
        (
            [index for level, index in nodes if level == 0],
            [level for level, _ in nodes if level],
            [index for level, index in nodes if level],
        ),
    ).fetchall()
    return {(int(level), int(index)): bytes(hashed) for level, index, hashed in rows}


def tree_at(connection: Connection, size: int) -> Range:
    """The tree as it was at `size`, from O(log n) stored hashes. Raises AuditBroken."""
    wanted = audit_tree.peaks(0, size)
    stored = hashes_of(connection, wanted)
    missing = [node for node in wanted if node not in stored]
    if missing:
        raise AuditBroken(
            f"the stored tree has no node {missing[0]} of its first {size} batches: rows were "
            "removed, or a backup was restored. `tieout audit verify` says where"
        )
    return Range(size, [stored[node] for node in wanted])


def inclusion_path(connection: Connection, index: int, size: int) -> list[bytes]:
    """Proves entry `index` to be part of the log of `size`. Raises AuditBroken, ValueError."""
    return _path(connection, audit_tree.inclusion(index, size))


def consistency_path(connection: Connection, old_size: int, size: int) -> list[bytes]:
    """Proves the log of `old_size` to begin that of `size`. Raises AuditBroken, ValueError."""
    return _path(connection, audit_tree.consistency(old_size, size))


def _path(connection: Connection, stretches: Sequence[audit_tree.Stretch]) -> list[bytes]:
    stored = hashes_of(connection, audit_tree.nodes_of(stretches))
    try:
        return [audit_tree.hash_of(stretch, stored) for stretch in stretches]
    except KeyError as missing:
        raise AuditBroken(
            f"the stored tree has no node {missing}; `tieout audit verify` says where it was cut"
        ) from missing
