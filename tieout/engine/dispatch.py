"""Dispatch: commit the intent, send, commit what came of it. Exactly in that order.

A process that dies after the intent leaves a dispatch in `sending`; whoever takes over its
partition treats it as Unknown: fence, look, then decide. Nothing is retried here: an outcome says
when a dispatch may leave again.
"""

from __future__ import annotations

import contextvars
import datetime as dt
import hashlib
import json
from collections.abc import Sequence

from tieout import clock
from tieout.engine import judging, pacing, periods, trouble
from tieout.engine.calls import LANDED, Answer, Call, answer_of
from tieout.engine.context import Context
from tieout.engine.judging import Verdicts
from tieout.engine.pacing import Rooms
from tieout.engine.telemetry import TALLY
from tieout.finance.outcome import (
    Accepted,
    AlreadyThere,
    Drift,
    Outcome,
    Rejected,
    Unknown,
    Written,
)
from tieout.ports.connector import Document, Write
from tieout.store import dispatches, documents, intents, proofs, runs
from tieout.store.database import Connection, common_time
from tieout.store.dispatches import Change, Dispatch
from tieout.store.proofs import Attempt

MOST_PER_CALL = 5_000
HOLD_BACK_SECONDS = 1.0


def recover(context: Context) -> int:
    """Dispatches that a dead worker was sending become Unknown; returns how many."""
    with context.transaction() as connection:
        lost = dispatches.orphans(connection, context.partitions())
        if not lost:
            return 0
        now = clock.now()
        since = common_time(connection)
        dispatches.change(
            connection,
            [
                Change(one.dispatch_id, "unknown", since + fence(context, one), one.handle)
                for one in lost
            ],
        )
        proofs.log_attempts(
            connection,
            [
                Attempt(
                    one.dispatch_id,
                    one.attempts,
                    "send",
                    "Unknown",
                    "WORKER_LOST",
                    "the worker that was sending this died before it could say what came of it",
                    None,
                    now,
                    one.legal_entity,
                )
                for one in lost
            ],
            context.worker,
        )
    for one in lost:
        TALLY.outcomes(one.system, "send", [(one.flow, "Unknown")])
    return len(lost)


def send(context: Context) -> int:
    """Send what is due, one call per stream, systems side by side; returns how many left."""
    due = _due(context, "planned")
    with pacing.turn(context, [system for system, _ in due]) as rooms:
        calls = [
            call
            for system, stream in due
            if (call := _begin(context, system, stream, rooms)) is not None
        ]
        return _carry_out(context, calls)


def follow(context: Context) -> int:
    """Ask after accepted asynchronous jobs; returns how many dispatches were asked about."""
    due = _due(context, "accepted")
    with pacing.turn(context, [system for system, _ in due]) as rooms:
        calls = [
            call
            for system, stream in due
            if (call := _ask_after(context, system, stream, rooms)) is not None
        ]
        return _carry_out(context, calls)


def _ask_after(context: Context, system: str, stream: str, rooms: Rooms) -> Call | None:
    if not rooms.of(system, 1):
        return None
    with context.looking() as connection:
        due = dispatches.due(
            connection,
            system,
            stream,
            "accepted",
            context.partitions(),
            MOST_PER_CALL * 10,
            whole_batch=True,
        )
        writes = as_writes(connection, due)
    if not due:
        return None
    rooms.take(system, 1)
    return Call("follow", system, stream, tuple(due), tuple(writes), clock.now())


def fence(context: Context, one: Dispatch) -> dt.timedelta:
    """How long an unanswered write may still be under way: the stream's bound, or the
    environment's own when that is longer. Only an emulated system may have a shorter one. Counted
    by the clock that all workers share: another one may look than the one that sent."""
    stream = context.compiled.streams[one.system, one.stream]
    bound = stream.idempotency.in_flight_seconds if stream.idempotency else 0.0
    environment = context.environment_of(one.system)
    own = environment.fence_seconds or 0.0
    return dt.timedelta(seconds=own if environment.emulate and own else max(bound, own))


def as_writes(connection: Connection, batch: Sequence[Dispatch]) -> list[Write]:
    """Stored dispatches as the connector's writes, with the document each one replaces."""
    previous = intents.previous_bodies(
        connection, [one.previous for one in batch if one.previous is not None]
    )
    return [
        Write(
            write_key=one.write_key,
            reference=one.reference,
            action=one.action,  # type: ignore[arg-type]
            document=Document(one.body),
            target_id=one.target_id,
            previous=Document(previous[one.previous])
            if one.previous is not None and one.previous in previous
            else None,
        )
        for one in batch
    ]


def _due(context: Context, state: str) -> list[tuple[str, str]]:
    with context.looking() as connection:
        return dispatches.due_streams(
            connection, context.compiled.targets, context.partitions(), state
        )


def _begin(context: Context, system: str, stream: str, rooms: Rooms) -> Call | None:
    """Choose what leaves now and commit that it leaves."""
    spec = context.compiled.streams[system, stream]
    batched = any(
        step.batch_seconds is not None and context.compiled.target_of(step) == (system, stream)
        for flow in context.landscape.flows.values()
        for step in flow.steps
        if step.mapping
    )
    most = spec.most_writes_per_call if batched else min(spec.most_writes_per_call, MOST_PER_CALL)
    most = rooms.of(system, most)
    if not most:
        return None
    with context.transaction() as connection:
        if batched and _job_under_way(connection, system, stream):
            return None  # one import at a time: the next batch grows meanwhile
        batch = [
            one
            for lane, number in pacing.lane_shares(
                context, connection, system, stream, most, whole=batched
            ).items()
            for one in dispatches.due(
                connection,
                system,
                stream,
                "planned",
                context.partitions(),
                number,
                whole_batch=batched,
                locked=True,
                lane=lane,
                known=context.warm.dispatches,
            )
        ]
        batch = _still_open(context, connection, system, stream, batch)
        if not batch:
            return None
        writes = as_writes(connection, batch)
        together = hashlib.sha256("\n".join(one.digest for one in batch).encode()).hexdigest()
        sent = dispatches.start_sending(connection, batch, delivery=together if batched else "")
    rooms.take(system, 1 if batched else len(batch))
    context.warm.sent(one.dispatch_id for one in sent)
    return Call("send", system, stream, tuple(sent), tuple(writes), clock.now())


def _still_open(
    context: Context, connection: Connection, system: str, stream: str, batch: list[Dispatch]
) -> list[Dispatch]:
    """Those that may leave. A plan that waited until its period was closed is dropped, and its run
    decides anew: it meets the gate, and a person."""
    fresh = [one.dispatch_id for one in batch if not one.attempts]
    late = periods.overtaken(context, connection, system, stream, fresh)
    if not late:
        return batch
    dispatches.supersede(connection, sorted(late))
    waiting = [str(one.document_id) for one in batch if one.dispatch_id in late]
    runs.wake(connection, "document", waiting)
    return [one for one in batch if one.dispatch_id not in late]


def _job_under_way(connection: Connection, system: str, stream: str) -> bool:
    return any(
        dispatches.any_in(connection, system, stream, state) for state in ("accepted", "sending")
    )


def _carry_out(context: Context, calls: Sequence[Call]) -> int:
    """Make the calls side by side and commit each one's outcomes as it returns."""
    if not calls:
        return 0
    for call in calls:
        context.session(call.system)  # opened here: sessions are made by one thread
    asked = [(contextvars.copy_context(), call) for call in calls]  # a trace goes on in its thread
    with clock.executor(len(calls)) as pool:
        answers = pool.map(lambda one: one[0].run(answer_of, context, one[1]), asked)
        for call, answer in zip(calls, answers, strict=True):
            _commit(context, call, answer)
    return sum(len(call.dispatches) for call in calls)


def _commit(context: Context, call: Call, answer: Answer) -> None:
    """One transaction: new states, evidence and proofs, system pauses, refusals; and whatever
    waited for a proof goes on."""
    now = clock.now()
    session = context.session(call.system)
    outcomes = [trouble.redacted(one, session) for one in answer.outcomes]
    spec = context.compiled.streams[call.system, call.stream]
    verdicts = Verdicts(attempts=_attempts(call, outcomes))
    clock.reach("before_local_commit")
    with context.transaction() as connection:
        free_at = _note_system(context, connection, call, outcomes, now)
        doubtful = any(isinstance(one, Unknown | Drift) for one in outcomes)
        since = common_time(connection) if doubtful else now
        look_at = now
        if answer.look_failed is not None:  # confirm looks again
            said = answer.look_failed
            doing = f"find {call.stream}"
            free_at = trouble.note_failure(context, connection, call.system, said, doing)
            look_at = max(free_at, now + dt.timedelta(seconds=trouble.back_off_seconds(1)))
        documents.lock(connection, [one.document_id for one in call.dispatches])
        for one, write, outcome in zip(call.dispatches, call.writes, outcomes, strict=True):
            if answer.seen is not None and isinstance(outcome, LANDED):
                target = outcome.target_id or one.target_id
                landed = one.moved(
                    "written", one.attempts, one.looks, one.handle, one.delivery_id, target
                )
                judging.judge(context, verdicts, spec, landed, write, answer.seen)
                continue
            change = _change(context, call, one, outcome, max(free_at, now), since, look_at)
            verdicts.changes.append(change)
            if isinstance(outcome, Rejected):
                refused = (one.document_id, f"{one.action}/{one.digest}", _refusal(outcome))
                verdicts.refusals.append(refused)
        judging.keep(context, connection, verdicts)
    left = [
        (one.flow, type(outcome).__name__)
        for one, outcome in zip(call.dispatches, outcomes, strict=True)
        if not trouble.is_held_back(outcome)
    ]
    TALLY.outcomes(call.system, call.kind, left)
    TALLY.outcomes(call.system, "look", verdicts.came)


def _note_system(
    context: Context,
    connection: Connection,
    call: Call,
    outcomes: Sequence[Outcome],
    now: dt.datetime,
) -> dt.datetime:
    """Tell the system's state from all outcomes of a call: the worst one counts."""
    doing = f"{call.kind} {call.stream}"
    turn = context.session(call.system).turn
    failed = turn.take_failed() if turn is not None and turn.requests else None
    steward = context.steward_of(call.system)
    return trouble.note_all(connection, call.system, outcomes, steward, doing, most_failed=failed)


def _change(
    context: Context,
    call: Call,
    one: Dispatch,
    outcome: Outcome,
    free_at: dt.datetime,
    now: dt.datetime,
    look_at: dt.datetime,
) -> Change:
    match outcome:
        case Written(target_id=target) | AlreadyThere(target_id=target):
            return Change(one.dispatch_id, "written", look_at, one.handle, target)
        case Accepted(handle=handle, look_after_seconds=seconds):
            return Change(one.dispatch_id, "accepted", now + dt.timedelta(seconds=seconds), handle)
        case Rejected():
            return Change(one.dispatch_id, "rejected", now, one.handle)
        case Unknown():
            return Change(one.dispatch_id, "unknown", now + fence(context, one), one.handle)
        case _ if call.kind == "follow":  # the job goes on; only the question was not answered
            return Change(one.dispatch_id, "accepted", free_at, one.handle)
        case Drift():  # an answer nobody understands may stand for a write that was applied
            return Change(one.dispatch_id, "unknown", now + fence(context, one), one.handle)
        case _:
            later = max(free_at, now + dt.timedelta(seconds=HOLD_BACK_SECONDS * clock.random()))
            untried = trouble.is_held_back(outcome)
            return Change(one.dispatch_id, "planned", later, one.handle, untried=untried)


def _refusal(outcome: Rejected) -> str:
    detail = outcome.detail
    reason = "period_closed" if detail.code == "period_closed" else "rejected"
    return json.dumps(
        {
            "reason": reason,
            "words": detail.words,
            "next_action": detail.next_action,
            "code": detail.code,
            "field": detail.field,
        }
    )


def _attempts(call: Call, outcomes: Sequence[Outcome]) -> list[Attempt]:
    found = []
    for one, outcome in zip(call.dispatches, outcomes, strict=True):
        if trouble.is_held_back(outcome):
            continue  # it never left: there is nothing to give evidence of
        detail = trouble.detail_of(outcome)
        found.append(
            Attempt(
                one.dispatch_id,
                one.attempts,
                call.kind,
                type(outcome).__name__,
                detail.code,
                detail.words[:1000],
                detail.http_status,
                call.started_at,
                one.legal_entity,
            )
        )
    return found
