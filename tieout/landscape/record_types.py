"""The canonical record types of `finance`, in the shape that rules and landscapes work with."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from tieout.finance.record_types import RECORD_TYPES, RecordField
from tieout.rules.spec import FieldType, RecordTypeSpec


@cache
def canonical_record_types() -> Mapping[str, RecordTypeSpec]:
    """Every canonical record type, without owners, steward or controls."""
    return {
        one.name: RecordTypeSpec(
            name=one.name,
            title=one.title,
            fields=tuple(_field(field) for field in one.fields),
            legal_entity=one.legal_entity,
            currency=one.currency,
            amount=one.amount,
            date=one.date,
            status=one.status,
        )
        for one in RECORD_TYPES.values()
    }


def _field(field: RecordField) -> FieldType:
    return FieldType(
        name=field.name,
        type=field.type,
        required=field.required,
        to=field.to,
        money_in=field.money_in,
        title=field.title,
        fields=tuple(_field(one) for one in field.fields),
    )
