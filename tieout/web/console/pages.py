"""The console's pages: each reads one model in one consistent look and shows it as HTML or JSON."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from tieout import clock
from tieout.engine.context import Context
from tieout.store import console, exceptions, tie_outs
from tieout.store.database import Connection
from tieout.store.life import MOST_MATCHES, life_of
from tieout.store.life_seen import Life
from tieout.store.plain import plain
from tieout.web.console.events import events_of
from tieout.web.console.lanes import draw
from tieout.web.console.templates import Templates, record_url

MOST_QUERY_CHARACTERS = 400
MOST_SHOWN = 40  # characters of a number that is none


@dataclass(frozen=True, slots=True)
class Page:
    """A page before it is written: its template, its model, and what only the HTML needs."""

    template: str
    model: object
    more: dict[str, Any] = field(default_factory=dict)
    status: int = 200
    elsewhere: str = ""  # the address that shows this better


class NotFound(Exception):
    """There is no such page; says what there is instead."""

    def __init__(self, what: str, next_action: str) -> None:
        self.what, self.next_action = what, next_action
        super().__init__(what)


Build = Callable[[Connection, Request], Page]


def router(context: Context, templates: Templates) -> APIRouter:
    """Every page of the console, with its `.json` twin."""
    routes = APIRouter()
    pages = _Pages(context, templates)
    paths: tuple[tuple[str, Build], ...] = (
        ("/today", pages.today),
        ("/records", pages.search),
        ("/records/{any_id:path}", pages.record),
        ("/exceptions", pages.exceptions),
        ("/exceptions/list", pages.exception_list),
        ("/exceptions/{case_id}", pages.case),
        ("/tie-outs", pages.tie_outs),
        ("/tie-outs/{tie_out_id}", pages.tie_out),
    )
    for path, build in paths:
        routes.get(f"{path}.json")(_as_json(context, build))
        routes.get(path)(_as_html(context, templates, build))

    @routes.get("/")
    def home() -> Response:
        return RedirectResponse("/today", 307)

    return routes


@contextlib.contextmanager
def reading(context: Context) -> Iterator[Connection]:
    """One consistent look at the database that cannot change anything."""
    with context.database.transaction() as connection:
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        yield connection


def _as_json(context: Context, build: Build) -> Callable[[Request], Response]:
    def respond(request: Request) -> Response:
        with reading(context) as connection:
            page = build(connection, request)
        body = json.dumps(plain(page.model), ensure_ascii=False, indent=1)
        return Response(body, page.status, media_type="application/json")

    return respond


def _as_html(context: Context, templates: Templates, build: Build) -> Callable[[Request], Response]:
    def respond(request: Request) -> Response:
        with reading(context) as connection:
            page = build(connection, request)
        if page.elsewhere:
            return RedirectResponse(page.elsewhere, 303)
        query = f"?{request.url.query}" if request.url.query else ""
        return templates.page(
            page.template,
            page.status,
            path=request.url.path,
            twin=f"{request.url.path}.json{query}",
            model=page.model,
            **page.more,
        )

    return respond


def _number(asked: str) -> int | None:
    """The number in an address, as the database counts; None when it can be none of ours."""
    return int(asked) if re.fullmatch(r"[0-9]{1,18}", asked) else None


class _Pages:
    def __init__(self, context: Context, templates: Templates) -> None:
        self.context = context
        self.templates = templates

    def today(self, connection: Connection, request: Request) -> Page:
        promised = {
            name: flow.fresh_within_seconds for name, flow in self.context.landscape.flows.items()
        }
        return Page("today.html", console.today(connection, promised))

    def search(self, connection: Connection, request: Request) -> Page:
        asked = request.query_params.get("q", "").strip()[:MOST_QUERY_CHARACTERS]
        lives = life_of(connection, asked) if asked else []
        address = ""
        if len(lives) == 1:
            address = record_url(lives[0].address)
        return Page(
            "records.html", lives, {"asked": asked, "most": MOST_MATCHES}, elsewhere=address
        )

    def record(self, connection: Connection, request: Request) -> Page:
        asked = str(request.path_params["any_id"])[:MOST_QUERY_CHARACTERS]
        lives = life_of(connection, asked)
        if not lives:
            raise NotFound(
                f"Nothing here is known as “{asked}”",
                "Search for it: an order number, a document number or an id of any system will do.",
            )
        if len(lives) > 1:
            return Page("records.html", lives, {"asked": asked, "most": MOST_MATCHES})
        return Page("life.html", lives[0], self._drawn(lives[0]))

    def _drawn(self, life: Life) -> dict[str, Any]:
        events = events_of(life)
        return {
            "events": events,
            "drawing": draw(events, self.templates.system_title),
            "now": clock.now(),
        }

    def exceptions(self, connection: Connection, request: Request) -> Page:
        return Page(
            "exceptions.html",
            exceptions.groups(connection),
            {"now": clock.now(), "closed": exceptions.closed_count(connection)},
        )

    def exception_list(self, connection: Connection, request: Request) -> Page:
        asked = request.query_params
        state = "closed" if asked.get("state") == "closed" else "open"
        reason, control = asked.get("reason", ""), asked.get("control", "")
        found = exceptions.in_group(connection, reason, control, state)
        return Page(
            "exception_list.html",
            found,
            {
                "now": clock.now(),
                "reason": reason,
                "control": control,
                "state": state,
                "most": exceptions.MOST_IN_LIST,
            },
        )

    def case(self, connection: Connection, request: Request) -> Page:
        asked = str(request.path_params["case_id"])
        number = _number(asked)
        page = exceptions.one_case(connection, number) if number is not None else None
        if page is None:
            raise NotFound(
                f"There is no case {asked[:MOST_SHOWN]}", "The open cases are under Exceptions."
            )
        return Page("case.html", page, {"now": clock.now()})

    def tie_outs(self, connection: Connection, request: Request) -> Page:
        name = request.query_params.get("name", "")
        found = tie_outs.history(connection, name)
        return Page("tie_outs.html", found, {"name": name, "most": tie_outs.MOST_TIE_OUTS})

    def tie_out(self, connection: Connection, request: Request) -> Page:
        asked = str(request.path_params["tie_out_id"])
        number = _number(asked)
        page = tie_outs.one_tie_out(connection, number) if number is not None else None
        if page is None:
            raise NotFound(
                f"There is no tie-out {asked[:MOST_SHOWN]}",
                "The ones there are stand under Tie-outs.",
            )
        return Page("tie_out.html", page, {"most_breaks": tie_outs.MOST_BREAKS})
