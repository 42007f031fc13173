"""Reading back: the bookings view, read once per call, grouped by order."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from tieout.connectors.anaplan import rows as booking
from tieout.connectors.anaplan import wire
from tieout.connectors.anaplan.load import running_task
from tieout.finance.outcome import Busy, Detail, Drift, Found
from tieout.ports.connector import Item, Page, Write
from tieout.ports.errors import VendorFault
from tieout.ports.session import Session


def meant(write: Write) -> dict[str, str]:
    """The facts of the rows this write loads. A document that cannot be loaded means nothing."""
    try:
        return booking.facts_of(booking.rows_of(write))
    except booking.BadDocument:
        return {}


def find(at: Session, writes: Sequence[Write]) -> dict[str, Found | None]:
    """By write key what the view shows of the order.

    While an import still runs, an order that does not show what was meant may show it in a moment:
    then nothing is known yet and Busy is raised.
    """
    by_order: dict[str, list[booking.Row]] = {}
    for row in bookings(at):
        by_order.setdefault(row["order_id"], []).append(row)
    found = {one.write_key: _found(one, by_order) for one in writes}
    if any(_differs(found[one.write_key], meant(one)) for one in writes):
        _refuse_while_running(at)
    return found


def read(at: Session, cursor: str) -> Page:
    """Booking lines by code after `cursor`. Anaplan keeps no change dates: the last page's cursor
    is the beginning, each pass is a whole one."""
    serial = _serial(at)
    rows = sorted((row for row in bookings(at) if row["code"] > cursor), key=lambda r: r["code"])
    size = wire.page_rows(at)
    items = tuple(_item(row, serial) for row in rows[:size])
    more = len(rows) > size
    return Page(items, items[-1].key if more else "", more)


def fetch(at: Session, keys: Sequence[str]) -> list[Item]:
    """These booking lines as they are now."""
    if not keys:
        return []
    serial = _serial(at)
    by_code = {row["code"]: row for row in bookings(at)}
    return [
        _item(by_code[key], serial) if key in by_code else Item(key, serial, "{}", deleted=True)
        for key in keys
    ]


def bookings(at: Session) -> list[booking.Row]:
    """The view's rows. Raises VendorFault, NoAnswer."""
    view = at.setting("bookings_view_id")
    answer = wire.get_text(at, wire.cells_url(at, "views", view, "data"))
    try:
        return booking.from_view(answer.body)
    except booking.NotBookings as error:
        raise VendorFault(
            Drift(
                Detail(
                    f"view {view}: {error}",
                    "Point bookings_view_id at a view that shows every line item of the module.",
                )
            )
        ) from error


def _found(write: Write, by_order: Mapping[str, Sequence[booking.Row]]) -> Found | None:
    """The order as the view shows it; None when this write's effect is not there at all."""
    try:
        order = booking.rows_of(write)[0]["order_id"]
    except booking.BadDocument:
        return None
    rows = by_order.get(order, [])
    looked_for = {
        "create": booking.ACTIVE,
        "void": booking.CANCELLED,
    }.get(write.action)
    if not rows or (looked_for and all(row["status"] != looked_for for row in rows)):
        return None
    return Found(order, booking.facts_of(rows))


def _differs(found: Found | None, wanted: Mapping[str, str]) -> bool:
    return found is None or dict(wanted) != found.facts


def _refuse_while_running(at: Session) -> None:
    running = running_task(at)
    if not isinstance(running, str):
        raise VendorFault(running)
    if running:
        words = f"import task {running} has not ended; the view may change yet"
        raise VendorFault(
            Busy(Detail(words, "Nothing to do; we look again."), wire.poll_seconds(at))
        )


def _serial(at: Session) -> str:
    """The model's save counter, the only version a cell has. It is read before the cells, so that
    a row is never taken for newer than it is. Raises VendorFault, NoAnswer."""
    said = wire.body_of(wire.get(at, wire.cells_url(at), modelDetails="true"))
    serial = wire.part(said, "model").get("lastSavedSerialNumber")
    if not isinstance(serial, int):
        detail = Detail(
            "Anaplan did not tell the model's save counter",
            "Check base_url: something else than Anaplan's API may be answering there.",
        )
        raise VendorFault(Drift(detail))
    return str(serial)


def _item(row: booking.Row, serial: str) -> Item:
    payload = json.dumps({**row, "model_serial": serial}, ensure_ascii=False)
    return Item(row["code"], serial, payload)
