"""From an outcome to who acts: system pauses, cases for people, waiting times with full jitter."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, replace

from tieout import clock
from tieout.finance.outcome import Busy, Denied, Detail, Drift, Outage, Outcome, Rejected, Unknown
from tieout.ports.errors import VendorFault
from tieout.ports.http import NoAnswer
from tieout.ports.session import Session
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
    """What a reading that raised came to. Other exceptions are bugs and are raised again.

    A reading changes nothing: one without an answer is an outage to back off from, and one that the
    system refuses as wrong will be refused again until somebody changes it.
    """
    if isinstance(error, VendorFault):
        outcome = error.outcome
        if isinstance(outcome, Unknown):
            return Outage(outcome.detail)
        return Drift(outcome.detail) if isinstance(outcome, Rejected) else outcome
    if isinstance(error, SignInFailed):
        return Denied(Detail(error.words, error.next_action, "SIGN_IN"))
    if isinstance(error, NoAnswer):
        return Outage(Detail(error.words, "Nothing to do: the engine looks again by itself."))
    raise error


def redacted(outcome: Outcome, session: Session) -> Outcome:
    """The outcome with every secret of the system blanked out: vendors repeat what they are sent.
    Everything that is stored about an outcome passes through here."""
    detail = outcome.detail
    if detail is None:
        return outcome
    return replace(
        outcome,
        detail=replace(
            detail,
            words=session.redact(detail.words),
            next_action=session.redact(detail.next_action),
            code=session.redact(detail.code),
            field=session.redact(detail.field),
        ),
    )


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


def not_working(connection: Connection) -> list[str]:
    """What a person must know of systems that cannot be worked with now: `netsuite is down: …`."""
    rows = connection.execute(
        "SELECT system, state, words FROM system_states WHERE state <> 'open' ORDER BY system"
    ).fetchall()
    return [f"{system} is {state}: {words}" for system, state, words in rows]


def ask_again(connection: Connection) -> None:
    """A person wants work now: end the pauses of systems that were down or refused us. What a
    system told us to wait (Retry-After) stays."""
    connection.execute(
        "UPDATE system_states SET until = %s WHERE state IN ('down', 'denied')", (clock.now(),)
    )


def note(
    connection: Connection, system: str, outcome: Outcome, owner: str, doing: str
) -> dt.datetime:
    """Record what an outcome means for the whole system; returns when it may be called again.

    Busy pauses as told; Outage backs off; Denied pauses and opens one case for the administrator;
    Drift opens one for the integration engineer. `doing` says what was tried (send invoice): such
    a case closes when just that works again. Any other answer opens the door; Unknown is none.
    """
    now = clock.now()
    troubled = isinstance(outcome, Busy | Outage | Denied | Drift)
    if not troubled and (isinstance(outcome, Unknown) or _is_well(connection, system)):
        return now
    row = connection.execute(
        "SELECT failures FROM system_states WHERE system = %s FOR UPDATE", (system,)
    ).fetchone()
    failures = (int(row[0]) if row else 0) + 1
    state, wait, words = "open", 0.0, ""
    if isinstance(outcome, Busy):
        told = outcome.wait_seconds
        state, words = "busy", outcome.detail.words
        wait = told if told is not None else back_off_seconds(failures)
    elif isinstance(outcome, Outage):
        state, wait, words = "down", back_off_seconds(failures), outcome.detail.words
    elif isinstance(outcome, (Denied, Drift)):
        state, wait, words = "denied", DENIED_PAUSE_SECONDS, outcome.detail.words
        cases.open_cases(connection, [_system_case(system, outcome, owner, doing)])
    else:
        failures = 0
        cases.close_for_system(connection, system, doing, "the system answers again")
    until = now + dt.timedelta(seconds=wait)
    connection.execute(
        "INSERT INTO system_states AS s (system, state, until, failures, words, changed_at) "
        "VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT (system) DO UPDATE SET "
        "state = excluded.state, until = greatest(excluded.until, CASE WHEN excluded.state <> "
        "'open' THEN s.until END), failures = excluded.failures, words = excluded.words, "
        "changed_at = excluded.changed_at",
        (system, state, until, failures, words, now),
    )
    return until


def _is_well(connection: Connection, system: str) -> bool:
    """Whether a good answer tells us nothing new about the system: one look, no lock."""
    row = connection.execute(
        "SELECT NOT EXISTS (SELECT FROM system_states WHERE system = %(system)s "
        "AND (state <> 'open' OR failures > 0)) AND NOT EXISTS (SELECT FROM cases "
        "WHERE state = 'open' AND system = %(system)s AND reason IN ('denied', 'drift') "
        "AND source_key = '')",
        {"system": system},
    ).fetchone()
    return bool(row and row[0])


def _system_case(system: str, outcome: Denied | Drift, owner: str, doing: str) -> NewCase:
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
        field="" if detail.code == "SIGN_IN" else doing,
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
