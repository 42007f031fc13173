"""Making records: mapped rows become record versions, or cases that name what is wrong.

One maker works for one stream and one transaction; it gathers what that transaction will write.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from tieout.engine.context import Context
from tieout.engine.facts import NO_FACTS, Facts, facts_of
from tieout.engine.telemetry import span
from tieout.finance.digest import digest_bytes, record_key
from tieout.finance.period import NoPeriod
from tieout.landscape.schema import FlowSpec
from tieout.rules.mapping import FieldError, Mapped, MappingResult
from tieout.rules.spec import RecordTypeSpec
from tieout.store.arrivals import Arrival, Settled
from tieout.store.cases import NewCase
from tieout.store.records import Head, Record, partition_of_record
from tieout.store.runs import Wanted
from tieout.store.totals import Tally


@dataclass
class Batch:
    """What one transaction will write, gathered."""

    flow: str  # system.stream
    records: list[Record] = field(default_factory=list)
    heads: list[Record] = field(default_factory=list)  # unchanged, but read anew
    settled: list[Settled] = field(default_factory=list)
    cases: list[NewCase] = field(default_factory=list)
    wanted: list[Wanted] = field(default_factory=list)
    tally: Tally = field(default_factory=Tally)
    healed: list[str] = field(default_factory=list)  # source keys whose cases are over

    def settle(self, one: Arrival, state: str, record: Record | None = None) -> None:
        """An arrival has ended in this state, as this record version if there is one."""
        if record is None:
            self.settled.append(Settled(one.arrival_id, state))
            self.tally.add(self.flow, "resolved", state)
            return
        self.settled.append(
            Settled(
                one.arrival_id,
                state,
                record.record_type,
                record.record_key,
                record.version,
                record.legal_entity,
            )
        )
        self.tally.add(
            self.flow,
            "resolved",
            state,
            record.legal_entity,
            record.period,
            record.currency,
            record.amount,
        )


def wanted(record: Record, flow: FlowSpec, mode: str) -> Wanted:
    return Wanted(
        flow.name,
        record.record_type,
        record.record_key,
        record.version,
        mode,
        flow.lane,
        record.legal_entity,
        partition_of_record(record),
        record.landscape_hash,
    )


class Maker:
    """Makes records and cases of one stream's mapped rows."""

    def __init__(
        self,
        context: Context,
        batch: Batch,
        spec: RecordTypeSpec,
        system: str,
        stream: str,
    ) -> None:
        self.context = context
        self.batch = batch
        self.spec = spec
        self.system = system
        self.stream = stream
        self.flows = context.compiled.flows_by_stream.get((system, stream), ())
        self.mapping = context.compiled.inbound[system, stream].spec
        self._periods: dict[tuple[str, dt.date], str] = {}

    def make(
        self,
        fresh: Sequence[Arrival],
        result: MappingResult,
        keys: dict[str, str],
        heads: dict[str, Head],
    ) -> None:
        """Settle every arrival: recorded, unchanged, out of scope, or held by a case."""
        told: dict[str, object] = {"record": self.spec.name, "count": len(fresh)}
        with span("resolve", told, lambda: [keys[one.source_key] for one in fresh]):
            self._make(fresh, result, keys, heads)

    def _make(
        self,
        fresh: Sequence[Arrival],
        result: MappingResult,
        keys: dict[str, str],
        heads: dict[str, Head],
    ) -> None:
        by_id = {one.arrival_id: one for one in fresh}
        failed: dict[int, list[FieldError]] = defaultdict(list)
        for error in result.errors:
            failed[error.row_id].append(error)
        good = {one.row_id: one for one in result.mapped}
        in_scope = {
            row_id: not self.flows or any(one.conditions.get(f.name) for f in self.flows)
            for row_id, one in good.items()
        }
        controls = self.context.compiled.controls.get(self.spec.name)
        stopped: dict[int, list[NewCase]] = defaultdict(list)
        if controls is not None:
            for failure in controls.run(
                self.context.runner,
                [(row_id, one.body) for row_id, one in good.items() if in_scope[row_id]],
            ):
                case = NewCase(
                    reason="control",
                    control=failure.control,
                    words=failure.because,
                    next_action=failure.next_action,
                    owner=self.spec.steward,
                    field=failure.field,
                    value=failure.value,
                    place=str(failure.place),
                )
                self._open(case, by_id[failure.row_id], good[failure.row_id])
                if failure.severity == "stop":
                    stopped[failure.row_id].append(case)
        for row_id, one in good.items():
            arrival = by_id[row_id]
            key = keys[arrival.source_key]
            if any(one.conditions.get(flow.name, False) is None for flow in self.flows):
                self._unclear(arrival, one)
            elif not in_scope[row_id] and key not in heads:
                self.batch.settle(arrival, "out_of_scope")
                self.batch.healed.append(arrival.source_key)
            elif row_id in stopped:
                self.batch.settle(arrival, "held")
            else:
                self._record(arrival, one, key, heads.get(key), in_scope[row_id])
        for row_id, problems in failed.items():
            self._failed(by_id[row_id], problems, result.partial.get(row_id), keys, heads)

    def _failed(
        self,
        arrival: Arrival,
        problems: Sequence[FieldError],
        partial: Mapped | None,
        keys: dict[str, str],
        heads: dict[str, Head],
    ) -> None:
        """A row with fields that cannot be mapped: a case, unless it is nobody's business yet."""
        known_out = partial is not None and all(
            partial.conditions.get(flow.name) is False for flow in self.flows
        )
        if self.flows and known_out and keys[arrival.source_key] not in heads:
            self.batch.settle(arrival, "out_of_scope")
            self.batch.healed.append(arrival.source_key)
            return
        for problem in problems:
            self._open(_mapping_case(problem, self.spec), arrival, partial)
        self.batch.settle(arrival, "held")

    def _unclear(self, arrival: Arrival, one: Mapped) -> None:
        """A `when` that is neither true nor false: a person says what the row is."""
        for flow in self.flows:
            if one.conditions.get(flow.name, False) is None:
                self._open(
                    NewCase(
                        reason="control",
                        control=f"{flow.name}.starts",
                        owner=flow.steward,
                        words=f"'{flow.when}' is neither true nor false for this row",
                        next_action="Fill the fields it reads at the source; it is read again.",
                        place=str(flow.when_place),
                    ),
                    arrival,
                    one,
                )
        self.batch.settle(arrival, "held")

    def _record(
        self, arrival: Arrival, one: Mapped, key: str, head: Head | None, in_scope: bool
    ) -> None:
        content = digest_bytes(one.body.encode())
        self.batch.healed.append(arrival.source_key)
        same = head is not None and head.digest == content and head.in_scope == in_scope
        version = 1 if head is None else head.version + (0 if same else 1)
        record = self._built(arrival, one, key, version, content, in_scope)
        if same and head is not None:
            self.batch.settle(arrival, "unchanged", record)
            self.batch.heads.append(record)
            return
        self.batch.records.append(record)
        self.batch.settle(arrival, "recorded", record)
        for flow in self.flows:
            if one.conditions.get(flow.name):
                self.batch.wanted.append(wanted(record, flow, "forward"))
            elif head is not None:
                self.batch.wanted.append(wanted(record, flow, "undo"))

    def _built(
        self, arrival: Arrival, one: Mapped, key: str, version: int, content: str, in_scope: bool
    ) -> Record:
        facts = facts_of(one)
        return Record(
            record_type=self.spec.name,
            record_key=key,
            version=version,
            body=one.body,
            digest=content,
            in_scope=in_scope,
            system=self.system,
            stream=self.stream,
            source_key=arrival.source_key,
            source_version=arrival.source_version,
            arrival_id=arrival.arrival_id,
            mapping=self.mapping.name,
            mapping_version=self.mapping.version,
            landscape_hash=self.context.landscape.content_hash,
            legal_entity=facts.legal_entity,
            currency=facts.currency,
            amount=facts.amount,
            accounting_date=facts.date,
            period=self._period(facts),
            status=facts.status,
            number=facts.number,
        )

    def _period(self, facts: Facts) -> str:
        if facts.date is None:
            return ""
        known = self._periods.get((facts.legal_entity, facts.date))
        if known is None:
            calendar = self.context.compiled.calendars.get(facts.legal_entity)
            try:
                known = calendar.period_of(facts.date).name if calendar else ""
            except NoPeriod:
                known = ""
            self._periods[facts.legal_entity, facts.date] = known
        return known

    def _open(self, case: NewCase, arrival: Arrival, mapped: Mapped | None) -> None:
        """Add who, where and how much to a case, and keep it."""
        facts = facts_of(mapped) if mapped is not None else NO_FACTS
        self.batch.cases.append(
            NewCase(
                **{
                    **{name: getattr(case, name) for name in NewCase.__slots__},
                    "system": self.system,
                    "stream": self.stream,
                    "source_key": arrival.source_key,
                    "arrival_id": arrival.arrival_id,
                    "record_type": self.spec.name,
                    "record_key": record_key(self.spec.name, self.system, arrival.source_key),
                    "amount": facts.amount,
                    "currency": facts.currency,
                    "legal_entity": facts.legal_entity,
                    "period": self._period(facts),
                }
            )
        )


def _mapping_case(problem: FieldError, spec: RecordTypeSpec) -> NewCase:
    return NewCase(
        reason=problem.control,
        control=f"{problem.control} {problem.field}",
        words=problem.why,
        next_action=problem.next_action,
        owner=spec.steward,
        field=problem.field,
        value=problem.value,
        place=str(problem.place),
    )
