"""Doubles: documents that appeared in a target while we worked and that no proof of ours names.

A double posting leaves a second document beside the one our proof names. It is looked for in the
targets themselves, never in our own books.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from tieout.engine.context import Context
from tieout.engine.reconcile import fresh_rows

Holdings = Mapping[tuple[str, str], Mapping[str, str]]


def holdings(context: Context) -> dict[tuple[str, str], dict[str, str]]:
    """By (system, stream) the rows that every stream we write to holds now: payloads by id.

    The sources are left out. Raises CannotReconcile, VendorFault, NoAnswer.
    """
    written = {
        context.compiled.target_of(step)
        for flow in context.landscape.flows.values()
        for step in flow.steps
        if step.mapping
    }
    return {
        target: fresh_rows(context, *target)
        for target in sorted(written)
        if target not in context.compiled.inbound and context.compiled.streams[target].reads
    }


def doubles(context: Context, before: Holdings) -> dict[str, list[str]]:
    """`system.stream` -> ids of documents that came since `before` and that nobody here knows.

    Where a stream shows our references, one of them tells our document from what the target makes
    by itself (the draft of an invoice, a credit note). Where it does not, every new row counts, so
    that this is meant for tenants that only this landscape writes to meanwhile: a demo, a test.
    Streams whose rows are not documents (planning cells, which are replaced by code) cannot hold
    doubles and are left out.
    """
    with context.database.transaction() as connection:
        rows = connection.execute(
            "SELECT system, stream, external_id, '' FROM xrefs "
            "UNION SELECT d.system, d.stream, p.target_id, d.reference FROM proofs p "
            "JOIN intents d USING (dispatch_id)"
        ).fetchall()
    known: dict[tuple[str, str], set[str]] = {}
    references: dict[tuple[str, str], set[str]] = {}
    for system, stream, external_id, reference in rows:
        known.setdefault((system, stream), set()).add(external_id)
        references.setdefault((system, stream), set()).add(reference)
    found: dict[str, list[str]] = {}
    for target, there in holdings(context).items():
        ours = known.get(target, set()) & set(there)
        new = set(there) - set(before.get(target, {})) - ours
        mark = references.get(target, set()) - {""}
        if any(_shows(there[one], mark) for one in ours):
            new = {one for one in new if _shows(there[one], mark)}
        if new and ours:
            found[".".join(target)] = sorted(new)
    return found


def _shows(payload: str, references: set[str]) -> bool:
    """Whether one of our references stands in a row."""
    return any(isinstance(v, str) and v in references for v in json.loads(payload).values())
