"""Loads policies/people.yaml, policies/legal_entities.yaml and calendars/*.yaml."""

from __future__ import annotations

import datetime as dt
import re

from tieout.landscape.form import Form, did_you_mean
from tieout.landscape.load_systems import time_zone
from tieout.landscape.reader import Table
from tieout.landscape.schema import CalendarSpec, LegalEntity, Person
from tieout.rules.place import Problem

ROLES = (
    "integration developer",
    "finance maker",
    "finance checker",
    "controller",
    "operator",
    "administrator",
    "security administrator",
    "auditor",
    "connector account",
)
PATTERNS = ("calendar", "4-4-5", "4-5-4", "5-4-4", "13-period")

_CURRENCY = re.compile(r"[A-Z]{3}")


def load_people(table: Table, problems: list[Problem]) -> dict[str, Person]:
    """People by the name they act under. An unknown role is a problem; `roles` names the house's
    own (a finance director), beside those that verbs know."""
    form = Form(table, "people.yaml", ("people", "roles"), problems)
    roles = (*ROLES, *form.texts("roles"))
    found: dict[str, Person] = {}
    known = ("person", "title", "roles", "legal_entities", "email")
    for one in form.tables("people", required=True):
        each = Form(one, "a person", known, problems)
        name = each.text("person")
        each.what = f"person '{name}'"
        if name in found:
            each.complain(each.place, f"{each.what} is there twice", "Keep one of them")
        found[name] = Person(
            name=name,
            title=each.text("title", name),
            roles=each.texts("roles", required=True),
            legal_entities=each.texts("legal_entities"),
            email=each.text("email", ""),
        )
        for role in found[name].roles:
            if role not in roles:
                each.complain(
                    each.place_of("roles"),
                    f"{each.what} has the unknown role '{role}'",
                    f"{did_you_mean(role, roles)} Roles are: {', '.join(roles)}",
                )
    return found


def load_legal_entities(table: Table, problems: list[Problem]) -> dict[str, LegalEntity]:
    """Legal entities by code: whose books, in which zone, calendar and currency."""
    form = Form(table, "legal_entities.yaml", ("legal_entities",), problems)
    found: dict[str, LegalEntity] = {}
    known = ("legal_entity", "title", "time_zone", "calendar", "base_currency")
    for one in form.tables("legal_entities", required=True):
        each = Form(one, "a legal entity", known, problems)
        code = each.text("legal_entity")
        each.what = f"legal entity '{code}'"
        if code in found:
            each.complain(each.place, f"{each.what} is there twice", "Keep one of them")
        base = each.text("base_currency")
        if base and not _CURRENCY.fullmatch(base):
            each.complain(
                each.place_of("base_currency"),
                f"base currency '{base}' is not an ISO 4217 code",
                "Write three capital letters, such as EUR",
            )
        found[code] = LegalEntity(
            code=code,
            title=each.text("title", code),
            time_zone=time_zone(each),
            calendar=each.text("calendar"),
            base_currency=base,
        )
    return found


def load_calendar(table: Table, problems: list[Problem]) -> CalendarSpec:
    """One fiscal calendar; `year_starts` is MM-DD."""
    known = ("calendar", "pattern", "year_starts", "holidays")
    form = Form(table, "a calendar", known, problems)
    name = form.name("calendar")
    form.what = f"calendar '{name}'"
    starts = form.text("year_starts", "01-01")
    try:
        dt.date.fromisoformat(f"2001-{starts}")  # not a leap year: 02-29 cannot start a year
    except ValueError:
        form.complain(
            form.place_of("year_starts"), f"'{starts}' is not a day of the year", "Write MM-DD"
        )
    holidays = set()
    for day in form.texts("holidays"):
        try:
            holidays.add(dt.date.fromisoformat(day))
        except ValueError:
            form.complain(form.place_of("holidays"), f"'{day}' is no date", "Write YYYY-MM-DD")
    pattern = form.choice("pattern", PATTERNS, "calendar")
    return CalendarSpec(name, pattern, starts, frozenset(holidays))
