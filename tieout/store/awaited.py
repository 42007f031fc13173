"""Records that flows wait for by what they refer to: the payment that names its invoice.

Only records of the types and fields that some flow waits for are noted here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tieout.store.database import Connection

MOST_PER_RECORD = 1_000  # records that refer to one record, looked at


def note(connection: Connection, seen: Sequence[tuple[str, str, str, str]]) -> None:
    """Remember (refers to, record type, field, record key), once each."""
    if not seen:
        return
    connection.execute(
        "INSERT INTO awaited_records (refers_to, record_type, field, record_key) "
        "SELECT * FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[]) AS t (a, b, c, d) "
        "ORDER BY a, b, c, d ON CONFLICT DO NOTHING",
        tuple(list(column) for column in zip(*seen, strict=True)),
    )


def referring(
    connection: Connection, record_type: str, field: str, refer_to: Sequence[str]
) -> Mapping[str, list[str]]:
    """Keys of the records in scope of this type whose field names these, by what it names."""
    rows = connection.execute(
        "SELECT a.refers_to, a.record_key FROM unnest(%s::text[]) AS t (key) CROSS JOIN LATERAL ("
        "  SELECT refers_to, record_key FROM awaited_records JOIN record_heads h "
        "  USING (record_type, record_key) WHERE h.in_scope "
        "  AND refers_to = t.key AND record_type = %s AND field = %s "
        "  ORDER BY record_key LIMIT %s) AS a ORDER BY 1, 2",
        (list(refer_to), record_type, field, MOST_PER_RECORD),
    ).fetchall()
    found: dict[str, list[str]] = {}
    for refers_to, key in rows:
        found.setdefault(str(refers_to), []).append(str(key))
    return found
