"""Isolating: one bad row never stops a batch. What fails as a whole is tried in halves, until the
one at fault is alone and becomes somebody's case."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

import psycopg

from tieout.store.dispatches import LeftMeanwhile
from tieout.store.documents import RegisteredMeanwhile
from tieout.store.leases import LeaseLost

T = TypeVar("T")

MOST_GIVEN_UP = 20  # in one go: what is left is tried at the next tick
MOST_WORDS = 300
# Nobody's row is at fault: another worker was quicker, the database is away or full, this process
# is in trouble, or this program and its schema do not fit.
NOT_A_ROW = (
    LeaseLost,
    LeftMeanwhile,
    RegisteredMeanwhile,
    psycopg.OperationalError,
    psycopg.InterfaceError,
    psycopg.ProgrammingError,
    MemoryError,
)


def failed(work: Callable[[], object]) -> Exception | None:
    """Do this work, whole or not at all; what it failed of, if a row may be at fault.

    Raises NOT_A_ROW as it comes: then nothing is known of any row.
    """
    try:
        work()
    except NOT_A_ROW:
        raise
    except Exception as error:  # noqa: BLE001 - nobody foresaw it; whose fault it is, is found out
        return error
    return None


def in_parts(
    items: Sequence[T],
    work: Callable[[Sequence[T]], object],
    give_up: Callable[[T, Exception], object],
) -> None:
    """Work on all items in one transaction of `work`'s own; where that fails, on halves.

    `give_up` is told of each item that fails alone, with what it failed of. Raises NOT_A_ROW.
    """
    given_up = 0
    waiting = [items]
    while waiting and given_up < MOST_GIVEN_UP:
        some = waiting.pop()
        error = failed(partial(work, some))
        if error is None:
            continue
        if len(some) > 1:
            middle = len(some) // 2
            waiting += [some[middle:], some[:middle]]
            continue
        give_up(some[0], error)
        given_up += 1


def said_of(error: Exception) -> str:
    """What a fault that nobody foresaw has to say, in one line."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else ''}"[:MOST_WORDS]
