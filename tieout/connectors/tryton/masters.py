"""Parties and products: created once by their code, changed by id, read back by code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tieout.connectors.tryton import wire
from tieout.connectors.tryton.chains import Chain, Planned, Step, first_id, rejected, text
from tieout.connectors.tryton.errors import ERRORS
from tieout.connectors.tryton.references import References, number_of
from tieout.finance.outcome import Found
from tieout.ports.connector import Write
from tieout.ports.http import Request
from tieout.ports.session import Session

MODELS: Mapping[str, str] = {"party": "party.party", "product": "product.product"}
DEFAULT_UNIT = {"symbol": "u"}
ADDRESS = ("street", "city", "postal_code")


def code_of(write: Write) -> str:
    """What makes it one: the document's code, else our reference."""
    return text(write.document, "code") or write.reference


def wanted(stream: str, write: Write) -> list[tuple[str, object]]:
    """The names this document uses."""
    document = write.document
    if stream == "product":
        return [
            ("unit", document.get("unit") or DEFAULT_UNIT),
            ("account_category", document.get("account_category")),
        ]
    address = document.get("address")
    country = address.get("country") if isinstance(address, Mapping) else None
    return [("country", country)] if country else []


def facts_meant(write: Write) -> dict[str, str]:
    return {"name": text(write.document, "name"), "code": code_of(write)}


def plan(
    at: Session,
    stream: str,
    write: Write,
    references: References,
    there: Mapping[str, wire.Row],
) -> Planned:
    """The calls this write needs. Raises NotFound."""
    if write.action in {"void", "delete"}:
        return rejected(
            f"a {stream} is kept: documents refer to it",
            "Deactivate it in Tryton by hand if nobody may use it again.",
            "kept",
        )
    if write.action == "create":
        make = party_values if stream == "party" else product_values
        model = "party.party" if stream == "party" else "product.template"
        values = make(write, references)

        def create(chain: Chain) -> Request:
            return wire.call(at, f"model.{model}.create", [values])

        # A template is not the product: the read-back gives the product's own id.
        return Chain(write, [Step(create, first_id if stream == "party" else _template_made)])
    row = there.get(code_of(write))
    if row is None:
        return rejected(
            f"Tryton holds no {stream} with code '{code_of(write)}'",
            "Create it first; its code may have been changed by hand in Tryton.",
            "gone",
        )
    return _change(at, stream, write, references, row)


def _template_made(chain: Chain, result: object) -> None:
    first_id(chain, result)
    chain.target_id = ""


def _change(at: Session, stream: str, write: Write, references: References, row: wire.Row) -> Chain:
    record = number_of("id", row["id"])
    if stream == "product":
        template = number_of("template", row["template"])
        values: dict[str, object] = {"name": text(write.document, "name")}
        model, ids = "product.template", [template]
    else:
        values = {"name": text(write.document, "name")}
        address = _address(write, references)
        addresses = row.get("addresses")
        if address and isinstance(addresses, list) and addresses:
            values["addresses"] = [["write", [min(addresses)], address]]
        elif address:
            values["addresses"] = [["create", [address]]]
        model, ids = "party.party", [record]

    def change(chain: Chain) -> Request:
        return wire.call(at, f"model.{model}.write", ids, values)

    return Chain(write, [Step(change)], str(record))


def party_values(write: Write, references: References) -> dict[str, object]:
    """A party and the one address its orders are invoiced to."""
    address = _address(write, references)
    return {
        "name": text(write.document, "name"),
        "code": code_of(write),
        "addresses": [["create", [address]]],
    }


def _address(write: Write, references: References) -> dict[str, object]:
    given = write.document.get("address")
    if not isinstance(given, Mapping):
        return {}
    address: dict[str, object] = {name: str(given[name]) for name in ADDRESS if given.get(name)}
    if given.get("country"):
        address["country"] = references.id_of("country", given["country"])
    return address


def product_values(write: Write, references: References) -> dict[str, object]:
    """A product template with its one variant; the variant's code makes it one."""
    document = write.document
    unit = references.id_of("unit", document.get("unit") or DEFAULT_UNIT)
    values: dict[str, object] = {
        "name": text(document, "name"),
        "default_uom": unit,
        "sale_uom": unit,
        "salable": True,
        "account_category": references.id_of("account_category", document.get("account_category")),
        "products": [["create", [{"suffix_code": code_of(write)}]]],
    }
    if document.get("type"):
        values["type"] = str(document["type"])
    return values


def rows_by_code(at: Session, stream: str, writes: Sequence[Write]) -> dict[str, wire.Row]:
    """What Tryton holds under the codes of these writes. Raises VendorFault, NoAnswer."""
    codes = sorted({code_of(write) for write in writes})
    fields = ["code", "name", "addresses" if stream == "party" else "template"]
    found = wire.rows(at, ERRORS, MODELS[stream], [["code", "in", codes]], fields)
    return {text(row, "code"): row for row in found}


def find(at: Session, stream: str, writes: Sequence[Write]) -> dict[str, Found | None]:
    """By write key, the party or product as Tryton shows it now. Raises VendorFault, NoAnswer."""
    there = rows_by_code(at, stream, writes)
    found: dict[str, Found | None] = {}
    for write in writes:
        row = there.get(code_of(write))
        found[write.write_key] = (
            None
            if row is None
            else Found(
                text(row, "id"),
                {"name": text(row, "name"), "code": text(row, "code")},
                text(row, "code"),
            )
        )
    return found
