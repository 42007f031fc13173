"""From an outcome to who acts: the door to a system, cases for people.

When a door is shut and for how long is decided by `rules/door.py`; here it is asked, stored, and
told to people. Everything a connector is asked to do goes through `guarded`.
"""

from __future__ import annotations

import datetime as dt
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from tieout import clock
from tieout.engine.context import Context
from tieout.finance.outcome import (
    Busy,
    Denied,
    Detail,
    Drift,
    Outage,
    Outcome,
    Rejected,
    Unknown,
    Written,
)
from tieout.ports.errors import VendorFault
from tieout.ports.http import NoAnswer
from tieout.ports.opening import SettingMissing
from tieout.ports.secrets import SecretMissing
from tieout.ports.session import Session
from tieout.ports.signin import SignInFailed
from tieout.rules import door as rule
from tieout.rules.door import Heard
from tieout.store import cases, systems
from tieout.store.cases import NewCase
from tieout.store.database import Connection

T = TypeVar("T")

CONNECTOR_FAULT = "CONNECTOR_FAULT"
HELD_BACK = "HELD_BACK"
HELD_BACK_SECONDS = 0.5
MOST_FAULT_LENGTH = 500
ORDINARY = (VendorFault, NoAnswer, SignInFailed)


def guarded(ask: Callable[[], T]) -> T:
    """Ask a connector for something. Raises VendorFault, NoAnswer or SignInFailed, nothing else.

    A connector that fails in any other way has a fault of its own: that is the trouble of its
    system alone, told to the integration engineer as Drift; the worker goes on with the others.
    What was being written is in doubt then.
    """
    try:
        return ask()
    except ORDINARY:
        raise
    except (SettingMissing, SecretMissing) as error:
        raise SignInFailed(
            str(error), "Complete the environment file; then `tieout up`."
        ) from error
    except MemoryError:
        raise  # not the connector's: the process is in trouble
    except Exception as error:
        raise VendorFault(fault_of(error)) from error


def fault_of(error: Exception) -> Drift:
    """What a fault in a connector's own code is to everybody else: words, and where it happened."""
    said = "".join(traceback.format_exception_only(error)).strip().splitlines()
    at = traceback.extract_tb(error.__traceback__)
    place = f" at {at[-1].filename.rpartition('/')[2]}:{at[-1].lineno}" if at else ""
    return Drift(
        Detail(
            f"the connector failed{place}: {(said or [type(error).__name__])[-1]}"[
                :MOST_FAULT_LENGTH
            ],
            "Mend the connector or its settings, and start the worker anew; writes that were "
            "under way are looked up first.",
            CONNECTOR_FAULT,
        )
    )


def answers(ask: Callable[[], Sequence[Outcome]], size: int, *, writing: bool) -> Sequence[Outcome]:
    """The outcomes of one call that a connector was to make for `size` dispatches.

    A connector tells outcomes and raises nothing: whatever it raises while it writes leaves all
    writes of the call in doubt, since some may have left.
    """
    try:
        found = guarded(ask)
        if len(found) != size:
            raise VendorFault(fault_of(ValueError(f"{len(found)} outcomes for {size} writes")))
        return found
    except ORDINARY as error:
        outcome = outcome_of(error)
        if writing and not isinstance(outcome, Drift):
            outcome = Unknown(detail_of(outcome))
        return [outcome] * size


def held_back() -> VendorFault:
    """Not asked: all calls that the system takes at a time, or in this time, are spoken for."""
    words = "held back: the calls that this system takes are spoken for"
    return VendorFault(Busy(Detail(words, "", HELD_BACK), HELD_BACK_SECONDS))


def back_off_seconds(failures: int) -> float:
    """Exponential with full jitter; `failures` counts from 1."""
    return rule.back_off_seconds(failures, clock.random())


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
    """Whether a system must not be called now: its door is shut, or somebody is finding out."""
    now = clock.now()
    seen = systems.door(connection, system)
    if seen.door.shut(now) and seen.door.until is not None:
        return Pause(seen.door.state, seen.door.until)
    if seen.door.ajar(now) and seen.probe_until is not None and seen.probe_until > now:
        return Pause(seen.door.state, seen.probe_until)
    return None


def not_working(connection: Connection) -> list[str]:
    """What a person must know of systems that cannot be worked with now: `netsuite is down: …`."""
    return systems.not_working(connection)


def ask_again(connection: Connection) -> None:
    """A person wants work now: end the pauses of systems that were down or refused us. What a
    system told us to wait (Retry-After) stays."""
    systems.ask_again(connection)


def note(
    connection: Connection,
    system: str,
    outcome: Outcome,
    owner: str,
    doing: str,
    *,
    well: int = 0,
    failed: int = 1,
) -> dt.datetime:
    """Record what an outcome means for the whole system; returns when it may be called again.

    Busy pauses as told; Outage backs off; Denied pauses and opens one case for the administrator;
    Drift opens one for the integration engineer. `doing` says what was tried (send invoice): such
    a case closes when just that works again. Any other answer opens the door; Unknown is none.
    `well` and `failed` count attempts, for the retry budget.
    """
    now = clock.now()
    if isinstance(outcome, Busy) and outcome.detail.code == HELD_BACK:
        return now + dt.timedelta(seconds=outcome.wait_seconds or 0.0)
    heard = _heard(outcome, well, failed)
    if heard.kind == "well" and systems.is_well(connection, system):
        return now
    before = systems.door(connection, system, locked=True).door
    door = rule.after(before, heard, now, clock.random())
    if isinstance(outcome, (Denied, Drift)):
        cases.open_cases(connection, [_system_case(system, outcome, owner, doing)])
    elif heard.kind == "well":
        cases.close_for_system(connection, system, doing, "the system answers again")
    systems.keep_door(connection, system, door)
    return max(now, door.until) if door.until is not None else now


def note_all(
    connection: Connection,
    system: str,
    outcomes: Sequence[Outcome],
    owner: str,
    doing: str,
    *,
    most_failed: int | None = None,
) -> dt.datetime:
    """Like `note`, for all outcomes of one call: the worst counts for the system, and only a call
    of which nothing is known is unsure. `most_failed` is how many of its attempts really left and
    failed: what was held back here fails nobody."""
    order: Sequence[type] = (Unknown, Busy, Outage, Drift, Denied)
    ranks = [next((n + 1 for n, kind in enumerate(order) if isinstance(one, kind)), 0)
             for one in outcomes]  # fmt: skip
    bad = sum(rank > 0 for rank in ranks)
    worst = max(range(len(outcomes)), key=lambda at: ranks[at], default=None)
    outcome = Written("") if worst is None else outcomes[worst]
    if isinstance(outcome, Unknown) and bad < len(outcomes):
        outcome = Written("")  # it answers, only not always
    failed = bad if most_failed is None else min(bad, most_failed)
    return note(connection, system, outcome, owner, doing, well=len(outcomes) - bad, failed=failed)


def note_failure(
    context: Context, connection: Connection, system: str, error: Exception, doing: str
) -> dt.datetime:
    """Record a reading that raised; returns when the system may be called again."""
    outcome, session = outcome_of(error), context.opened(system)
    if session is not None:
        outcome = redacted(outcome, session)
    return note(connection, system, outcome, context.steward_of(system), doing)


def _heard(outcome: Outcome, well: int, failed: int) -> Heard:
    """An outcome in the words of the door."""
    words = detail_of(outcome).words
    match outcome:
        case Busy(wait_seconds=told):
            return Heard("busy", well, failed, told, words)
        case Outage():
            return Heard("down", well, failed, None, words)
        case Denied() | Drift():
            return Heard("denied", 0, failed, None, words)
        case Unknown():
            return Heard("unsure", 0, failed, None, words)
        case _:
            return Heard("well", max(1, well), 0)


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


def is_held_back(outcome: Outcome) -> bool:
    """Whether this write never left, since the system had just turned others away."""
    return isinstance(outcome, Busy | Outage) and outcome.held_back


def is_refusal(outcome: Outcome) -> bool:
    """Whether the system said an explicit no to this one write."""
    return isinstance(outcome, Rejected)
