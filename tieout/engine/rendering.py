"""Rendering: records through an outbound mapping, into target documents with digests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tieout.engine.context import Context
from tieout.engine.lookups import Lookups, keep_rates
from tieout.finance.digest import digest_bytes
from tieout.rules.mapping import FieldError, Row
from tieout.store.database import Connection
from tieout.store.records import Record


@dataclass(frozen=True, slots=True)
class Rendered:
    """One record as a target document. `waits_for`: (system, record type, key) without proof."""

    body: str
    digest: str
    rate_ids: tuple[str, ...]
    waits_for: tuple[tuple[str, str, str], ...]
    errors: tuple[FieldError, ...]


def render(
    context: Context, connection: Connection, mapping: str, records: Sequence[Record]
) -> Mapping[str, Rendered]:
    """Documents by record key. A record that cannot be rendered carries its field errors."""
    compiled = context.compiled.outbound[mapping]
    lookups = Lookups(connection, context.compiled.calendars)
    by_row = dict(enumerate(records))
    result = compiled.run(
        context.runner,
        [Row(no, one.record_key, one.body, one.source_key) for no, one in by_row.items()],
        lookups,
    )
    keep_rates(connection, lookups.used.values())
    errors: dict[int, list[FieldError]] = {}
    for error in result.errors:
        errors.setdefault(error.row_id, []).append(error)
    rendered = {
        by_row[one.row_id].record_key: Rendered(
            one.body,
            digest_bytes(one.body.encode()),
            one.rate_ids,
            one.waits_for,
            tuple(errors.get(one.row_id, ())),
        )
        for one in result.mapped
    }
    for row_id, found in errors.items():
        rendered.setdefault(by_row[row_id].record_key, Rendered("", "", (), (), tuple(found)))
    return rendered
