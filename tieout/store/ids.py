"""Numbers of rows that are written together, drawn before they are written."""

from __future__ import annotations

from typing import Literal

from tieout.store.database import Connection

Numbered = Literal["arrivals.arrival_id", "documents.document_id", "intents.dispatch_id"]


def draw(connection: Connection, column: Numbered, count: int) -> list[int]:
    """So many new numbers of a column, in rising order. The sequence is looked up once, not for
    each number: that cost more than drawing them."""
    table, _, name = column.partition(".")
    rows = connection.execute(
        "WITH one AS MATERIALIZED (SELECT pg_get_serial_sequence(%s, %s)::regclass AS sequence) "
        "SELECT nextval(one.sequence) FROM one, generate_series(1, %s)",
        (table, name, count),
    ).fetchall()
    return [row[0] for row in rows]
