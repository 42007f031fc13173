"""The record API for single records: create, upsert, change, show, delete, transform."""

from __future__ import annotations

from urllib.parse import unquote

from tieout.emulators.netsuite.answers import (
    RECORD_PATH,
    Refused,
    answer,
    no_content,
    not_there,
    self_link,
)
from tieout.emulators.netsuite.books import Books
from tieout.emulators.netsuite.documents import merge_lines, save_document, transform
from tieout.emulators.netsuite.record_types import DOCUMENTS, TYPES, RecordType, Row, display_name
from tieout.emulators.netsuite.validation import Validator, body_of, invalid_value, missing
from tieout.ports.http import Request, Response

TRANSFORMS = {("salesOrder", "invoice"), ("invoice", "creditMemo")}


class Records:
    """Single-record verbs over the books. `base_url` is where links and locations point."""

    def __init__(self, books: Books, base_url: str) -> None:
        self._books = books
        self._base = base_url.rstrip("/") + RECORD_PATH

    def create(self, kind: str, request: Request) -> Response:
        spec = _writable(kind)
        given = Validator.of(self._books, request).clean(spec, body_of(request))
        return no_content(self._location(kind, self._insert(spec, given)))

    def upsert(self, kind: str, key: str, request: Request) -> Response:
        """PUT: the key must be `eid:…`; creates what is not there, changes what is."""
        spec = _writable(kind)
        if not key.lower().startswith("eid:") or len(key) <= 4:
            raise Refused(
                "INVALID_ID",
                "Provide the external ID of the record in the form eid:{externalId}.",
                place={"o:errorUrl": request.path()},
            )
        external = unquote(key[4:])
        given = Validator.of(self._books, request).clean(spec, body_of(request))
        stated = given.get("externalId")
        if stated is not None and str(stated).lower() != external.lower():
            raise invalid_value(stated, "externalId")
        holder = self._books.by_external(spec.family, external)
        if holder is not None and holder[0] == kind:
            record_id = self._change(spec, self._books.tables[kind][holder[1]], given, request)
        else:
            record_id = self._insert(spec, {**given, "externalId": stated or external})
        return no_content(self._location(kind, record_id))

    def change(self, kind: str, key: str, request: Request) -> Response:
        spec = _writable(kind)
        row = self.find(kind, key, request)
        given = Validator.of(self._books, request).clean(spec, body_of(request))
        return no_content(self._location(kind, self._change(spec, row, given, request)))

    def delete(self, kind: str, key: str, request: Request) -> Response:
        spec = _writable(kind)
        row = self.find(kind, key, request)
        for other in DOCUMENTS:
            for one in self._books.rows(other):
                parent = (one.get("createdFrom") or {}).get("id")
                items = {line["item"]["id"] for line in one["item"]["items"]}
                if (
                    (spec.family == "transaction" and parent == row["id"])
                    or (kind == "customer" and one["entity"]["id"] == row["id"])
                    or (kind == "inventoryItem" and row["id"] in items)
                ):
                    raise Refused(
                        "USER_ERROR",
                        "This record cannot be deleted because it has dependent records: "
                        f"{display_name(other, one)}.",
                    )
        self._books.delete(kind, row)
        return no_content()

    def show(self, kind: str, key: str, request: Request) -> Response:
        row = self.find(kind, key, request)
        asked = request.arguments()
        shown = self.view(kind, row, expand=asked.get("expandSubResources", "") == "true")
        wanted = [one.strip() for one in asked.get("fields", "").split(",") if one.strip()]
        if wanted:
            known = {*TYPES[kind].fields, *TYPES[kind].read_only, *shown}
            unknown = next((one for one in wanted if one not in known), None)
            if unknown is not None:
                raise Refused(
                    "INVALID_PARAMETER",
                    f"Invalid field name {unknown}.",
                    place={"o:errorQueryParam": "fields"},
                )
            shown = {name: shown[name] for name in ("links", *wanted) if name in shown}
        return answer(shown)

    def transform(self, kind: str, key: str, target: str, request: Request) -> Response:
        if (kind, target) not in TRANSFORMS:
            raise Refused(
                "INVALID_CONTENT",
                f"The transformation from {kind} to {target} is not supported.",
                place={"o:errorUrl": request.path()},
            )
        source = self.find(kind, key, request)
        given = Validator.of(self._books, request).clean(TYPES[target], body_of(request))
        if "item" in given:
            raise Refused(
                "INVALID_CONTENT",
                "This tenant bills whole orders: leave out the lines.",
                path="item",
            )
        made = transform(self._books, kind, source, target, given)
        return no_content(self._location(target, made))

    def find(self, kind: str, key: str, request: Request) -> Row:
        """A row by internal id or `eid:…`. Raises Refused (404)."""
        if kind not in TYPES:
            raise _no_such_type(kind)
        if key.lower().startswith("eid:"):
            holder = self._books.by_external(TYPES[kind].family, unquote(key[4:]))
            key = holder[1] if holder is not None and holder[0] == kind else ""
        row = self._books.get(kind, key)
        if row is None:
            raise not_there(request.path())
        return row

    def view(self, kind: str, row: Row, *, expand: bool) -> Row:
        """A row as the record API shows it: links, reference names, sublists folded or not."""
        href = self._location(kind, row["id"])
        shown: Row = {"links": self_link(href)}
        for name, value in row.items():
            if name == "item":
                shown[name] = {"links": self_link(f"{href}/item")}
                if expand:
                    lines = [self._shown_line(line, href) for line in value["items"]]
                    shown[name].update(
                        items=lines, hasMore=False, count=len(lines), totalResults=len(lines)
                    )
            elif isinstance(value, dict):
                shown[name] = self._shown_reference(kind, name, value)
            elif value is not None:
                shown[name] = value
        return shown

    def _shown_line(self, line: Row, href: str) -> Row:
        item = self._shown_reference("", "item", line["item"], "inventoryItem")
        return {"links": self_link(f"{href}/item/{line['line']}"), **line, "item": item}

    def _shown_reference(self, kind: str, name: str, value: Row, to: str = "") -> Row:
        to = to or (TYPES[kind].fields.get(name, name) if kind else name)
        if name == "createdFrom":
            to = next((one for one in DOCUMENTS if self._books.get(one, value["id"])), "")
        row = self._books.get(to, str(value["id"])) if to in TYPES else None
        if row is None:
            return value
        return {
            "links": self_link(self._location(to, row["id"])),
            "id": row["id"],
            "refName": display_name(to, row),
        }

    def _location(self, kind: str, record_id: str) -> str:
        return f"{self._base}/{kind}/{record_id}"

    def _insert(self, spec: RecordType, given: Row) -> str:
        taken = self._books.by_external(spec.family, str(given.get("externalId") or ""))
        if given.get("externalId") and taken is not None:
            raise Refused(
                "DUP_RCRD",
                "This record already exists: a record with external ID "
                f"{given['externalId']} is there.",
                path="externalId",
            )
        row = {name: value for name, value in given.items() if value is not None}
        if spec.family == "transaction":
            lines = row.get("item", [])
            currency = row.get("currency") or self._currency_of(row)
            row["item"] = {
                "items": merge_lines(self._books, {}, lines, replace=True, currency=currency)
            }
        row["id"] = self._books.new_id(spec.name)
        self._save(spec, row, new=True)
        return str(row["id"])

    def _change(self, spec: RecordType, row: Row, given: Row, request: Request) -> str:
        after: Row = {**row, **{name: value for name, value in given.items() if name != "item"}}
        if "item" in given:
            replace = "item" in request.arguments().get("replace", "").split(",")
            lines = merge_lines(
                self._books, row, given["item"], replace=replace, currency=after["currency"]
            )
            after["item"] = {"items": lines}
        self._save(spec, {k: v for k, v in after.items() if v is not None}, new=False)
        return str(row["id"])

    def _currency_of(self, row: Row) -> Row | None:
        customer = self._books.get("customer", (row.get("entity") or {}).get("id", ""))
        return customer["currency"] if customer else None

    def _save(self, spec: RecordType, row: Row, *, new: bool) -> None:
        if spec.family == "transaction":
            save_document(self._books, spec.name, row, new=new)
            return
        if spec.name == "customer":
            self._complete_customer(row)
        elif spec.name == "inventoryItem":
            if not row.get("itemId"):
                raise missing("Item Name/Number", "itemId")
            self._must_be_unique("inventoryItem", "itemId", row, "DUP_ITEM")
        elif new:
            raise Refused("USER_ERROR", f"A {spec.title} is not made over this interface.")
        self._books.put(spec.name, row)

    def _complete_customer(self, row: Row) -> None:
        row["isPerson"] = bool(row.get("isPerson"))
        if row["isPerson"] and not row.get("lastName"):
            raise missing("Last Name", "lastName")
        if not row["isPerson"] and not row.get("companyName"):
            raise missing("Company Name", "companyName")
        if not row.get("subsidiary"):
            raise missing("Primary Subsidiary", "subsidiary")
        subsidiary = self._books.tables["subsidiary"][row["subsidiary"]["id"]]
        if subsidiary["isElimination"]:
            raise invalid_value(subsidiary["id"], "subsidiary")
        row["currency"] = row.get("currency") or subsidiary["currency"]
        if not row.get("entityId"):
            row["entityId"] = f"CUST{self._books.next_number('CUST', 1000)}"
        self._must_be_unique("customer", "entityId", row, "UNIQUE_CUST_ID_REQD")

    def _must_be_unique(self, kind: str, field: str, row: Row, code: str) -> None:
        wanted = str(row[field]).lower()
        for other in self._books.tables[kind].values():
            if other["id"] != row["id"] and str(other[field]).lower() == wanted:
                raise Refused(
                    code,
                    f"A {kind} record with this {field} already exists: {row[field]}.",
                    path=field,
                )


def _writable(kind: str) -> RecordType:
    spec = TYPES.get(kind)
    if spec is None:
        raise _no_such_type(kind)
    if not spec.writable:
        raise Refused("USER_ERROR", f"A {spec.title} is not changed over this interface.")
    return spec


def _no_such_type(kind: str) -> Refused:
    return Refused(
        "NONEXISTENT_RECORD_TYPE",
        f"Record '{kind}' was not found. Provide a valid record type.",
        status=404,
        place={"o:errorUrl": f"{RECORD_PATH}/{kind}"},
    )
