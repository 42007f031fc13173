"""The organisation's rows and the rules of saving them: checks, totals, stamps, all-or-none.

Rows live in plain tables so that the host can save and load them; nothing is cached beside them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal, localcontext
from typing import cast

from tieout import clock
from tieout.emulators.salesforce.model import OBJECTS, FieldDefinition, ObjectDefinition
from tieout.emulators.salesforce.values import (
    ApiError,
    checked_value,
    full_id,
    instant_text,
    new_record_id,
)

Row = dict[str, object]
Tables = dict[str, dict[str, Row]]
CENT = Decimal("0.01")
EXACT_DIGITS = 200  # three numbers of at most 40 digits multiply without rounding
WON = "Closed Won"


@dataclass
class Change:
    """What one transaction did to opportunities: decides which outbound messages follow."""

    won_before: set[str] = field(default_factory=set)
    touched: dict[str, None] = field(default_factory=dict)  # opportunity ids, in order
    retotal: dict[str, None] = field(default_factory=dict)
    undo: list[tuple[str, str, Row | None]] = field(default_factory=list)


class Rows:
    """Creates, changes and deletes rows. Every method raises ApiError in the vendor's words."""

    def __init__(self, tables: Tables) -> None:
        self.tables = tables
        self.change = Change()
        self.open = False

    # --- transactions ---------------------------------------------------------------------------

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Change]:
        """Everything inside happens or nothing does; totals are brought up to date at its end.
        Inside another transaction it joins that one."""
        if self.open:
            yield self.change
            return
        change = self.change = Change()
        self.open = True
        try:
            yield change
            for opportunity in change.retotal:
                self._total(opportunity)
        except BaseException:
            self.roll_back()
            raise
        finally:
            self.open = False

    def roll_back(self) -> None:
        """Undo what the running transaction did so far."""
        for table, key, before in reversed(self.change.undo):
            if before is None:
                del self.tables[table][key]
            else:
                self.tables[table][key] = before
        self.change.undo.clear()
        self.change.won_before.clear()
        self.change.touched.clear()
        self.change.retotal.clear()

    # --- looking up -----------------------------------------------------------------------------

    def table(self, name: str) -> dict[str, Row]:
        return self.tables.setdefault(name, {})

    def get(self, definition: ObjectDefinition, record_id: str) -> Row:
        """The live row of this id (15 or 18 characters)."""
        key = full_id(record_id, definition.prefix)
        row = self.table(definition.name).get(key) if key is not None else None
        if row is None:
            raise ApiError(404, "NOT_FOUND", "The requested resource does not exist")
        if row["IsDeleted"]:
            raise ApiError(404, "ENTITY_IS_DELETED", "entity is deleted")
        return row

    def matching(self, definition: ObjectDefinition, one: FieldDefinition, value: str) -> list[Row]:
        """Live rows whose external field holds `value`, without regard to case."""
        wanted = value.lower()
        return [
            row
            for row in self.table(definition.name).values()
            if not row["IsDeleted"] and str(row[one.name] or "").lower() == wanted
        ]

    def lines_of(self, opportunity: str) -> list[Row]:
        """Every line item of an opportunity, deleted ones included, oldest first."""
        listed = cast(list[str], self.table("_lines").get(opportunity, {}).get("ids", []))
        items = self.table("OpportunityLineItem")
        return [items[one] for one in listed if one in items]

    # --- saving ---------------------------------------------------------------------------------

    def create(self, definition: ObjectDefinition, sent: Mapping[str, object]) -> str:
        """Save a new row; its 18-character id."""
        values = self._checked(definition, sent, creating=True)
        missing = [
            one.name
            for one in definition.fields.values()
            if one.required and values.get(one.name) is None
        ]
        if missing:
            raise ApiError(
                400,
                "REQUIRED_FIELD_MISSING",
                f"Required fields are missing: [{', '.join(missing)}]",
                tuple(missing),
            )
        self._check_unique(definition, values, "")
        row: Row = {one.name: one.default for one in definition.fields.values()}
        row.update(values)
        row["Id"] = key = new_record_id(definition.prefix, self._next_number(definition.prefix))
        row["CreatedDate"] = self._stamp(row)
        self._keep(definition.name, key, None)
        self.table(definition.name)[key] = row
        self._follow_up(definition, row)
        if definition.name == "OpportunityLineItem":
            listed = self.table("_lines").setdefault(str(row["OpportunityId"]), {"ids": []})
            cast(list[str], listed["ids"]).append(key)
        return key

    def update(
        self, definition: ObjectDefinition, record_id: str, sent: Mapping[str, object]
    ) -> str:
        """Change the sent fields of a row."""
        row = self.get(definition, record_id)
        values = self._checked(definition, sent, creating=False)
        emptied = [
            name
            for name, value in values.items()
            if value is None and definition.fields[name].required
        ]
        if emptied:
            raise ApiError(
                400,
                "REQUIRED_FIELD_MISSING",
                f"Required fields are missing: [{', '.join(emptied)}]",
                tuple(emptied),
            )
        key = str(row["Id"])
        self._check_unique(definition, values, key)
        if definition.name == "Opportunity":
            if row["StageName"] == WON:
                self.change.won_before.add(key)
            if any(not line["IsDeleted"] for line in self.lines_of(key)):
                values.pop("Amount", None)  # the vendor ignores it: the line items decide
        self._keep(definition.name, key, row)
        changed = {**row, **values}
        self._stamp(changed)
        self.table(definition.name)[key] = changed
        self._follow_up(definition, changed)
        return key

    def delete(self, definition: ObjectDefinition, record_id: str) -> str:
        """Put a row in the recycle bin; line items go with their opportunity."""
        row = self.get(definition, record_id)
        key = str(row["Id"])
        self._refuse_if_used(definition, key)
        if definition.name == "Opportunity":
            for line in self.lines_of(key):
                if not line["IsDeleted"]:
                    self._bin(OBJECTS["OpportunityLineItem"], line)
        self._bin(definition, row)
        if definition.name == "OpportunityLineItem":
            self._follow_up(definition, row)
        return key

    # --- rules ----------------------------------------------------------------------------------

    def _checked(
        self, definition: ObjectDefinition, sent: Mapping[str, object], *, creating: bool
    ) -> Row:
        values: Row = {}
        for name, value in sent.items():
            if name in {"attributes", "type"}:
                continue
            one = definition.field(name)
            if one is None:
                raise ApiError(
                    400,
                    "INVALID_FIELD",
                    f"No such column '{name}' on sobject of type {definition.name}",
                )
            if not (one.creatable if creating else one.updatable):
                raise ApiError(
                    400,
                    "INVALID_FIELD_FOR_INSERT_UPDATE",
                    f"Unable to create/update fields: {one.name}. Please check the security "
                    "settings of this field and verify that it is read/write for your profile or "
                    "permission set.",
                    (one.name,),
                )
            checked = checked_value(one, value)
            if one.refers_to and checked is not None:
                checked = self._referred(one, str(checked))
            values[one.name] = checked
        return values

    def _referred(self, one: FieldDefinition, value: str) -> str:
        target = OBJECTS[one.refers_to]
        key = full_id(value)
        if key is None:
            label = f"{target.name} ID"
            raise ApiError(
                400, "MALFORMED_ID", f"{label}: id value of incorrect type: {value}", (one.name,)
            )
        row = self.table(target.name).get(key)
        if row is None or not key.startswith(target.prefix):
            raise ApiError(
                400, "INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id", (one.name,)
            )
        if row["IsDeleted"]:
            raise ApiError(400, "ENTITY_IS_DELETED", "entity is deleted", (one.name,))
        return key

    def _check_unique(self, definition: ObjectDefinition, values: Row, own_id: str) -> None:
        for one in definition.fields.values():
            if one.unique and values.get(one.name) is not None:
                for row in self.matching(definition, one, str(values[one.name])):
                    if row["Id"] != own_id:
                        raise ApiError(
                            400,
                            "DUPLICATE_VALUE",
                            f"duplicate value found: {one.name} duplicates value on record with "
                            f"id: {row['Id']}",
                            (one.name,),
                        )

    def _refuse_if_used(self, definition: ObjectDefinition, key: str) -> None:
        users = {"Account": ("Opportunity", "AccountId")}
        users["Product2"] = ("OpportunityLineItem", "Product2Id")
        if definition.name not in users:
            return
        child, reference = users[definition.name]
        if any(r[reference] == key and not r["IsDeleted"] for r in self.table(child).values()):
            raise ApiError(
                400,
                "DELETE_FAILED",
                "Your attempt to delete this record could not be completed because it is "
                f"associated with {child} records",
            )

    # --- bookkeeping ----------------------------------------------------------------------------

    def _follow_up(self, definition: ObjectDefinition, row: Row) -> None:
        if definition.name == "Opportunity":
            self.change.touched[str(row["Id"])] = None
        elif definition.name == "OpportunityLineItem":
            quantity, price = _decimal(row["Quantity"]), _decimal(row["UnitPrice"])
            with localcontext(prec=EXACT_DIGITS):
                share = 1 - _decimal(row["Discount"]).scaleb(-2)
                row["TotalPrice"] = (quantity * price * share).quantize(CENT, ROUND_HALF_UP)
            self.change.retotal[str(row["OpportunityId"])] = None

    def _total(self, opportunity: str) -> None:
        """The vendor's roll-up: an opportunity with line items is worth their sum."""
        row = self.table("Opportunity")[opportunity]
        if row["IsDeleted"]:
            return
        if row["StageName"] == WON:
            self.change.won_before.add(opportunity)
        self._keep("Opportunity", opportunity, row)
        changed = dict(row)
        live = [line for line in self.lines_of(opportunity) if not line["IsDeleted"]]
        with localcontext(prec=EXACT_DIGITS):
            total = sum((_decimal(line["TotalPrice"]) for line in live), Decimal("0.00"))
        changed["Amount"] = total
        self._stamp(changed)
        self.table("Opportunity")[opportunity] = changed
        self.change.touched[opportunity] = None

    def _bin(self, definition: ObjectDefinition, row: Row) -> None:
        key = str(row["Id"])
        self._keep(definition.name, key, row)
        binned = {**row, "IsDeleted": True}
        self._stamp(binned)
        self.table(definition.name)[key] = binned

    def _keep(self, table: str, key: str, before: Row | None) -> None:
        self.change.undo.append((table, key, before))

    def _next_number(self, prefix: str) -> int:
        numbers = self.table("_counters").setdefault("ids", {})
        number = int(str(numbers.get(prefix, 0))) + 1
        numbers[prefix] = number
        return number

    def _stamp(self, row: Row) -> str:
        """Mark the row as just changed. Stamps of one organisation never repeat or go back, so
        that two versions of a row always differ."""
        last = self.table("_counters").setdefault("stamp", {})
        now = int(clock.now().timestamp() * 1000)
        milliseconds = max(now, int(str(last.get("milliseconds", 0))) + 1)
        last["milliseconds"] = milliseconds
        text = instant_text(milliseconds)
        row["SystemModstamp"] = row["LastModifiedDate"] = text
        return text


def _decimal(value: object) -> Decimal:
    return Decimal(0) if value is None else Decimal(str(value))
