"""Every arrival through today's inbound mapping once more, to compare with what we hold."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

from tieout.engine.facts import Facts, facts_of
from tieout.engine.lookups import Lookups
from tieout.finance.period import NoPeriod
from tieout.rehearsal.invariants.base import once
from tieout.rehearsal.invariants.deeds import Arrived, arrived
from tieout.rehearsal.scene import Scene
from tieout.rules.mapping import Mapped, Row

Group = tuple[str, str, str]
"""Legal entity, period, currency; all empty: it cannot be read whose money it is."""


@dataclass(frozen=True)
class Anew:
    """What arrivals come to. `whole` could be mapped; `partial` are rows with errors, as far as
    they could be."""

    whole: Mapping[int, Mapped] = field(default_factory=dict)
    partial: Mapping[int, Mapped] = field(default_factory=dict)


def anew(scene: Scene) -> Anew:
    """All arrivals of mapped streams that say what a row is (and not that it is gone)."""

    def make() -> Anew:
        by_stream: dict[tuple[str, str], list[Arrived]] = defaultdict(list)
        for one in arrived(scene):
            if not one.deleted:
                by_stream[one.system, one.stream].append(one)
        whole: dict[int, Mapped] = {}
        partial: dict[int, Mapped] = {}
        for at, some in sorted(by_stream.items()):
            mapping = scene.compiled.inbound.get(at)
            if mapping is None:
                continue
            result = mapping.run(
                scene.runner,
                [Row(one.arrival_id, one.source_key, one.payload) for one in some],
                Lookups(scene.connection, scene.compiled.calendars),
            )
            whole.update({one.row_id: one for one in result.mapped})
            partial.update(result.partial)
        return Anew(whole, partial)

    return once(scene, "anew", make)


def facts_anew(scene: Scene, arrival_id: int) -> Facts:
    """What an arrival says of its money, as far as it can be read."""
    found = anew(scene)
    one = found.whole.get(arrival_id) or found.partial.get(arrival_id)
    return facts_of(one) if one is not None else Facts()


def group_anew(scene: Scene, facts: Facts) -> Group:
    """Whose money it is, by the legal entity's own calendar."""
    calendar = scene.compiled.calendars.get(facts.legal_entity)
    try:
        period = calendar.period_of(facts.date).name if calendar and facts.date else ""
    except NoPeriod:
        period = ""
    return group_of(facts.legal_entity, period, facts.currency)


def group_of(entity: str, period: str, currency: str) -> Group:
    """Without a legal entity or a currency it is nobody's money that can be named."""
    return (entity, period, currency) if entity and currency else ("", "", "")
