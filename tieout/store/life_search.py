"""From any id of any system to the records it belongs to."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Sequence
from dataclasses import dataclass

from tieout.store import archive_reading
from tieout.store.archive_files import ArchiveBroken
from tieout.store.database import Connection

MOST_MATCHES = 20
MOST_CHARACTERS = 400

_OWN_NUMBER = re.compile(r"(case|arrival|run|dispatch|document|proof|record)[:/# ]\s*(.+)", re.I)
_GREATEST_BIGINT = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Subject:
    """What a search found: a record, or a row of a source that has not become one."""

    record_type: str
    record_key: str
    found_as: str
    arrival_id: int = 0
    system: str = ""
    stream: str = ""
    source_key: str = ""


_OWN: dict[str, str] = {
    "case": "SELECT record_type, record_key, coalesce(arrival_id, 0), system, stream, source_key "
    "FROM cases WHERE case_id = %(id)s",
    "arrival": "SELECT record_type, record_key, arrival_id, system, stream, source_key "
    "FROM arrivals WHERE arrival_id = %(id)s",
    "run": "SELECT record_type, record_key, 0, '', '', '' FROM runs WHERE run_id = %(id)s",
    "dispatch": "SELECT record_type, record_key, 0, '', '', '' FROM dispatches "
    "WHERE dispatch_id = %(id)s",
    "document": "SELECT record_type, record_key, 0, '', '', '' FROM documents "
    "WHERE document_id = %(id)s",
    "proof": "SELECT d.record_type, d.record_key, 0, '', '', '' FROM proofs p "
    "JOIN dispatches d USING (dispatch_id) WHERE p.proof_id = %(id)s",
}

# Each line is one place where an id can stand; every one of them has an index.
_ANYWHERE = """
SELECT * FROM (
    SELECT 1 AS rank, 'our record key' AS found_as, record_type, record_key,
           0::bigint AS arrival_id, '' AS system, '' AS stream, '' AS source_key
      FROM xrefs WHERE record_key = ANY(%(ids)s)
    UNION ALL
    SELECT 2, 'id in ' || system, record_type, record_key, 0, '', '', ''
      FROM xrefs WHERE external_id = ANY(%(ids)s)
    UNION ALL
    SELECT 3, 'document number in ' || system, record_type, record_key, 0, '', '', ''
      FROM xrefs WHERE number <> '' AND number = ANY(%(ids)s)
    UNION ALL
    SELECT 5, 'number', record_type, record_key, 0, '', '', ''
      FROM records WHERE number = ANY(%(ids)s)
    UNION ALL
    SELECT 6, 'reference in ' || system, record_type, record_key, 0, '', '', ''
      FROM intents WHERE reference = ANY(%(ids)s)
    UNION ALL
    SELECT 6, 'write key', d.record_type, d.record_key, 0, '', '', ''
      FROM write_keys k JOIN intents d USING (dispatch_id) WHERE k.write_key = ANY(%(ids)s)
    UNION ALL
    SELECT 8, 'case about ' || system || ' ' || stream, record_type, record_key,
           coalesce(arrival_id, 0), system, stream, source_key
      FROM cases WHERE source_key = ANY(%(ids)s) AND source_key <> ''
    UNION ALL
    SELECT 8, 'case about our record key', record_type, record_key, coalesce(arrival_id, 0),
           system, stream, source_key
      FROM cases WHERE record_key = ANY(%(ids)s) AND record_key <> ''
    UNION ALL
    SELECT 9, 'id in ' || system, record_type, record_key, arrival_id, system, stream, source_key
      FROM arrivals WHERE source_key = ANY(%(ids)s)
) AS found
ORDER BY rank, record_type, record_key, arrival_id DESC
LIMIT 500
"""


def subjects(connection: Connection, any_id: str) -> list[Subject]:
    """What this id belongs to, best match first, each subject once, at most MOST_MATCHES."""
    text = any_id.strip().replace("\x00", "")[:MOST_CHARACTERS]
    if not text:
        return []
    own = _OWN_NUMBER.fullmatch(text)
    if own is not None:
        kind, rest = own[1].lower(), own[2].strip()
        if kind in _OWN and rest.isascii() and rest.isdigit() and int(rest) <= _GREATEST_BIGINT:
            rows = connection.execute(_OWN[kind], {"id": int(rest)}).fetchall()
            if kind == "proof" and not rows:
                rows = _of_archived_proof(connection, int(rest))
            return _each_once(connection, [(f"{kind} {rest}", *row) for row in rows])
        if kind == "record":
            text = rest
    rows = connection.execute(_ANYWHERE, {"ids": spellings(text)}).fetchall()
    return _each_once(connection, [row[1:] for row in rows])


def _of_archived_proof(connection: Connection, proof_id: int) -> list[tuple[object, ...]]:
    """A proof that left for the archive is found by its file."""
    with contextlib.suppress(ArchiveBroken):  # the record is still found by any other id
        dispatch_id = archive_reading.dispatch_of_proof(connection, proof_id)
        if dispatch_id is not None:
            return list(connection.execute(_OWN["dispatch"], {"id": dispatch_id}).fetchall())
    return []


def own_number(any_id: str) -> tuple[str, int] | None:
    """Our own kind and number (arrival:7 is ("arrival", 7)); None when it is no such id."""
    own = _OWN_NUMBER.fullmatch(any_id.strip())
    if own is None or own[1].lower() not in _OWN:
        return None
    digits = own[2].strip()
    if not digits.isascii() or not digits.isdigit() or int(digits) > _GREATEST_BIGINT:
        return None
    return own[1].lower(), int(digits)


def spellings(text: str) -> list[str]:
    """The ways an id may be written in our tables: as typed, in capitals, and without the suffix
    that a voided or reposted document carries in its target."""
    found = [text, text.upper(), text.lower()]
    bare = re.sub(r"(-R\d{1,6})?(-VOID)?$", "", text)
    found += [re.sub(r"-VOID$", "", text), bare]
    return list(dict.fromkeys(one for one in found if one))


def _each_once(connection: Connection, rows: Sequence[tuple[object, ...]]) -> list[Subject]:
    found: dict[tuple[str, ...], Subject] = {}
    for found_as, kind, key, arrival_id, system, stream, source_key in rows:
        one = Subject(
            str(kind),
            str(key),
            str(found_as),
            int(str(arrival_id)),
            str(system),
            str(stream),
            str(source_key),
        )
        if not one.record_key:
            one = _with_record(connection, one)
        identity = (one.record_key,) if one.record_key else (one.system, one.stream, one.source_key)
        if any(identity):
            found.setdefault(identity, one)
        if len(found) == MOST_MATCHES:
            break
    return list(found.values())


def _with_record(connection: Connection, one: Subject) -> Subject:
    """A row that is held has no record yet, or an older version of it: its link or case says."""
    row = connection.execute(
        "SELECT record_type, record_key FROM xrefs WHERE system = %(system)s "
        "AND stream = %(stream)s AND external_id = %(key)s "
        "UNION ALL SELECT record_type, record_key FROM cases WHERE source_key = %(key)s "
        "AND source_key <> '' AND system = %(system)s AND stream = %(stream)s "
        "AND record_key <> '' LIMIT 1",
        {"system": one.system, "stream": one.stream, "key": one.source_key},
    ).fetchone()
    if row is None:
        return one
    return Subject(
        str(row[0]),
        str(row[1]),
        one.found_as,
        one.arrival_id,
        one.system,
        one.stream,
        one.source_key,
    )
