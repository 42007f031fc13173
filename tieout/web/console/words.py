"""How values look on a page: money, instants, ages, states; the same everywhere."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Literal

from tieout.finance.currency import UnknownCurrency, currency

Tone = Literal["good", "busy", "warn", "bad", "quiet"]

MINUS = "\N{MINUS SIGN}"

_STATES: dict[str, tuple[str, Tone]] = {
    "complete": ("complete", "good"),
    "undone": ("taken back", "quiet"),
    "ready": ("moving", "busy"),
    "waiting": ("waiting", "busy"),
    "held": ("held", "warn"),
    "paused": ("paused", "quiet"),
    "new": ("not yet resolved", "busy"),
    "recorded": ("recorded", "good"),
    "unchanged": ("nothing new in it", "quiet"),
    "superseded": ("superseded", "quiet"),
    "out_of_scope": ("out of scope", "quiet"),
    "planned": ("planned", "busy"),
    "sending": ("being sent", "busy"),
    "accepted": ("accepted, job running", "busy"),
    "unknown": ("no answer yet", "warn"),
    "written": ("written, not yet proved", "busy"),
    "proved": ("proved", "good"),
    "differs": ("differs", "bad"),
    "rejected": ("refused", "bad"),
    "in_doubt": ("in doubt", "bad"),
    "open": ("open", "warn"),
    "closed": ("closed", "good"),
    "agrees": ("agrees", "good"),
    "done": ("done", "good"),
    "started": ("started", "busy"),
}
_DOORS: dict[str, tuple[str, Tone]] = {
    "open": ("answering", "good"),
    "busy": ("asked us to wait", "warn"),
    "down": ("not answering", "bad"),
    "denied": ("refuses us", "bad"),
}
_KINDS = {
    "missing_left": "only on the right",
    "missing_right": "only on the left",
    "amount": "amounts differ",
}


def amount(value: Decimal, code: str = "") -> str:
    """A sum with thousands separators and at least the currency's minor units; never rounded."""
    places = max(_minor_units(code), -int(value.normalize().as_tuple().exponent))
    shown = f"{abs(value):,.{places}f}"
    return f"{MINUS}{shown}" if value < 0 else shown


def _minor_units(code: str) -> int:
    try:
        return currency(code).minor_units
    except UnknownCurrency:
        return 2


def count(value: int) -> str:
    return f"{value:,}"


def instant(value: dt.datetime) -> str:
    """21 Nov 2026, 03:51:07 UTC"""
    return f"{value.astimezone(dt.UTC):%-d %b %Y, %H:%M:%S} UTC"


def clock_time(value: dt.datetime) -> str:
    """03:51:07.412 (the date stands beside it)."""
    return f"{value.astimezone(dt.UTC):%H:%M:%S.%f}"[:-3]


def day(value: dt.datetime) -> str:
    return f"{value.astimezone(dt.UTC):%-d %b %Y}"


def duration(seconds: float) -> str:
    """Two units at most: 45 s, 3 min 20 s, 2 h 5 min, 4 days 3 h."""
    whole = max(0, int(seconds))
    if whole < 60:
        return f"{whole} s"
    units = ((86_400, "day"), (3_600, "h"), (60, "min"), (1, "s"))
    for index, (size, name) in enumerate(units):
        if whole >= size:
            first, rest = divmod(whole, size)
            smaller, small_name = units[index + 1]
            second = rest // smaller
            plural = "s" if name == "day" and first != 1 else ""
            tail = f" {second} {small_name}" if second else ""
            return f"{first} {name}{plural}{tail}"
    return "0 s"


def age(since: dt.datetime, until: dt.datetime) -> str:
    return duration((until - since).total_seconds())


def state(name: str) -> tuple[str, Tone]:
    """Plain words and a tone for a state of anything but a system."""
    return _STATES.get(name, (human(name), "quiet"))


def door(name: str) -> tuple[str, Tone]:
    """Plain words and a tone for the state of a system."""
    return _DOORS.get(name, (human(name), "quiet"))


def kind_of_break(name: str) -> str:
    return _KINDS.get(name, human(name))


def human(name: str) -> str:
    """period_closed -> period closed"""
    return name.replace("_", " ")


def sentence(words: str) -> str:
    """The words with a capital first letter and a full stop at the end."""
    tidy = words.strip()
    if not tidy:
        return ""
    tidy = tidy[0].upper() + tidy[1:]
    return tidy if tidy[-1] in ".!?" else f"{tidy}."


def counted(number: int, noun: str) -> str:
    """1 case, 2 cases."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def trouble(reason: str, control: str) -> str:
    """A heading for cases of one kind: Period closed: period gate; never the same word twice."""
    kind = human(reason)
    named = control if control.lower().startswith(kind) else f"{kind}: {control}" * bool(control)
    named = named or kind
    return named[:1].upper() + named[1:]
