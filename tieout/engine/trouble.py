"""From an outcome to who acts: system pauses, cases for people, waiting times with full jitter."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from tieout import clock
from tieout.finance.outcome import Busy, Denied, Detail, Drift, Outage, Outcome, Rejected, Unknown
from tieout.ports.errors import VendorFault
from tieout.ports.http import NoAnswer
from tieout.ports.signin import SignInFailed
from tieout.store import cases
from tieout.store.cases import NewCase
from tieout.store.database import Connection

FIRST_BACK_OFF_SECONDS = 0.5
MOST_BACK_OFF_SECONDS = 60.0
DENIED_PAUSE_SECONDS = 30.0


def back_off_seconds(failures: int) -> float:
    """Exponential with full jitter; `failures` counts from 1."""
    ceiling = min(MOST_BACK_OFF_SECONDS, FIRST_BACK_OFF_SECONDS * float(2 ** min(failures, 10)))
    return ceiling * (0.5 + clock.random() / 2)


def outcome_of(error: Exception) -> Outcome:
    """What a call that raised came to. Other exceptions are bugs and are raised again."""
    if isinstance(error, VendorFault):
        return error.outcome
    if isinstance(error, SignInFailed):
        return Denied(Detail(error.words, error.next_action, "SIGN_IN"))
    if isinstance(error, NoAnswer):
        detail = Detail(error.words, "Nothing to do: the engine looks again by itself.")
        return Outage(detail) if error.never_sent else Unknown(detail)
    raise error


@dataclass(frozen=True, slots=True)
class Pause:
    """A system that must not be called before `until`."""

    state: str
    until: dt.datetime


def paused(connection: Connection, system: str) -> Pause | None:
    """Whether a system is paused right now."""
    row = connection.execute(
        "SELECT state, until FROM system_states WHERE system = %s AND until > %s",
        (system, clock.now()),
    ).fetchone()
    return Pause(str(row[0]), row[1]) if row else None


def note(connection: Connection, system: str, outcome: Outcome, owner: str) -> dt.datetime:
    """Record what an outcome means for the whole system; returns when it may be called again.

    Busy pauses as told; Outage backs off; Denied pauses and opens one case for the administrator;
    Drift opens one for the integration engineer. Anything else is an answer: the door is open.
    """
    now = clock.now()
    row = connection.execute(
        "SELECT failures, state FROM system_states WHERE system = %s FOR UPDATE", (system,)
    ).fetchone()
    failures, before = (int(row[0]), str(row[1])) if row else (0, "open")
    state, wait, words = "open", 0.0, ""
    if isinstance(outcome, Busy):
        failures += 1
        told = outcome.wait_seconds
        state, words = "busy", outcome.detail.words
        wait = told if told is not None else back_off_seconds(failures)
    elif isinstance(outcome, Outage):
        failures += 1
        state, wait, words = "down", back_off_seconds(failures), outcome.detail.words
    elif isinstance(outcome, (Denied, Drift)):
        failures += 1
        state, wait, words = "denied", DENIED_PAUSE_SECONDS, outcome.detail.words
        cases.open_cases(connection, [_system_case(system, outcome, owner)])
    else:
        failures = 0
        if before == "denied":
            for reason in ("denied", "drift"):
                cases.close_for_system(connection, system, reason, "the system answers again")
    until = now + dt.timedelta(seconds=wait)
    if row is None and state == "open":
        return until
    connection.execute(
        "INSERT INTO system_states AS s (system, state, until, failures, words, changed_at) "
        "VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT (system) DO UPDATE SET "
        "state = excluded.state, until = excluded.until, failures = excluded.failures, "
        "words = excluded.words, changed_at = excluded.changed_at",
        (system, state, until, failures, words, now),
    )
    return until


def _system_case(system: str, outcome: Denied | Drift, owner: str) -> NewCase:
    denied = isinstance(outcome, Denied)
    detail = outcome.detail
    return NewCase(
        reason="denied" if denied else "drift",
        control="sign-in and permissions" if denied else "interface",
        words=f"{system}: {detail.words}",
        next_action=detail.next_action
        or (
            "Check the credentials and the role of the integration user; work resumes by itself."
            if denied
            else "Compare the system's interface with the mapping; then replay."
        ),
        owner=owner,
        field=detail.field,
        value=detail.code,
        system=system,
    )


def detail_of(outcome: Outcome) -> Detail:
    """The words of an outcome; an empty detail when it needs none."""
    detail = getattr(outcome, "detail", None)
    return detail if isinstance(detail, Detail) else Detail("")


def is_refusal(outcome: Outcome) -> bool:
    """Whether the system said an explicit no to this one write."""
    return isinstance(outcome, Rejected)
