"""Calls: one call to one system as the connector answers it, and the look right after it.

No database here: what came of a call is committed by `dispatch`.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from tieout.engine import judging, trouble
from tieout.engine.context import Context
from tieout.engine.judging import Look
from tieout.engine.telemetry import span
from tieout.finance.outcome import AlreadyThere, Outcome, Written
from tieout.ports.connector import Finds, Follows, Job, Write, Writes
from tieout.store.dispatches import Dispatch

LANDED = (Written, AlreadyThere)


@dataclass(frozen=True, slots=True)
class Call:
    """One call to one stream: what goes out, or what is asked about."""

    kind: str  # send or follow
    system: str
    stream: str
    dispatches: tuple[Dispatch, ...]
    writes: tuple[Write, ...]
    started_at: dt.datetime


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a call, one outcome for each dispatch, and what a look right after it showed."""

    outcomes: Sequence[Outcome]
    seen: Look | None = None
    look_failed: Exception | None = None


def answer_of(context: Context, call: Call) -> Answer:
    """What the connector says; a fault of its own is an answer too, never the worker's end."""
    writing = call.kind == "send"
    ask = partial(_write if writing else _follow, context, call)
    told = {"system": call.system, "stream": call.stream}
    with span(call.kind, told, lambda: [one.record_key for one in call.dispatches]):
        outcomes = trouble.answers(ask, len(call.dispatches), writing=writing)
    written = _to_read_back(context, call, outcomes)
    if not written:
        return Answer(outcomes)
    keys = [
        one.record_key
        for one, outcome in zip(call.dispatches, outcomes, strict=True)
        if isinstance(outcome, LANDED)
    ]
    try:
        seen = judging.look(context, call.system, call.stream, written, keys)
    except trouble.ORDINARY as error:
        return Answer(outcomes, look_failed=error)
    return Answer(outcomes, seen)


def _to_read_back(context: Context, call: Call, outcomes: Sequence[Outcome]) -> list[Write]:
    """What the system says it has written, to be read back at once, in the same turn.

    Nothing in grade C: there what the system said is committed first. Should this process die while
    it looks, only that could tell later that the write had landed.
    """
    idempotency = context.compiled.streams[call.system, call.stream].idempotency
    if idempotency is None or idempotency.grade == "C":
        return []
    if not isinstance(context.connector(call.system), Finds):
        return []
    return [
        write for write, one in zip(call.writes, outcomes, strict=True) if isinstance(one, LANDED)
    ]


def _write(context: Context, call: Call) -> Sequence[Outcome]:
    connector = context.connector(call.system)
    if not isinstance(connector, Writes):
        raise TypeError(f"{call.system} does not write; `tieout check` should have said so")
    return connector.write(context.session(call.system), call.stream, call.writes)


def _follow(context: Context, call: Call) -> Sequence[Outcome]:
    connector, session = context.connector(call.system), context.session(call.system)
    if not isinstance(connector, Follows):
        raise TypeError(f"{call.system} accepted a job but does not follow any")
    jobs: dict[str, list[int]] = {}
    for index, one in enumerate(call.dispatches):
        jobs.setdefault(one.handle, []).append(index)
    answers = connector.follow(
        session,
        call.stream,
        [Job(handle, tuple(call.writes[i] for i in at)) for handle, at in jobs.items()],
    )
    by_index: dict[int, Outcome] = {}
    for indexes, outcomes in zip(jobs.values(), answers, strict=True):
        by_index.update(zip(indexes, outcomes, strict=True))
    return [by_index[index] for index in range(len(call.dispatches))]
