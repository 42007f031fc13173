"""The web process: the console and the webhook intake, behind one guarded door."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import psycopg
from fastapi import FastAPI, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

from tieout import clock
from tieout.engine.context import Context
from tieout.engine.pulse import SAY_SECONDS, tell_counts
from tieout.web import intake, metrics
from tieout.web.access import LoopbackOnly
from tieout.web.console import pages
from tieout.web.console.pages import NotFound
from tieout.web.console.templates import Templates

STATIC = Path(__file__).resolve().parent / "static"

log = logging.getLogger("tieout.web")


def create_app(context: Context) -> FastAPI:
    """The console and the intake of one landscape. Everything it serves is on this machine."""
    door = intake.Door(context)

    @contextlib.asynccontextmanager
    async def open_door(_: FastAPI) -> AsyncIterator[None]:
        stop = clock.every(SAY_SECONDS, lambda: tell_counts(context.database))
        try:
            yield
        finally:
            await run_in_threadpool(door.commits.close)
            await run_in_threadpool(stop)
            await run_in_threadpool(tell_counts, context.database)

    app = FastAPI(
        title="Tieout", docs_url=None, redoc_url=None, openapi_url=None, lifespan=open_door
    )
    app.add_middleware(LoopbackOnly)
    templates = Templates(context)
    app.routes.extend(intake.router(door).routes)
    app.include_router(metrics.router(context))
    app.include_router(pages.router(context, templates))
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    _answer_errors(app, templates)
    return app


def _answer_errors(app: FastAPI, templates: Templates) -> None:
    """Every failure is a page that says what to do, or a problem where a machine asked."""

    def told(request: Request, status: int, what: str, next_action: str) -> Response:
        path = request.url.path
        if path.startswith("/intake/") or path.endswith(".json"):
            return intake.problem(status, what, next_action)
        return templates.page(
            "problem.html",
            status,
            path=path,
            twin="",
            what=what,
            next_action=next_action,
        )

    def not_found(request: Request, error: Exception) -> Response:
        if not isinstance(error, NotFound):
            raise error
        return told(request, 404, error.what, error.next_action)

    def http_error(request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 500
        if status == 404:
            return told(request, 404, "There is no such page", "Start again from Today.")
        return told(request, status, "That cannot be asked here", "Start again from Today.")

    def no_database(request: Request, error: Exception) -> Response:
        log.error("the database does not answer: %s", error)
        answer = told(
            request,
            503,
            "The database does not answer",
            "Nothing is lost. See `tieout doctor`, then load this page again.",
        )
        answer.headers["Retry-After"] = str(intake.RETRY_AFTER_SECONDS)
        return answer

    app.add_exception_handler(NotFound, not_found)
    app.add_exception_handler(HTTPException, http_error)
    app.add_exception_handler(psycopg.OperationalError, no_database)
    app.add_exception_handler(psycopg.InterfaceError, no_database)
