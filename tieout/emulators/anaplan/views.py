"""Reading cells: a view as CSV or JSON. Numbers appear in plain notation, exactly as held."""

from __future__ import annotations

import csv
import io
from decimal import Decimal

from tieout.emulators.anaplan.answers import JSON_TYPE, Refusal, Table, text
from tieout.emulators.anaplan.loading import COLUMNS
from tieout.emulators.kit import whole_number, write_json
from tieout.ports.http import Request, Response

MOST_CELLS = 1_000_000
LINE_ITEMS = COLUMNS[1:]
LIST_NAME = "Bookings"


def data(request: Request, bookings: Table) -> Response:
    """`GET models/{m}/views/{v}/data`: CSV unless JSON is asked for. 400 above a million cells."""
    if len(bookings) * len(LINE_ITEMS) > MOST_CELLS:
        raise Refusal(400, f"The view holds more than {MOST_CELLS} cells")
    most = whole_number(request.arguments().get("maxRows", ""))
    chosen = bookings if most is None else dict(list(bookings.items())[:most])
    if "application/json" in request.header("Accept"):
        rows = [
            {"rowCoordinates": [code], "cells": [_cell(row.get(name)) for name in LINE_ITEMS]}
            for code, row in chosen.items()
        ]
        shown = {"pages": [], "columnCoordinates": [[name] for name in LINE_ITEMS], "rows": rows}
        return Response(200, JSON_TYPE, write_json(shown))
    return Response(200, {"Content-Type": "text/csv; charset=utf-8"}, csv_of(chosen))


def csv_of(bookings: Table) -> bytes:
    """One row per list item: its code, then the line items in order."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow([LIST_NAME, *LINE_ITEMS])
    for code, row in bookings.items():
        writer.writerow([code, *(_cell(row.get(name)) for name in LINE_ITEMS)])
    return out.getvalue().encode()


def _cell(value: object) -> str:
    return format(value, "f") if isinstance(value, Decimal) else text(value)
