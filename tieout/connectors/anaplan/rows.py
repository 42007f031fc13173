"""Between our documents and Anaplan's text: rows, CSV, facts. Pure.

One order is one document; each of its lines is one row, keyed by `code`. Values replace, so a line
that an order no longer has is sent with zeros. Cells are IEEE doubles: a number that needs more
than 15 significant digits would be changed silently, and is refused here instead.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal

from tieout.ports.connector import Write

COLUMNS = (
    "code",
    "order_id",
    "line",
    "legal_entity",
    "period",
    "currency",
    "product",
    "quantity",
    "value",
    "value_group",
    "status",
)
NUMBERS = ("quantity", "value", "value_group")
ACTIVE, REMOVED, CANCELLED = "Active", "Removed", "Cancelled"
MOST_DIGITS = 15
MOST_NUMBER_LENGTH = 40
MOST_NUMBER_TEXT = 200
_NUMBER = re.compile(r"\s*[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?\s*", re.ASCII)

Row = dict[str, str]


class BadDocument(Exception):
    """A document that cannot be loaded as it is; says which row and field."""

    def __init__(self, words: str, field: str = "") -> None:
        super().__init__(words)
        self.words = words
        self.field = field


class NotBookings(Exception):
    """A file from Anaplan that does not look like booking lines; says what is missing."""


def rows_of(write: Write) -> list[Row]:
    """The rows this write loads: its own, and zeros for what `previous` had and it has not.
    Raises BadDocument."""
    if write.action == "delete":
        raise BadDocument("booking lines are not deleted; void the order, that clears its cells")
    own = _rows(write.document)
    before = _rows(write.previous) if write.previous is not None else []
    codes = {row["code"] for row in own}
    gone = [row for row in before if row["code"] not in codes]
    if write.action == "void":
        rows = [_zeroed(row, CANCELLED) for row in [*own, *gone]]
    else:
        rows = [*own, *(_zeroed(row, REMOVED) for row in gone)]
    if not rows:
        raise BadDocument("the document has no rows, nothing would be loaded", "rows")
    if len({row["order_id"] for row in rows}) > 1:
        raise BadDocument("the rows of one document belong to several orders", "order_id")
    return rows


def facts_of(rows: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """What a proof compares: number of active rows, their sums, their currency."""
    held = list(rows)
    active = [row for row in held if row["status"] == ACTIVE]
    shown = active or [row for row in held if row["status"] == CANCELLED]
    return {
        "rows": str(len(active)),
        "amount": _sum(active, "value"),
        "amount_group": _sum(active, "value_group"),
        "currency": ",".join(sorted({row["currency"] for row in shown})),
    }


def to_csv(rows: Sequence[Row]) -> bytes:
    """UTF-8, fixed column order, header first, text as it is."""
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, lineterminator="\r\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().encode()


def from_view(body: bytes) -> list[Row]:
    """The rows of a view: its first column is the list item, the others are found by name.
    Raises NotBookings."""
    header, lines = _table(body)
    missing = [name for name in COLUMNS[1:] if name not in header[1:]]
    if missing:
        raise NotBookings(f"the view lacks the columns {', '.join(missing)}")
    rows = []
    for number, line in enumerate(lines, 2):
        if len(line) != len(header):
            raise NotBookings(f"line {number} of the view has {len(line)} of {len(header)} columns")
        row = dict(zip(header[1:], line[1:], strict=True))
        shown = {"code": line[0], **{name: row[name] for name in COLUMNS[1:]}}
        for name in NUMBERS:
            shown[name] = shown[name] or "0"  # an empty cell is a zero
            value = _decimal(shown[name])
            if value is None or abs(value.adjusted()) > MOST_NUMBER_LENGTH:
                raise NotBookings(f"line {number} of the view: {name} is no number")
        rows.append(shown)
    return rows


def from_dump(body: bytes) -> dict[str, str]:
    """By code: what Anaplan says is wrong with the row. Raises NotBookings."""
    header, lines = _table(body)
    if "code" not in header:
        raise NotBookings("the failure dump has no column 'code'")
    at = header.index("code")
    telling = [
        index
        for index, name in enumerate(header)
        if name not in COLUMNS and not any(word in name.lower() for word in ("count", "line"))
    ]
    return {
        line[at]: "; ".join(line[i] for i in telling if i < len(line) and line[i])
        for line in lines
        if at < len(line)
    }


def plain(value: Decimal) -> str:
    """Shortest plain notation: 98.00 and 98 are the same fact."""
    text = format(value, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in {"-0", ""} else text


def _rows(document: Mapping[str, object]) -> list[Row]:
    listed = document.get("rows", [])
    if not isinstance(listed, list):
        raise BadDocument("'rows' is not a list", "rows")
    rows = [_row(number, one) for number, one in enumerate(listed, 1)]
    seen: set[str] = set()
    for row in rows:
        if row["code"] in seen:
            words = f"code {row['code']} occurs twice: Anaplan would add the rows up"
            raise BadDocument(words, "code")
        seen.add(row["code"])
    return rows


def _row(number: int, one: object) -> Row:
    if not isinstance(one, Mapping):
        raise BadDocument(f"row {number} is not an object", "rows")
    row: Row = {}
    for name in COLUMNS[:-1]:
        value = one.get(name)
        if isinstance(value, bool | float) or not isinstance(value, str | int | Decimal):
            raise BadDocument(f"row {number}: '{name}' is missing or not text", name)
        row[name] = str(value)
        if not _fits_a_file(row[name]):
            raise BadDocument(f"row {number}: '{name}' holds what no text file can", name)
    if not row["code"] or not row["order_id"]:
        raise BadDocument(f"row {number}: 'code' and 'order_id' must not be empty", "code")
    for name in NUMBERS:
        row[name] = _number(number, row["code"], name, row[name])
    status = one.get("status")
    row["status"] = status if isinstance(status, str) and status else ACTIVE
    return row


def _number(number: int, code: str, name: str, text: str) -> str:
    value = _decimal(text)
    if value is None:
        raise BadDocument(f"row {number} ({code}): {name} '{text}' is not a number", name)
    shown = format(value, "f") if abs(value.adjusted()) <= MOST_NUMBER_LENGTH else text
    digits = shown.lstrip("-").replace(".", "").strip("0")
    if len(digits) > MOST_DIGITS or len(shown) > MOST_NUMBER_LENGTH or "E" in shown.upper():
        raise BadDocument(
            f"row {number} ({code}): {name} {text} needs more than {MOST_DIGITS} digits, "
            "which a planning cell cannot hold exactly",
            name,
        )
    return shown


def _decimal(text: str) -> Decimal | None:
    """A number in plain or scientific notation, short enough to be written out; else None."""
    if len(text) > MOST_NUMBER_TEXT or not _NUMBER.fullmatch(text):
        return None
    return Decimal(text)


def _fits_a_file(text: str) -> bool:
    """No NUL and no half of a surrogate pair: neither survives a text file in UTF-8."""
    return "\0" not in text and not any("\ud800" <= letter <= "\udfff" for letter in text)


def _zeroed(row: Row, status: str) -> Row:
    return {**row, **dict.fromkeys(NUMBERS, "0"), "status": status}


def _sum(rows: Iterable[Mapping[str, str]], name: str) -> str:
    return plain(sum((Decimal(row[name]) for row in rows), Decimal(0)))


def _table(body: bytes) -> tuple[list[str], list[list[str]]]:
    try:
        lines = list(csv.reader(io.StringIO(body.decode("utf-8-sig"), newline=""), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise NotBookings(f"the answer is not CSV in UTF-8: {error}") from error
    if not lines:
        raise NotBookings("the answer is empty")
    return lines[0], [line for line in lines[1:] if line]
