"""The canonical record types of `finance`, in the shape that rules and landscapes work with."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from tieout.finance.record_types import RECORD_TYPES
from tieout.rules.spec import RecordTypeSpec


@cache
def canonical_record_types() -> Mapping[str, RecordTypeSpec]:
    """Every canonical record type, without owners, steward or controls."""
    return {
        one.name: RecordTypeSpec(
            name=one.name,
            title=one.title,
            fields=one.fields,
            legal_entity=one.legal_entity,
            currency=one.currency,
            amount=one.amount,
            date=one.date,
            status=one.status,
        )
        for one in RECORD_TYPES.values()
    }
