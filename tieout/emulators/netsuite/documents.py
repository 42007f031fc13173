"""How orders, invoices and credit memos behave: lines and totals, periods, status, transforms."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal, InvalidOperation

from tieout.emulators.netsuite.answers import Refused
from tieout.emulators.netsuite.books import Books, stamp
from tieout.emulators.netsuite.record_types import STATUS, TYPES, Row
from tieout.emulators.netsuite.validation import invalid_value, missing

FIRST_NUMBER = 1000
_COPIED = ("entity", "subsidiary", "currency", "exchangeRate", "otherRefNum", "memo")


def save_document(books: Books, kind: str, row: Row, *, new: bool) -> None:
    """Apply every rule of a transaction, then store it. Raises Refused and stores nothing."""
    spec = TYPES[kind]
    if not row.get("entity"):
        raise missing("Customer", "entity")
    customer = books.get("customer", row["entity"]["id"]) or {}
    row["subsidiary"] = row.get("subsidiary") or customer["subsidiary"]
    row["currency"] = row.get("currency") or customer["currency"]
    row["tranDate"] = row.get("tranDate") or stamp()[:10]
    _check_subsidiary(books, row, customer)
    if not row["item"]["items"]:
        raise Refused(
            "USER_ERROR", "You must enter at least one line item for this transaction.", path="item"
        )
    if spec.posts:
        row["postingPeriod"] = _posting_period(books, row, new=new)
    row["total"] = sum((line["amount"] for line in row["item"]["items"]), Decimal(0))
    row["subtotal"] = row["total"]
    if kind == "salesOrder":
        _set_status(row, "salesOrder", _order_status(row))
    elif "status" not in row:
        _set_status(row, kind, "A")
    if new and not row.get("tranId"):
        number = books.next_number(spec.prefix, FIRST_NUMBER)
        row["tranId"] = f"{spec.prefix}{number}"
    books.put(kind, row)


def merge_lines(
    books: Books, row: Row, incoming: list[Row], *, replace: bool, currency: Row | None
) -> list[Row]:
    """The lines after a change. By default lines merge by their `line` key; with `?replace=item`
    only the given ones survive, but what was billed of a line stays known.

    An amount that is not given is quantity × rate in the currency's decimals.
    """
    places = _places(books, currency)
    before: dict[int, Row] = {line["line"]: line for line in row.get("item", {}).get("items", ())}
    after: dict[int, Row] = {} if replace else dict(before)
    for index, given in enumerate(incoming):
        spot = f"item.items[{index}]"
        key = given.get("line") or max((*before, *after), default=0) + 1
        old = before.get(key, {})
        base = {} if replace else old
        line: Row = {**base, **given, "line": key}
        if "quantityBilled" in old:
            line["quantityBilled"] = old["quantityBilled"]
        if not line.get("item"):
            raise missing("Item", f"{spot}.item")
        line["quantity"] = Decimal(1) if line.get("quantity") is None else line["quantity"]
        if given.get("amount") is None and (
            {"quantity", "rate"} & set(given) or "amount" not in base
        ):
            if line.get("rate") is None:
                raise missing("Amount", f"{spot}.amount")
            line["amount"] = line["quantity"] * line["rate"]
        try:
            line["amount"] = line["amount"].quantize(places, ROUND_HALF_UP)
        except InvalidOperation as error:
            raise invalid_value(line["amount"], f"{spot}.amount") from error
        line["isClosed"] = bool(line.get("isClosed"))
        after[key] = line
    for key, line in before.items():
        if key not in after and line.get("quantityBilled") is not None:
            raise Refused(
                "USER_ERROR",
                f"Line {key} cannot be deleted because it has been billed.",
                path="item",
            )
    return [after[key] for key in sorted(after)]


def transform(books: Books, source_kind: str, source: Row, target: str, given: Row) -> str:
    """Make the next document of a chain; answers its id. Raises Refused."""
    taken = books.by_external("transaction", str(given.get("externalId") or ""))
    if given.get("externalId") and taken is not None:
        raise Refused(
            "DUP_RCRD",
            "This record already exists: a record with external ID "
            f"{given['externalId']} is there.",
            path="externalId",
        )
    billed = _lines_to_bill(books, source) if source_kind == "salesOrder" else _lines_of(source)
    if not billed or (source_kind == "invoice" and source["status"]["id"] == "B"):
        raise Refused(
            "USER_ERROR",
            f"{TYPES[source_kind].title} {source['tranId']} has nothing left to turn into a "
            f"{TYPES[target].title.lower()}: its status is {source['status']['refName']}.",
        )
    row: Row = {
        **{name: source[name] for name in _COPIED if source.get(name) is not None},
        **{name: value for name, value in given.items() if name != "item" and value is not None},
        "id": books.new_id(target),
        "createdFrom": {"id": source["id"]},
        "item": {"items": billed},
    }
    save_document(books, target, row, new=True)
    after = {**source}
    if source_kind == "salesOrder":
        quantities = {line["line"]: line["quantity"] for line in billed}
        lines = [dict(line) for line in source["item"]["items"]]
        for line in lines:
            if line["line"] in quantities:
                line["quantityBilled"] = line.get("quantityBilled", 0) + quantities[line["line"]]
        after["item"] = {"items": lines}
        _set_status(after, "salesOrder", _order_status(after))
    else:
        _set_status(after, "invoice", "B")
        fully_applied = {**(books.get(target, row["id"]) or row)}
        _set_status(fully_applied, target, "B")
        books.put(target, fully_applied)
    books.put(source_kind, after)
    return str(row["id"])


def _lines_of(source: Row) -> list[Row]:
    return [
        {name: value for name, value in line.items() if name != "quantityBilled"}
        for line in source["item"]["items"]
    ]


def _lines_to_bill(books: Books, order: Row) -> list[Row]:
    """What is left of each open line: its whole amount, or the share of what was not billed yet."""
    places = _places(books, order["currency"])
    found: list[Row] = []
    for line in order["item"]["items"]:
        if line["isClosed"] or _is_billed(line):
            continue
        already = line.get("quantityBilled") or Decimal(0)
        rest = line["quantity"] - already
        amount = line["amount"]
        if already:
            amount = (amount * rest / line["quantity"]).quantize(places, ROUND_HALF_UP)
        kept = {name: value for name, value in line.items() if name != "quantityBilled"}
        found.append({**kept, "quantity": rest, "amount": amount})
    return found


def _is_billed(line: Row) -> bool:
    billed = line.get("quantityBilled")
    return billed is not None and abs(billed) >= abs(line["quantity"])


def _order_status(order: Row) -> str:
    lines = order["item"]["items"]
    if all(line["isClosed"] for line in lines):
        return "H"
    return "G" if all(line["isClosed"] or _is_billed(line) for line in lines) else "F"


def _set_status(row: Row, kind: str, code: str) -> None:
    row["status"] = {"id": code, "refName": STATUS[kind][code]}


def _places(books: Books, currency: Row | None) -> Decimal:
    found = books.get("currency", currency["id"]) if currency else None
    return Decimal(1).scaleb(-int(found["currencyPrecision"] if found else 2))


def _check_subsidiary(books: Books, row: Row, customer: Row) -> None:
    """OneWorld: the customer must have access to the subsidiary, and nobody trades in an
    elimination subsidiary."""
    wanted = row["subsidiary"]["id"]
    subsidiary = books.get("subsidiary", wanted) or {}
    if wanted != customer["subsidiary"]["id"] or subsidiary.get("isElimination"):
        raise invalid_value(wanted, "subsidiary")


def _posting_period(books: Books, row: Row, *, new: bool) -> Row:
    """The period given, or the one the date lies in. A change keeps to the same rule: what lies in
    a closed period cannot be edited."""
    given = row.get("postingPeriod")
    if given:
        period = books.get("accountingPeriod", given["id"])
    else:
        period = next(
            (
                one
                for one in books.rows("accountingPeriod")
                if one["startDate"] <= row["tranDate"] <= one["endDate"]
            ),
            None,
        )
    if period is None:
        raise Refused(
            "USER_ERROR",
            f"There is no accounting period for the transaction date {row['tranDate']}.",
            path="postingPeriod",
        )
    if period["closed"] or period["allLocked"] or period["arLocked"]:
        verb = "post to" if new else "change a transaction in"
        raise Refused(
            "USER_ERROR",
            f"TRAN_PERIOD_CLOSED: You cannot {verb} {period['periodName']}: "
            "this accounting period is closed or locked.",
            path="postingPeriod",
        )
    return {"id": period["id"]}
