"""The life of a record: everything we know about it, found by any id of any system.

One function serves `tieout show` and the console. It only reads, every list has a stated bound,
and what was left out beyond a bound is said.
"""

from __future__ import annotations

from tieout.store import life_parts
from tieout.store.database import Connection
from tieout.store.life_search import MOST_MATCHES, Subject, subjects
from tieout.store.life_seen import Life

__all__ = ["MOST_MATCHES", "Life", "life_of"]


def life_of(connection: Connection, any_id: str) -> list[Life]:
    """The records an id belongs to, at most 20, best match first.

    `any_id`: a source key, an id or document number in a target (SO1042), our record key, a
    write key, a reference (salesOrder-006…), an order number or product code, or one of our own
    numbers with its kind (case:12, arrival:7, run:3, dispatch:9, document:4). Case and blanks
    around it do not matter. Rows the connection may not see are not shown.
    """
    lives = [_life(connection, subject) for subject in subjects(connection, any_id)]
    return [one for one in lives if one.arrivals or one.versions or one.cases or one.dispatches]


def _life(connection: Connection, subject: Subject) -> Life:
    left_out: list[str] = []
    versions = life_parts.versions(connection, subject, left_out)
    xrefs = life_parts.xrefs(connection, subject, left_out)
    arrivals = life_parts.arrivals(connection, subject, left_out)
    address = subject.record_key or f"arrival:{subject.arrival_id}"
    return Life(
        address=address,
        title=_title(subject, versions[-1].body if versions else ""),
        found_as=subject.found_as,
        record_type=subject.record_type,
        record_key=subject.record_key,
        arrivals=arrivals,
        versions=life_parts.with_changes(versions),
        runs=life_parts.runs(connection, subject, left_out),
        dispatches=life_parts.dispatches(connection, subject, left_out),
        cases=life_parts.cases_of(connection, subject, left_out),
        xrefs=xrefs,
        left_out=tuple(left_out),
    )


def _title(subject: Subject, body: str) -> str:
    kind = subject.record_type.replace("_", " ").capitalize()
    name = life_parts.name_in(body)
    if kind and name:
        return f"{kind} {name}"
    if kind and not subject.source_key:
        return f"{kind} {subject.record_key[:12]}"
    return " ".join(
        part for part in (kind, subject.system, subject.stream, subject.source_key) if part
    )
