"""The emulated organisation's objects: which fields they have, of which type, under which rules.

Standard fields follow the vendor's object reference; `__c` ones are this organisation's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

FieldKind = Literal[
    "id",
    "string",
    "double",
    "currency",
    "percent",
    "int",
    "boolean",
    "date",
    "datetime",
    "reference",
]
NUMERIC: frozenset[FieldKind] = frozenset({"double", "currency", "percent", "int"})


@dataclass(frozen=True, slots=True)
class FieldDefinition:
    """One field. `external` allows upsert by it; `unique` is enforced without regard to case."""

    name: str
    kind: FieldKind = "string"
    length: int = 255
    required: bool = False
    external: bool = False
    unique: bool = False
    creatable: bool = True
    updatable: bool = True
    refers_to: str = ""
    default: object = None


@dataclass(frozen=True, slots=True)
class ObjectDefinition:
    """One object type: its id prefix, its fields and the child relationships a query may nest."""

    name: str
    prefix: str
    fields: Mapping[str, FieldDefinition]
    children: Mapping[str, tuple[str, str]]  # relationship -> (child object, its reference field)

    def field(self, name: str) -> FieldDefinition | None:
        """The field of this name; the vendor looks names up without regard to case."""
        return self.fields.get(name) or next(
            (one for one in self.fields.values() if one.name.lower() == name.lower()), None
        )


def _system_field(name: str, kind: FieldKind, default: object = None) -> FieldDefinition:
    return FieldDefinition(name, kind, creatable=False, updatable=False, default=default)


def _object(
    name: str,
    prefix: str,
    own: tuple[FieldDefinition, ...],
    children: Mapping[str, tuple[str, str]] | None = None,
) -> ObjectDefinition:
    fields = (
        _system_field("Id", "id"),
        *own,
        FieldDefinition("CurrencyIsoCode", length=3, default="EUR"),
        _system_field("IsDeleted", "boolean", default=False),
        _system_field("CreatedDate", "datetime"),
        _system_field("LastModifiedDate", "datetime"),
        _system_field("SystemModstamp", "datetime"),
    )
    return ObjectDefinition(name, prefix, {one.name: one for one in fields}, children or {})


F = FieldDefinition

OBJECTS: Mapping[str, ObjectDefinition] = {
    one.name: one
    for one in (
        _object(
            "Account",
            "001",
            (
                F("Name", required=True),
                F("AccountNumber", length=40),
                F("BillingStreet"),
                F("BillingCity", length=40),
                F("BillingPostalCode", length=20),
                F("BillingCountry", length=80),
                F("Region__c"),
            ),
        ),
        _object(
            "Product2",
            "01t",
            (
                F("Name", required=True),
                F("ProductCode"),
                F("Family"),
                F("IsActive", "boolean", default=False),
            ),
        ),
        _object(
            "Opportunity",
            "006",
            (
                F("Name", length=120, required=True),
                F("AccountId", "reference", refers_to="Account"),
                F("StageName", required=True),
                F("CloseDate", "date", required=True),
                F("Amount", "currency"),
                F("Region__c"),
                F("Order_Number__c", length=40, external=True, unique=True),
                F("ERP_Order_Number__c", length=80, external=True),
                F("ERP_Invoice_Number__c", length=80),
                F("ERP_Status__c", length=40),
            ),
            {"OpportunityLineItems": ("OpportunityLineItem", "OpportunityId")},
        ),
        _object(
            "OpportunityLineItem",
            "00k",
            (
                F(
                    "OpportunityId",
                    "reference",
                    required=True,
                    updatable=False,
                    refers_to="Opportunity",
                ),
                F("Product2Id", "reference", required=True, updatable=False, refers_to="Product2"),
                F("Quantity", "double", required=True),
                F("UnitPrice", "currency", required=True),
                F("Discount", "percent"),
                F("TotalPrice", "currency", creatable=False, updatable=False),
                F("SortOrder", "int"),
            ),
        ),
    )
}


def object_named(name: str) -> ObjectDefinition | None:
    """The object of this name, without regard to case, as the vendor looks it up."""
    return OBJECTS.get(name) or next(
        (one for one in OBJECTS.values() if one.name.lower() == name.lower()), None
    )


def describe(definition: ObjectDefinition) -> dict[str, object]:
    """The part of the vendor's describe answer that integrations read."""
    return {
        "name": definition.name,
        "keyPrefix": definition.prefix,
        "createable": True,
        "updateable": True,
        "deletable": True,
        "queryable": True,
        "childRelationships": [
            {"relationshipName": name, "childSObject": child, "field": reference}
            for name, (child, reference) in definition.children.items()
        ],
        "fields": [
            {
                "name": one.name,
                "type": one.kind,
                "length": one.length if one.kind == "string" else 18 if _is_id(one) else 0,
                "custom": one.name.endswith("__c"),
                "nillable": not one.required,
                "createable": one.creatable,
                "updateable": one.updatable,
                "externalId": one.external,
                "unique": one.unique,
                "idLookup": one.external or one.kind == "id",
                "defaultedOnCreate": one.default is not None,
                "referenceTo": [one.refers_to] if one.refers_to else [],
            }
            for one in definition.fields.values()
        ],
    }


def _is_id(one: FieldDefinition) -> bool:
    return one.kind in {"id", "reference"}
