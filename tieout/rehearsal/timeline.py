"""What happened to one business key, in order: what people did, what we made of it, what left, what
came of it in the target, and what kept it.

It is read while the database still holds the seed, with the same search that the console uses.
"""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Iterator, Sequence

from tieout.rehearsal.faults import MENU
from tieout.rehearsal.scene import Broken, Scene
from tieout.store.life import life_of
from tieout.store.life_seen import DispatchSeen, Life

MOST_KEYS = 5
MOST_LINES = 80  # for one key
FIRST_LINES = 20  # of those, when there are more: how it began; the rest tell how it ended
MOST_LIVES = 3  # records that one key may belong to

Line = tuple[dt.datetime, str]


def timelines(
    scene: Scene, broken: Sequence[Broken], trace: Sequence[Line]
) -> dict[str, tuple[str, ...]]:
    """By broken key, the first few of them, what happened to it, oldest first, in the rehearsal's
    time. A key that nothing is known of has an empty timeline. `trace` has what was noted while the
    seed was played."""
    keys = dict.fromkeys(key for one in broken for key in one.keys)
    return {key: _told(scene, key, trace) for key in list(keys)[:MOST_KEYS]}


def _told(scene: Scene, key: str, trace: Sequence[Line]) -> tuple[str, ...]:
    lines: list[Line] = []
    sources: set[tuple[str, str, str]] = set(_named(key))
    written: set[tuple[str, str]] = {(system, name) for system, _, name in sources}
    for life in _lives(scene, key):
        lines += _of_life(life, trace)
        sources |= {(one.system, one.stream, one.source_key) for one in life.arrivals}
        written |= {(one.system, one.reference) for one in life.dispatches}
    lines += _deeds(scene, sources)
    lines += _applied(scene, written)
    lines = [one for one in dict.fromkeys(lines) if one[1]]
    if lines:
        lines += _troubles(trace, min(lines)[0], max(lines)[0])
    return _bounded(_written(sorted(lines)))


def _written(lines: Sequence[Line]) -> list[str]:
    """In words; what was said several times on end is said once."""
    found = []
    for words, group in itertools.groupby(lines, key=lambda one: one[1]):
        times = [at for at, _ in group]
        again = f" ({len(times)} times)" if len(times) > 1 else ""
        found.append(f"{times[0]:%m-%d %H:%M:%S}  {words}{again}")
    return found


def _bounded(lines: list[str]) -> tuple[str, ...]:
    """The first and the last of many lines."""
    if len(lines) <= MOST_LINES:
        return tuple(lines)
    left_out = f"({len(lines) - MOST_LINES} lines left out)"
    return (*lines[:FIRST_LINES], left_out, *lines[FIRST_LINES - MOST_LINES :])


def _named(key: str) -> Iterator[tuple[str, str, str]]:
    """(system, stream, name) of a key that is written `system.stream name` or `system name`."""
    where, _, name = key.partition(" ")
    system, _, stream = where.partition(".")
    if name:
        yield system, stream, name


def _lives(scene: Scene, key: str) -> list[Life]:
    """The records that a key belongs to; what stands before it names its system."""
    found = life_of(scene.connection, key)
    if not found:
        found = [life for _, _, name in _named(key) for life in life_of(scene.connection, name)]
    return found[:MOST_LIVES]


def _of_life(life: Life, trace: Sequence[Line]) -> Iterator[Line]:
    for arrival in life.arrivals:
        what = f"{arrival.system}.{arrival.stream} {arrival.source_key}"
        deleted = ", deleted there" if arrival.deleted else ""
        yield (
            arrival.received_at,
            f"arrived: {what} version {arrival.source_version} by {arrival.received_by}{deleted} "
            f"→ {arrival.state}",
        )
        if arrival.times > 1:
            yield arrival.last_at, f"arrived again, {arrival.times} times by now: {what}"
    for version in life.versions:
        amount = f" {version.amount} {version.currency}" if version.amount is not None else ""
        scope = "" if version.in_scope else ", out of scope"
        yield (
            version.recorded_at,
            f"recorded: {life.record_type} version {version.version}{amount} {version.status}"
            f"{scope}",
        )
    for run in life.runs:
        yield run.started_at, f"flow {run.flow} began"
        if run.waits_since is not None:
            yield run.waits_since, f"flow {run.flow} {run.state}, waits for {run.waits_for}"
        if run.ended_at is not None:
            yield run.ended_at, f"flow {run.flow} {run.state}"
    for dispatch in life.dispatches:
        yield from _of_dispatch(dispatch, trace)
    for case in life.cases:
        yield case.opened_at, f"case {case.case_id} opened: {case.words}"
        if case.closed_at is not None:
            yield case.closed_at, f"case {case.case_id} closed: {case.closed_because}"


def _of_dispatch(dispatch: DispatchSeen, trace: Sequence[Line]) -> Iterator[Line]:
    name = f"dispatch {dispatch.dispatch_id}"
    yield (
        dispatch.planned_at,
        f"{name} planned: {dispatch.action} {dispatch.system}.{dispatch.stream} "
        f"{dispatch.reference} revision {dispatch.revision}, record version "
        f"{dispatch.record_version}",
    )
    for attempt in dispatch.attempts:
        words = f", {attempt.words}" if attempt.words else ""
        outcome = attempt.outcome or "no outcome written down"
        yield (
            attempt.started_at,
            f"{name} {attempt.kind} {attempt.attempt_no} to {dispatch.system}: {outcome}{words}",
        )
        for at, said in trace:
            if attempt.started_at <= at <= attempt.ended_at:
                fault = _fault_on_the_line(said, dispatch.system)
                if fault:
                    yield at, f"on the line to {dispatch.system}: {MENU[fault].words} ({said})"
    for proof in dispatch.proofs:
        differs = ", ".join(
            f"{fact.name} meant {fact.meant} found {fact.found}"
            for fact in proof.facts
            if not fact.agrees
        )
        number = f" {proof.number}" if proof.number else ""
        yield (
            proof.read_at,
            f"{name} read back{number}: {proof.verdict}{differs and f' ({differs})'}",
        )
    if dispatch.settled_at is not None and dispatch.state != "proved":
        yield dispatch.settled_at, f"{name} settled: {dispatch.state}"


def _fault_on_the_line(said: str, system: str) -> str:
    """The fault that a request to this system met; "" for another line of the trace, or none."""
    who, *rest = said.split(" ", 3)
    word = rest[2].split(" ")[0].rstrip(",") if who == system and len(rest) == 3 else ""
    return word if word in MENU and MENU[word].where == "line" else ""


def _deeds(scene: Scene, sources: set[tuple[str, str, str]]) -> Iterator[Line]:
    """What people did to the rows. A key may leave the stream out."""
    for deed in scene.deeds:
        if {(deed.system, deed.stream, deed.key), (deed.system, "", deed.key)} & sources:
            did = "deleted" if deed.row is None else "saved"
            how = f" with {MENU[deed.broken].words}" if deed.broken in MENU else ""
            yield deed.at, f"people {did} {deed.system}.{deed.stream} {deed.key}{how}"


def _applied(scene: Scene, written: set[tuple[str, str]]) -> Iterator[Line]:
    """What took effect in the targets."""
    for system, twin in sorted(scene.twins.items()):
        for one in twin.applied():
            if one.at is not None and (system, one.reference) in written:
                closed = ", in a closed period" if one.closed else ""
                yield (
                    one.at,
                    f"{system} carried out: {one.action} {one.stream} {one.reference} "
                    f"as {one.target_id or 'no id'}{closed}",
                )


def _troubles(trace: Sequence[Line], first: dt.datetime, last: dt.datetime) -> Iterator[Line]:
    """What befell everybody meanwhile: house, desk and systems."""
    for at, said in trace:
        word = said.partition(" ")[0]
        if word in MENU and first <= at <= last:
            yield at, f"meanwhile: {MENU[word].words} ({said.partition(' ')[2]})"
