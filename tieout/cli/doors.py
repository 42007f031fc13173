"""What `tieout doctor` says of each door: whether calls to the system go through, how many at a
time, and what waits in which lane."""

from __future__ import annotations

from tieout import clock
from tieout.engine.context import Context
from tieout.store import measures, systems
from tieout.store.database import Connection
from tieout.store.systems import Told

Line = tuple[str, bool, str]  # what, whether it is well, words


def doors(context: Context, connection: Connection) -> list[Line]:
    """One line for each system of the landscape. Ill is a door that is shut because the system
    does not answer or refuses us; one that asked us to slow down is obeyed, and well."""
    known = {one.system: one for one in systems.overview(connection)}
    waiting: dict[str, dict[str, int]] = {}
    for one in measures.queues(connection, sorted(context.compiled.streams)):
        if one.state == "planned" and one.count:
            waiting.setdefault(one.system, {})[one.lane] = one.count
    lines = []
    for name in context.landscape.systems:
        told = known.get(name)
        most = context.environment_of(name).most_in_flight
        words = [_door(told), _calls(told, most), _lanes(waiting.get(name, {}))]
        well = told is None or told.door.state in ("open", "busy")
        lines.append((f"{name} door", well, "; ".join(one for one in words if one)))
    return lines


def _door(told: Told | None) -> str:
    if told is None or told.door.state == "open":
        return "open"
    door, now = told.door, clock.now()
    if door.shut(now) and door.until is not None:
        when = f"until {door.until:%Y-%m-%d %H:%M:%S} UTC"
    else:
        when = "one call is finding out" if told.probing else "the next call finds out"
    why = f" ({door.words})" if door.words else ""
    return f"{door.state}, {when}, {door.failures} failure(s) in a row{why}"


def _calls(told: Told | None, most: int) -> str:
    at_a_time = most if told is None or told.at_a_time is None else min(told.at_a_time, most)
    words = f"{at_a_time} of {most} calls at a time"
    if told is not None and told.per_second is not None:
        words += f", {told.calls_left or 0} call(s) left, {told.per_second:g} a second more"
    return words


def _lanes(waiting: dict[str, int]) -> str:
    if not waiting:
        return "nothing waits"
    each = ", ".join(f"{lane} {waiting[lane]:,}" for lane in measures.LANES if lane in waiting)
    return f"waiting by lane: {each}"
