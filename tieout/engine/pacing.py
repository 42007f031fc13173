"""Pacing: how much may go to each system now, shared fairly by lanes and by workers.

A *turn* is the part of a tick in which systems are called. It begins by asking what every system
takes: its door (`rules/door.py`), this worker's share of the calls at a time and what is left of
its rate (`rules/limits.py`), kept in PostgreSQL so that all workers together respect one limit. It
ends by telling what the calls met. A share is kept for a second, so that a quiet system costs one
look a turn and no write.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial

from tieout import clock
from tieout.engine import trouble
from tieout.engine.context import Context
from tieout.engine.pacer import Share
from tieout.ports.turn import Turn
from tieout.rules.lanes import LANES, Turns, shares
from tieout.rules.limits import Claim as Wish
from tieout.rules.limits import concurrency_after, grant, learned, tightest
from tieout.store import backlog, systems
from tieout.store.database import Connection

SHARE_SECONDS = 1.0  # how long a share holds before it is agreed anew
SLOT_SECONDS = 60.0  # a share nobody renews is free after this: longer than a call may last
MARGIN_SECONDS = 15.0  # what a probe's call gets beyond the system's own time limit
MOST_ARRIVALS_WAITING = 100_000
MOST_DISPATCHES_OPEN = 50_000


@dataclass
class Rooms:
    """How many writes may leave to each system in this turn (None: as many as a call takes)."""

    left: dict[str, int | None] = field(default_factory=dict)
    probing: set[str] = field(default_factory=set)

    def of(self, system: str, most: int) -> int:
        """How many of `most` may leave now."""
        left = self.left.get(system, 0)
        return most if left is None else max(0, min(left, most))

    def take(self, system: str, number: int) -> None:
        """So many leave: the rest is for the system's other streams."""
        left = self.left.get(system, 0)
        if left is not None:
            self.left[system] = 0 if system in self.probing and number else left - number


@contextlib.contextmanager
def turn(context: Context, names: Iterable[str]) -> Iterator[Rooms]:
    """Room to call these systems, until the end of the block. What they met is told afterwards.

    A system that cannot even be opened (a setting is missing) gets no room, and a case.
    """
    wanted = sorted(set(names))
    rooms = _rooms(context, wanted)
    turns: dict[str, Turn] = {}
    for system in wanted:
        if rooms.left[system] == 0:
            continue
        try:
            session = trouble.guarded(partial(context.session, system))
        except trouble.ORDINARY as error:
            rooms.left[system] = 0
            with context.transaction() as connection:
                trouble.note_failure(context, connection, system, error, "open")
            continue
        session.allow(context.pacer.held[system].slots)
        turns[system] = session.begin_turn()
    try:
        yield rooms
    finally:
        for system in turns:
            context.session(system).turn = None
        _settle(context, rooms, turns)


@contextlib.contextmanager
def reading(context: Context, system: str) -> Iterator[None]:
    """Room to read a system. Raises VendorFault (held back, which is no fault of the system's)
    when there is none."""
    with turn(context, [system]) as rooms:
        if not rooms.of(system, 1):
            raise trouble.held_back()
        yield


def _rooms(context: Context, wanted: list[str]) -> Rooms:
    rooms = Rooms()
    pacer, now = context.pacer, clock.monotonic()
    idle = [
        system
        for system, share in pacer.held.items()
        if system not in wanted and now - share.used_at > SHARE_SECONDS
    ]
    if not wanted and not idle:
        return rooms
    with context.database.transaction() as connection:
        if idle:
            systems.give_back(connection, context.holder, idle)
        agree = [
            system
            for system in wanted
            if system not in pacer.held
            or pacer.held[system].rated
            or pacer.held[system].renew_at <= now
        ]
        tokens = _agree(context, connection, agree) if agree else {}
        for system in wanted:
            rooms.left[system] = _room(context, connection, rooms, system, tokens.get(system))
    for system in idle:
        del pacer.held[system]
    return rooms


def _room(
    context: Context, connection: Connection, rooms: Rooms, system: str, tokens: int | None
) -> int | None:
    """What one system takes now: nothing, a probe, so many, or as many as a call takes."""
    share = context.pacer.held[system]
    if not share.slots or tokens == 0:
        return 0
    share.used_at = clock.monotonic()
    now = clock.now()
    door = systems.door(connection, system).door
    if door.shut(now):
        return 0
    if door.ajar(now):
        seconds = context.environment_of(system).timeout_seconds + MARGIN_SECONDS
        if not systems.claim_probe(connection, system, context.holder, seconds):
            return 0
        rooms.probing.add(system)
        return 1
    bounds = [one for one in (door.room, tokens) if one is not None]
    return min(bounds) if bounds else None


def _agree(context: Context, connection: Connection, names: list[str]) -> dict[str, int]:
    """Agree with the other workers on shares of these systems; returns the calls left where a rate
    is known."""
    most = {system: max(1, context.environment_of(system).most_in_flight) for system in names}
    known = systems.limits(connection, most)
    claimed = systems.claims(connection, names)
    me, now = str(context.holder), clock.now()
    slots: dict[str, int] = {}
    for system in names:
        mine = claimed[system].pop(me, Wish(me, 0, most[system]))
        mine = Wish(me, mine.has, most[system], mine.waited_seconds)
        limit = min(known[system].concurrency.now, most[system])
        slots[system] = grant(limit, mine, list(claimed[system].values()))
        context.pacer.held[system] = Share(
            slots[system],
            clock.monotonic() + (SHARE_SECONDS if slots[system] else 0.0),
            clock.monotonic(),
            known[system].bucket is not None,
            limit < most[system],
        )
    systems.keep_claims(connection, context.holder, slots, most, SLOT_SECONDS)
    return {
        system: bucket.calls(now)
        for system, limits in known.items()
        if (bucket := limits.bucket) is not None
    }


def _settle(context: Context, rooms: Rooms, turns: Mapping[str, Turn]) -> None:
    """Tell all workers what the calls met: requests made, refusals, what the headers said."""
    held = context.pacer.held
    changed = {
        system: met
        for system, met in turns.items()
        if met.refused or met.told or held[system].rated or held[system].below
    }
    unused = [one for one in sorted(rooms.probing) if one not in turns or not turns[one].requests]
    if not changed and not unused:
        return
    with context.database.transaction() as connection:
        for system in unused:  # one that was used ends when its outcome is told
            systems.drop_probe(connection, system, context.holder)
        if changed:
            _learn(context, connection, changed)


def _learn(context: Context, connection: Connection, met: Mapping[str, Turn]) -> None:
    now = clock.now()
    most = {system: max(1, context.environment_of(system).most_in_flight) for system in met}
    known = systems.limits(connection, most)
    for system, one in met.items():
        told = tightest(one.told)
        bucket, concurrency = known[system].bucket, known[system].concurrency
        if bucket is not None:
            bucket = bucket.less(one.requests, now)
        if told is not None:
            bucket = learned(bucket, told, now)
        if one.requests:
            concurrency = concurrency_after(concurrency, one.refused > 0, now)
        known[system] = systems.Limits(concurrency, bucket)
        share = context.pacer.held[system]
        share.rated, share.below = bucket is not None, concurrency.now < concurrency.most
        if one.refused:
            share.renew_at = 0.0
    systems.keep_limits(connection, known)


# --- lanes ----------------------------------------------------------------------------------------


def lane_shares(
    context: Context,
    connection: Connection,
    system: str,
    stream: str,
    room: int,
    *,
    whole: bool = False,
) -> dict[str, int]:
    """How many of each lane leave to a stream now, first lane first; lane "" stands for all of
    them. A stream whose flows share one lane, or that takes everything at once, needs no choice."""
    used = {
        flow.lane
        for flow in context.landscape.flows.values()
        for step in flow.steps
        if step.mapping and context.compiled.target_of(step) == (system, stream)
    }
    if whole or len(used) < 2:
        return {"": room}
    waiting = backlog.due_by_lane(connection, system, stream, context.partitions(), room)
    turns = context.pacer.lanes.get((system, stream), Turns())
    chosen, context.pacer.lanes[system, stream] = shares(waiting, room, turns)
    return {lane: chosen[lane] for lane in LANES if lane in chosen}


# --- back-pressure --------------------------------------------------------------------------------


def overfull(connection: Connection) -> str | None:
    """Why nothing more should be taken in now, or None. Polling waits; a webhook is told to come
    again (429), which loses nothing either."""
    if backlog.arrivals_exceed(connection, MOST_ARRIVALS_WAITING):
        return f"more than {MOST_ARRIVALS_WAITING:,} arrivals wait to be resolved"
    return None


def held_flows(context: Context, connection: Connection) -> list[str]:
    """Flows that write into a system to which too much is under way already: nothing more is
    planned for it, their runs stay ready where they are."""
    full = context.pacer.looked(
        "dispatches",
        lambda: backlog.dispatches_exceed(
            connection,
            sorted({system for system, _ in context.compiled.targets}),
            MOST_DISPATCHES_OPEN,
        ),
    )
    if not full:
        return []
    return sorted(
        name
        for name, flow in context.landscape.flows.items()
        if any(step.mapping and context.compiled.target_of(step)[0] in full for step in flow.steps)
    )
