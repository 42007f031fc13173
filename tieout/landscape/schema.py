"""A landscape, typed: everything an integration engineer writes, loaded and placed.

Pure values; `loader` builds them from the folder, `checker` judges them, the engine runs them.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from tieout.landscape.retention import RetentionSpec
from tieout.landscape.service_levels import AlertPolicy
from tieout.rules.interface import InterfaceSpec
from tieout.rules.place import Place
from tieout.rules.service_level import CompleteBy
from tieout.rules.spec import Crosswalk, MappingSpec, RecordTypeSpec

Verb = Literal["ensure", "require", "approve", "write", "wait", "call"]
WaitFor = Literal["", "duration", "until", "event"]
OnChange = Literal["update", "reverse_and_repost", "case"]
OnLeave = Literal["undo", "case"]
OnReject = Literal["undo", "case"]


@dataclass(frozen=True, slots=True)
class EnvironmentSpec:
    """Endpoints, secret references and limits of one system in one environment.

    `secrets` maps secret names to references: `env:NAME`, `file:PATH` or, for emulated systems
    only, `literal:…`. `emulate` is the name of the emulator to start ("" = a real system), and
    `emulator` holds the twin's own options. `start` is for a real system that is started beside us
    on this machine: its `program`, and that program's own options; empty for one that runs by
    itself.
    """

    settings: Mapping[str, str]
    secrets: Mapping[str, str] = field(repr=False)
    addresses: tuple[str, ...]  # URLs a session may reach
    most_in_flight: int = 4
    timeout_seconds: float = 30.0
    poll_seconds: float = 60.0
    sweep_seconds: float = 3_600.0  # how often keys are compared with the source's
    sweep_back_seconds: float = 172_800.0  # of what changed in how long a time
    fence_seconds: float | None = None  # a longer fence; emulated systems may shorten it too
    emulate: str = ""
    emulator: Mapping[str, str] = field(default_factory=dict)  # the twin's own options
    start: Mapping[str, str] = field(default_factory=dict)
    place: Place = field(default_factory=lambda: Place("", 0))


@dataclass(frozen=True, slots=True)
class SystemSpec:
    """A system of the landscape and the connector that speaks its tongue."""

    name: str
    connector: str
    title: str
    steward: str
    place: Place
    streams: tuple[str, ...] = ()  # streams to collect; empty: none is polled
    time_zone: str = "UTC"
    interfaces: Mapping[str, InterfaceSpec] = field(default_factory=dict)  # declared streams


@dataclass(frozen=True, slots=True)
class StepSpec:
    """One step of a flow.

    ensure: `record_type` (referenced by the run's record) is in `system`, rendered by `mapping`.
    require: `must` (SQL over the record) must be TRUE.
    approve: where `when` is not FALSE, `by` (a role or a person) agrees to the record's content.
    write: the run's record, rendered by `mapping`, is in `system`; `undo` is the mapping that takes
    it out of effect, "" where the system itself voids it.
    wait: for a `duration`, `until` a date, or for an `event`: a record of type `record_type` whose
    field `refers` names this one, proved in `system` where that is stated.
    call: the function `function` of functions.py over `arguments` says TRUE or nothing.
    """

    verb: Verb
    name: str
    place: Place
    record_type: str = ""
    system: str = ""
    mapping: str = ""
    must: str = ""
    because: str = ""
    on_change: OnChange = "case"
    on_leave: OnLeave = "case"
    undo: str = ""
    batch_seconds: float | None = None
    within_seconds: float | None = None  # how long a wait may last before it becomes a case
    within_business_days: int | None = None  # the same, by the legal entity's working days
    escalate: str = ""  # who owns that case after as long again: a role or a person
    when: str = "TRUE"
    by: str = ""
    maker: str = ""  # SQL over the record: who made it, "" where nobody knows
    wait: WaitFor = ""
    wait_seconds: float | None = None
    wait_business_days: int | None = None
    date: str = ""  # SQL over the record: the day a wait counts from, or ends on
    refers: str = ""
    function: str = ""
    arguments: tuple[tuple[str, str, Place], ...] = ()  # parameter, SQL over the record

    @property
    def has_deadline(self) -> bool:
        return self.within_seconds is not None or self.within_business_days is not None

    @property
    def touches_documents(self) -> bool:
        """Whether it brings a document to another system."""
        return self.verb in ("ensure", "write")


@dataclass(frozen=True, slots=True)
class FlowSpec:
    """What happens to a record, in order."""

    name: str
    record_type: str
    system: str
    stream: str
    when: str  # SQL over the arrival; TRUE = in scope
    when_place: Place
    steps: tuple[StepSpec, ...]
    steward: str
    place: Place
    lane: Literal["close_critical", "standard", "bulk"] = "standard"
    closed_period: Literal["hold"] = "hold"
    on_reject: OnReject = "case"  # a declined approval: take back what was written, or ask people
    fresh_within_seconds: float | None = None
    complete_by: CompleteBy | None = None


@dataclass(frozen=True, slots=True)
class AlsoSpec:
    """A second stream that counts on the same side, with the side's own key, sum and dimensions.

    `sign` -1 takes its amounts and its counts off: credit memos off invoices. `where` is SQL over
    its own rows.
    """

    stream: str
    sign: Literal[1, -1]
    place: Place
    where: str = "TRUE"


@dataclass(frozen=True, slots=True)
class SideSpec:
    """One side of a reconciliation, in the words of its own system (SQL over its stream).

    A record's amount on this side is the signed sum over `stream` and every stream of `also`; a
    record whose signed count and sum are both zero is not on the side.
    """

    name: str
    system: str
    stream: str
    key: str
    sum: str
    where: str
    dimensions: Mapping[str, str]  # by-name -> SQL
    place: Place
    each: str = ""  # path of a list to unfold before anything else
    unreadable: str = ""  # where rows that no rule can read are counted
    also: tuple[AlsoSpec, ...] = ()
    places: Mapping[str, Place] = field(default_factory=dict)  # key, sum, where, each dimension

    def place_of(self, name: str) -> Place:
        """Where the expression of this name stands."""
        return self.places.get(name, self.place)


@dataclass(frozen=True, slots=True)
class ReconciliationSpec:
    """Sides that must agree, group by group and record by record."""

    name: str
    steward: str
    sides: tuple[SideSpec, ...]
    by: tuple[str, ...]
    tolerance_each: str
    tolerance_total: str
    place: Place


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who may act; `legal_entities` empty means all of them."""

    name: str
    title: str
    roles: tuple[str, ...]
    legal_entities: tuple[str, ...] = ()
    email: str = ""


@dataclass(frozen=True, slots=True)
class LegalEntity:
    """Whose books: time zone and calendar decide its accounting dates and periods."""

    code: str
    title: str
    time_zone: str
    calendar: str
    base_currency: str


@dataclass(frozen=True, slots=True)
class CalendarSpec:
    """A fiscal calendar: `calendar`, `4-4-5`, `4-5-4`, `5-4-4` or `13-period`."""

    name: str
    pattern: str
    year_starts: str  # MM-DD
    holidays: frozenset[dt.date] = frozenset()  # no business days, beside Saturdays and Sundays


@dataclass(frozen=True, slots=True)
class RatesSpec:
    """Where exchange rates come from."""

    source: str = "ecb"
    rate_type: str = "spot"
    group_currency: str = "EUR"


@dataclass(frozen=True, slots=True)
class FunctionSpec:
    """A typed Python function of `functions.py`: trusted code under approval, not a sandbox.

    `parameters` are (name, annotation) pairs; an annotation is `Decimal` or `str | None`, say.
    """

    name: str
    parameters: tuple[tuple[str, str], ...]
    returns: str
    place: Place
    source_hash: str = ""  # of the whole file, as it was when it was judged


@dataclass(frozen=True)
class Landscape:
    """The whole, immutable. `content_hash` covers every governed file, never the environments."""

    name: str
    title: str
    folder: Path
    content_hash: str
    systems: Mapping[str, SystemSpec]
    records: Mapping[str, RecordTypeSpec]
    mappings: Mapping[str, MappingSpec]
    crosswalks: Mapping[str, Crosswalk]
    flows: Mapping[str, FlowSpec]
    reconciliations: Mapping[str, ReconciliationSpec]
    people: Mapping[str, Person]
    legal_entities: Mapping[str, LegalEntity]
    calendars: Mapping[str, CalendarSpec]
    environments: Mapping[str, Mapping[str, EnvironmentSpec]]  # environment -> system -> spec
    rates: RatesSpec = field(default_factory=RatesSpec)
    functions: Mapping[str, FunctionSpec] = field(default_factory=dict)
    alerts: AlertPolicy = field(default_factory=AlertPolicy)
    retention: RetentionSpec = field(default_factory=RetentionSpec)
