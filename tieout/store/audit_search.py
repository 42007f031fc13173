"""Leaves by their subject, without an index that every transaction would have to feed.

A row and its leaf are written in one transaction, so the time of the row says where in the log its
leaf is: first the seconds around it are looked through, then the hour, and only what is not found
even there costs a reading of the whole log.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from tieout.store.database import Connection
from tieout.store.evidence import KINDS, Kind

HASH_BYTES = 32
# How far from its row a leaf is looked for. The clocks of two statements of one transaction are
# moments apart; the second step is what `audit verify` still takes for one transaction.
REACHES = (dt.timedelta(seconds=10), dt.timedelta(hours=1))

Stretch = tuple[dt.datetime, dt.datetime]


@dataclass(frozen=True, slots=True)
class FoundLeaf:
    """Where in the sealed log a leaf is."""

    log_index: int  # -1: not sealed yet
    batch_id: int
    leaf_no: int
    subject: str


def leaves_of(
    subjects: Sequence[str | None] | None, hashes: bytes | None
) -> Iterator[tuple[str, bytes]]:
    """The subjects and hashes of a batch. Where one has no other, an empty one stands for it: a
    batch that was tampered with is judged, not refused."""
    data = bytes(hashes or b"")
    cut = (data[at : at + HASH_BYTES] for at in range(0, len(data), HASH_BYTES))
    for subject, hashed in zip_longest(subjects or (), cut):
        yield subject or "", hashed or b""


def leaves_about(
    connection: Connection, subjects: Sequence[str], size: int, most: int
) -> list[FoundLeaf]:
    """The leaves of these subjects among the first `size` batches of the log, in its order.

    A subject whose row is there is looked for around its time; the whole log is read when one of
    those has no leaf there, or when there is no such row at all.
    """
    times = _times(connection, subjects)
    missing = set(times)
    found: list[FoundLeaf] = []
    for reach in REACHES:
        if not missing:
            break
        stretches = _stretches((at for one in missing for at in times[one]), reach)
        found = _among(found, _look(connection, subjects, stretches))
        missing -= {one.subject for one in found}
        missing -= {
            subject for subject in missing if any(_older(subject, one.subject) for one in found)
        }
    if missing or not times:
        found = _look(connection, subjects, None)
    return [one for one in found if 0 <= one.log_index < size][:most]


def _older(subject: str, found: str) -> bool:
    """Is `found` the subject that this row had before rows were told apart by their numbers?"""
    mark = KINDS[subject.partition("/")[0]].mark
    return bool(mark) and subject.rpartition(mark)[0] == found


def _times(connection: Connection, subjects: Sequence[str]) -> dict[str, list[dt.datetime]]:
    """When the rows of these subjects were written, for those that are there."""
    by_kind: dict[str, list[str]] = defaultdict(list)
    for subject in subjects:
        by_kind[subject.partition("/")[0]].append(subject)
    times: dict[str, list[dt.datetime]] = defaultdict(list)
    for name in by_kind.keys() & KINDS.keys():
        for row in KINDS[name].rows(connection, by_kind[name]):
            times[row.row].append(row.at)
    return times


def _stretches(times: Iterable[dt.datetime], reach: dt.timedelta) -> list[Stretch]:
    """The times with their surroundings, those that touch as one."""
    joined: list[Stretch] = []
    for at in sorted(times):
        if joined and at - reach <= joined[-1][1]:
            joined[-1] = (joined[-1][0], at + reach)
        else:
            joined.append((at - reach, at + reach))
    return joined


def _among(known: Sequence[FoundLeaf], more: Sequence[FoundLeaf]) -> list[FoundLeaf]:
    return sorted({*known, *more}, key=lambda one: (one.log_index, one.leaf_no))


def _look(
    connection: Connection, subjects: Sequence[str], stretches: list[Stretch] | None
) -> list[FoundLeaf]:
    batches = "audit_batches b"
    if stretches is not None:
        batches = (
            "unnest(%(from)s::timestamptz[], %(to)s::timestamptz[]) AS s (low, high) "
            "JOIN audit_batches b ON b.at BETWEEN s.low AND s.high"
        )
    rows = connection.execute(
        "SELECT coalesce(l.log_index, -1), b.batch_id, f.nth - 1, f.subject "
        f"FROM {batches} LEFT JOIN audit_log_leaves l USING (batch_id), "
        "unnest(b.subjects) WITH ORDINALITY AS f (subject, nth) "
        "WHERE b.subjects && %(subjects)s::text[] "
        "AND f.subject = ANY(%(subjects)s::text[]) ORDER BY 1, 3",
        {
            "subjects": list(subjects),
            "from": [low for low, _ in stretches or ()],
            "to": [high for _, high in stretches or ()],
        },
    ).fetchall()
    return [FoundLeaf(int(row[0]), int(row[1]), int(row[2]), str(row[3])) for row in rows]


def without_leaf(connection: Connection, kind: Kind, first: int, most: int) -> list[str]:
    """Rows of this kind, from id `first` on where it has one, whose subject no leaf names; at most
    `most`. One pass over the table and one over the log, in the server."""
    since = f" WHERE {kind.id_column} >= %(first)s" if kind.id_column else ""
    older = ""
    if kind.mark:
        older = (
            " AND NOT EXISTS (SELECT FROM audit_leaves o WHERE o.subject = "
            "left(r.subject, -strpos(reverse(r.subject), %(mark)s)))"
        )
    rows = connection.execute(
        f"SELECT r.subject FROM ({kind.select}{since}) AS r (subject) "
        f"WHERE NOT EXISTS (SELECT FROM audit_leaves l WHERE l.subject = r.subject){older} "
        "ORDER BY 1 LIMIT %(most)s",
        {"first": first, "mark": kind.mark, "most": most},
    ).fetchall()
    return [str(row[0]) for row in rows]
