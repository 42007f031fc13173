"""How the command line speaks: expected failures in plain words, with documented exit codes.

0 done · 1 the answer is no (a check, a test or a tie-out failed; nothing found) · 2 wrong usage ·
3 the landscape or its settings are not usable · 4 not permitted · 5 a database or system is not
available · 130 interrupted (ctrl-C, SIGTERM, a closed terminal). Anything else is a defect of
Tieout and shows its traceback.
"""

from __future__ import annotations

import contextlib
import functools
import json
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import ParamSpec

import typer
from psycopg import InterfaceError, InternalError, OperationalError
from rich.console import Console

from tieout.engine.opening import UnknownEnvironment
from tieout.engine.reconcile import CannotReconcile
from tieout.engine.replay import NothingToReplay, NotOneDocument
from tieout.engine.reprocess import NothingChosen
from tieout.engine.reprocess_preview import TooBusy
from tieout.landscape.examples import NoSuchExample
from tieout.landscape.template import CannotMake
from tieout.ports.errors import VendorFault
from tieout.ports.http import NoAnswer
from tieout.ports.opening import SettingMissing
from tieout.ports.registry import UnknownConnector
from tieout.ports.secrets import SecretMissing
from tieout.ports.signin import SignInFailed
from tieout.rules.place import BadLandscape
from tieout.store.approvals import NotDecided
from tieout.store.archive import CannotArchive
from tieout.store.archive_files import ArchiveBroken
from tieout.store.database import DatabaseUnfit
from tieout.store.embedded import EmbeddedPostgresError
from tieout.store.holds import HoldRefused

DONE, NO, USAGE, LANDSCAPE, FORBIDDEN, UNAVAILABLE, INTERRUPTED = 0, 1, 2, 3, 4, 5, 130

EXIT_CODES = {
    DONE: "done",
    NO: "the answer is no: a check, a test or a tie-out failed, or nothing was found",
    USAGE: "wrong usage: an option, an argument or a folder",
    LANDSCAPE: "the landscape or its settings are not usable",
    FORBIDDEN: "not permitted: says who may",
    UNAVAILABLE: "a database, a system or the machine is not available; what was committed is safe",
    INTERRUPTED: "interrupted (ctrl-C, SIGTERM, a closed terminal); a second run continues",
}
DATABASE_WENT = (
    "\nThe database refused or went away. What was committed is safe: when it is back (`tieout "
    "doctor` looks), start the same command again."
)


class AnswerIsNo(Exception):
    """The command did its work and the answer is no; the message may be empty."""


class NotPermitted(Exception):
    """The actor may not do this. Says who may."""


class NotUsable(Exception):
    """The landscape is sound, and still cannot be used for this. Says why."""


class NotAvailable(Exception):
    """A process or port that the command needs is not there. Says what to do."""


_CODES: tuple[tuple[tuple[type[BaseException], ...], int], ...] = (
    (
        (
            AnswerIsNo,
            NothingToReplay,
            NotOneDocument,
            NothingChosen,
            CannotArchive,
            HoldRefused,
            NotDecided,
        ),
        NO,
    ),
    (
        (
            UnknownEnvironment,
            UnknownConnector,
            SettingMissing,
            SecretMissing,
            NoSuchExample,
            NotUsable,
        ),
        LANDSCAPE,
    ),
    ((CannotMake,), USAGE),
    ((NotPermitted,), FORBIDDEN),
    (
        (
            DatabaseUnfit,
            EmbeddedPostgresError,
            OperationalError,
            InterfaceError,
            InternalError,  # a file that cannot grow, for one
            NoAnswer,
            VendorFault,
            SignInFailed,
            CannotReconcile,
            NotAvailable,
            TooBusy,
            ArchiveBroken,
        ),
        UNAVAILABLE,
    ),
)
_EXPECTED = tuple(kind for kinds, _ in _CODES for kind in kinds)

Arguments = ParamSpec("Arguments")


def told(command: Callable[Arguments, None]) -> Callable[Arguments, None]:
    """Turn a command's expected failures into words on stderr and an exit code."""

    @functools.wraps(command)
    def run(*args: Arguments.args, **kwargs: Arguments.kwargs) -> None:
        errors = Console(stderr=True, highlight=False)
        try:
            with _stopped_politely():
                command(*args, **kwargs)
        except BadLandscape as bad:
            for problem in bad.problems:
                errors.print(str(problem), markup=False, soft_wrap=True)
            errors.print(
                f"{len(bad.problems)} problem(s) in the landscape; nothing was changed.",
                style="bold red",
            )
            raise typer.Exit(LANDSCAPE) from None
        except _EXPECTED as trouble:
            words = str(trouble).strip()
            if isinstance(trouble, OperationalError | InterfaceError | InternalError):
                words += DATABASE_WENT
            if words:
                errors.print(words, markup=False, soft_wrap=True)
            raise typer.Exit(_code_of(trouble)) from None
        except OSError as trouble:
            named = f" ({trouble.filename})" if trouble.filename else ""
            errors.print(
                str(trouble)
                if isinstance(trouble, TimeoutError) and trouble.errno is None
                else f"the machine refused: {trouble.strerror or trouble}{named}. What was "
                "committed is safe; mend it and start the same command again.",
                markup=False,
                soft_wrap=True,
            )
            raise typer.Exit(UNAVAILABLE) from None
        except KeyboardInterrupt:
            errors.print("interrupted; what was committed is safe, a second run continues.")
            raise typer.Exit(INTERRUPTED) from None

    return run


@contextlib.contextmanager
def _stopped_politely() -> Iterator[None]:
    """SIGTERM and a closed terminal end a command like ctrl-C: everything is closed on the way."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(_: int, __: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {name: signal.signal(name, stop) for name in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Nobody's second ctrl-C may cut off the stopping of processes."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    names = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {name: signal.signal(name, signal.SIG_IGN) for name in names}
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)


def _code_of(trouble: BaseException) -> int:
    return next(code for kinds, code in _CODES if isinstance(trouble, kinds))


def say_json(value: object) -> None:
    """One JSON object on one line: the machine's answer, last on stdout."""
    print(json.dumps(value, default=str, ensure_ascii=False), flush=True)
