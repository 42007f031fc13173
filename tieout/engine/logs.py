"""Structured logs: one event a line, JSON for machines, words for a terminal. No payload, ever.

An event has a name, counts, and business keys where one record is meant. What is not of a harmless
kind (numbers, short texts, lists of short texts) is left out, and so is a field whose name smells
of a secret, so that nobody can log a payload by accident. Levels: TIEOUT_LOG (debug, info,
warning, error; info without it).
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, MutableMapping
from typing import Any, TextIO

import structlog

from tieout import clock

LEVELS = ("debug", "info", "warning", "error")
MOST_TEXT = 300
MOST_ITEMS = 20
UNSPOKEN = ("secret", "password", "token", "payload", "body", "authorization", "credential", "key_")

Event = MutableMapping[str, Any]


class BadLogLevel(Exception):
    """TIEOUT_LOG says something that is no level."""


def start_logs(process: str, stream: TextIO | None = None) -> None:
    """Set this process's log up: JSON lines on stderr, words if that is a terminal.

    Raises BadLogLevel.
    """
    where = stream or sys.stderr
    level = os.environ.get("TIEOUT_LOG", "info").strip().lower() or "info"
    if level not in LEVELS:
        raise BadLogLevel(f"TIEOUT_LOG is '{level}'; write one of {', '.join(LEVELS)}")
    render: Any = (
        structlog.dev.ConsoleRenderer(colors=False)
        if where.isatty()
        else structlog.processors.JSONRenderer(sort_keys=False, ensure_ascii=False)
    )
    _configure(level, structlog.PrintLoggerFactory(where), render)
    structlog.contextvars.clear_contextvars()
    _PROCESS["process"] = process
    _PROCESS["pid"] = os.getpid()
    logging.basicConfig(level=logging.WARNING, handlers=[_Bridge()], force=True)


def _configure(level: str, factory: Callable[..., Any], render: Any) -> None:
    structlog.configure(
        processors=[structlog.processors.add_log_level, _dated, _harmless, render],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=factory,
        cache_logger_on_first_use=False,
    )


_PROCESS: dict[str, object] = {}


def event(name: str, /, level: str = "info", **fields: object) -> None:
    """One event: `event("resolved", stream="Opportunity", count=12)`."""
    getattr(structlog.get_logger(), level)(name, **fields)


def _dated(_: object, __: str, one: Event) -> Event:
    return {"at": clock.now().isoformat(timespec="milliseconds"), **_PROCESS, **one}


def _harmless(_: object, __: str, one: Event) -> Event:
    """Only what may be told: see the module."""
    return {
        name: shown for name, value in one.items() if (shown := _shown(name, value)) is not None
    }


def _shown(name: str, value: object) -> object:
    if any(word in name.lower() for word in UNSPOKEN):
        return None
    if isinstance(value, str):
        return value if len(value) <= MOST_TEXT else value[:MOST_TEXT] + "…"
    if isinstance(value, bool | int | float):
        return value
    if isinstance(value, list | tuple | set | frozenset):
        items = [one for one in list(value)[:MOST_ITEMS] if isinstance(one, str | int | float)]
        return [_shown("", one) for one in items]
    return None


class _Bridge(logging.Handler):
    """What libraries and the web process say through `logging`, in the same form."""

    def emit(self, record: logging.LogRecord) -> None:
        level = record.levelname.lower()
        event(record.getMessage(), level=level if level in LEVELS else "error", by=record.name)


def quiet() -> None:
    """Where nobody starts a log, in a command or a test: only what went wrong is said, beside the
    output."""
    _configure(
        "warning",
        lambda *_: structlog.PrintLogger(sys.stderr),
        structlog.dev.ConsoleRenderer(colors=False),
    )


def silent() -> None:
    """Say nothing at all, nor let libraries: in a rehearsal things go wrong on purpose."""
    _configure("error", structlog.ReturnLoggerFactory(), lambda _, __, event: event)
    logging.basicConfig(handlers=[logging.NullHandler()], force=True)


quiet()
