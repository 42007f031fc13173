"""Doubles: documents in a target that carry our mark but are none that we have proven.

A double posting leaves a second document beside the one our proof names. It is looked for in the
targets themselves, never in our own books.
"""

from __future__ import annotations

from tieout.engine.context import Context
from tieout.engine.reconcile import fresh_rows


def doubles(context: Context) -> dict[str, list[str]]:
    """`system.stream` -> ids of documents nobody here knows, for every stream written to.

    Meant for tenants that only this landscape writes to (a demo, a rehearsal, a test): elsewhere
    people's own documents count too. Streams whose rows are not documents (planning cells, which
    are replaced by code) cannot hold doubles and are left out, as is the source itself.
    """
    with context.database.transaction() as connection:
        rows = connection.execute(
            "SELECT x.system, x.stream, x.external_id FROM xrefs x JOIN documents c "
            "ON c.system = x.system AND c.stream = x.stream AND c.record_key = x.record_key"
        ).fetchall()
    known: dict[tuple[str, str], set[str]] = {}
    for system, stream, external_id in rows:
        known.setdefault((str(system), str(stream)), set()).add(str(external_id))
    found: dict[str, list[str]] = {}
    for (system, stream), ids in sorted(known.items()):
        spec = context.compiled.streams[system, stream]
        if not spec.reads or (system, stream) in context.compiled.inbound:
            continue
        there = set(fresh_rows(context, system, stream))
        if there & ids:
            found[f"{system}.{stream}"] = sorted(there - ids)
    return found
