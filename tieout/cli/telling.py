"""How the command line speaks: expected failures in plain words, with documented exit codes.

0 done · 1 the answer is no (a check, a test or a tie-out failed; nothing found) · 2 wrong usage ·
3 the landscape or its settings are not usable · 4 not permitted · 5 a database or system is not
available · 130 interrupted. Anything else is a defect of Tieout and shows its traceback.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from typing import ParamSpec

import typer
from psycopg import OperationalError
from rich.console import Console

from tieout.engine.opening import UnknownEnvironment
from tieout.engine.reconcile import CannotReconcile
from tieout.engine.replay import NothingToReplay
from tieout.landscape.examples import NoSuchExample
from tieout.ports.errors import VendorFault
from tieout.ports.http import NoAnswer
from tieout.ports.opening import SettingMissing
from tieout.ports.registry import UnknownConnector
from tieout.ports.secrets import SecretMissing
from tieout.ports.signin import SignInFailed
from tieout.rules.place import BadLandscape
from tieout.store.database import DatabaseUnfit
from tieout.store.embedded import EmbeddedPostgresError

DONE, NO, USAGE, LANDSCAPE, FORBIDDEN, UNAVAILABLE, INTERRUPTED = 0, 1, 2, 3, 4, 5, 130


class AnswerIsNo(Exception):
    """The command did its work and the answer is no; the message may be empty."""


class NotPermitted(Exception):
    """The actor may not do this. Says who may."""


class NotAvailable(Exception):
    """A process or port that the command needs is not there. Says what to do."""


_CODES: tuple[tuple[tuple[type[BaseException], ...], int], ...] = (
    ((AnswerIsNo, NothingToReplay), NO),
    (
        (UnknownEnvironment, UnknownConnector, SettingMissing, SecretMissing, NoSuchExample),
        LANDSCAPE,
    ),
    ((NotPermitted,), FORBIDDEN),
    (
        (
            DatabaseUnfit,
            EmbeddedPostgresError,
            OperationalError,
            NoAnswer,
            VendorFault,
            SignInFailed,
            CannotReconcile,
            NotAvailable,
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
            if str(trouble):
                errors.print(str(trouble).strip(), markup=False, soft_wrap=True)
            raise typer.Exit(_code_of(trouble)) from None
        except OSError as trouble:
            named = f" ({trouble.filename})" if trouble.filename else ""
            errors.print(
                f"the machine refused: {trouble.strerror or trouble}{named}. What was committed "
                "is safe; mend it and start the same command again.",
                markup=False,
                soft_wrap=True,
            )
            raise typer.Exit(UNAVAILABLE) from None
        except KeyboardInterrupt:
            errors.print("interrupted; what was committed is safe, a second run continues.")
            raise typer.Exit(INTERRUPTED) from None

    return run


def _code_of(trouble: BaseException) -> int:
    return next(code for kinds, code in _CODES if isinstance(trouble, kinds))


def say_json(value: object) -> None:
    """One JSON object on one line: the machine's answer, last on stdout."""
    print(json.dumps(value, default=str, ensure_ascii=False), flush=True)
