"""Making records: mapped rows become record versions, or cases that name what is wrong.

One maker works for one stream and one transaction; it gathers what that transaction will write.
"""

from __future__ import annotations

import datetime as dt
import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from tieout.engine.context import Context
from tieout.finance.digest import digest_bytes, record_key
from tieout.finance.period import NoPeriod
from tieout.landscape.schema import FlowSpec
from tieout.rules.mapping import FieldError, Mapped, MappingResult
from tieout.rules.spec import RecordTypeSpec
from tieout.store.arrivals import Arrival, Settled, partition_of
from tieout.store.cases import NewCase
from tieout.store.records import Head, Record
from tieout.store.runs import Wanted
from tieout.store.totals import Movement


@dataclass
class Batch:
    """What one transaction will write, gathered."""

    records: list[Record] = field(default_factory=list)
    heads: list[tuple[str, str, Head]] = field(default_factory=list)
    settled: list[Settled] = field(default_factory=list)
    cases: list[NewCase] = field(default_factory=list)
    wanted: list[Wanted] = field(default_factory=list)
    movements: list[Movement] = field(default_factory=list)
    healed: list[str] = field(default_factory=list)  # source keys whose cases are over


def settle(batch: Batch, one: Arrival, state: str, flow: str, record: Record | None = None) -> None:
    batch.settled.append(
        Settled(one.arrival_id, state)
        if record is None
        else Settled(
            one.arrival_id,
            state,
            record.record_type,
            record.record_key,
            record.version,
            record.legal_entity,
        )
    )
    batch.movements.append(
        Movement(flow, "resolved", state)
        if record is None
        else Movement(
            flow,
            "resolved",
            state,
            record.legal_entity,
            record.period,
            record.currency,
            record.amount,
        )
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
        partition_of(record.record_key),
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

    def make(
        self,
        fresh: Sequence[Arrival],
        result: MappingResult,
        keys: dict[str, str],
        heads: dict[str, Head],
    ) -> None:
        """Settle every arrival: recorded, unchanged, out of scope, or held by a case."""
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
                self._open(case, by_id[failure.row_id], good[failure.row_id].body)
                if failure.severity == "stop":
                    stopped[failure.row_id].append(case)
        for row_id, one in good.items():
            arrival = by_id[row_id]
            key = keys[arrival.source_key]
            if any(one.conditions.get(flow.name, False) is None for flow in self.flows):
                self._unclear(arrival, one)
            elif not in_scope[row_id] and key not in heads:
                settle(self.batch, arrival, "out_of_scope", self._flow)
                self.batch.healed.append(arrival.source_key)
            elif row_id in stopped:
                settle(self.batch, arrival, "held", self._flow)
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
            settle(self.batch, arrival, "out_of_scope", self._flow)
            self.batch.healed.append(arrival.source_key)
            return
        body = partial.body if partial is not None else ""
        for problem in problems:
            self._open(_mapping_case(problem, self.spec), arrival, body)
        settle(self.batch, arrival, "held", self._flow)

    @property
    def _flow(self) -> str:
        return f"{self.system}.{self.stream}"

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
                    one.body,
                )
        settle(self.batch, arrival, "held", self._flow)

    def _record(
        self, arrival: Arrival, one: Mapped, key: str, head: Head | None, in_scope: bool
    ) -> None:
        content = digest_bytes(one.body.encode())
        self.batch.healed.append(arrival.source_key)
        same = head is not None and head.digest == content and head.in_scope == in_scope
        version = 1 if head is None else head.version + (0 if same else 1)
        record = self._built(arrival, one, key, version, content, in_scope)
        if same and head is not None:
            settle(self.batch, arrival, "unchanged", self._flow, record)
            self.batch.heads.append(
                (
                    self.spec.name,
                    key,
                    Head(
                        head.version, content, in_scope, arrival.source_version, arrival.arrival_id
                    ),
                )
            )
            return
        self.batch.records.append(record)
        settle(self.batch, arrival, "recorded", self._flow, record)
        for flow in self.flows:
            if one.conditions.get(flow.name):
                self.batch.wanted.append(wanted(record, flow, "forward"))
            elif head is not None:
                self.batch.wanted.append(wanted(record, flow, "undo"))

    def _built(
        self, arrival: Arrival, one: Mapped, key: str, version: int, content: str, in_scope: bool
    ) -> Record:
        facts = header(self.spec, one.body)
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
            mapping=self.context.compiled.inbound[self.system, self.stream].spec.name,
            mapping_version=self.context.compiled.inbound[self.system, self.stream].spec.version,
            landscape_hash=self.context.landscape.content_hash,
            legal_entity=facts.legal_entity,
            currency=facts.currency,
            amount=facts.amount,
            accounting_date=facts.date,
            period=self._period(facts),
            status=facts.status,
        )

    def _period(self, facts: Header) -> str:
        calendar = self.context.compiled.calendars.get(facts.legal_entity)
        if calendar is None or facts.date is None:
            return ""
        try:
            return calendar.period_of(facts.date).name
        except NoPeriod:
            return ""

    def _open(self, case: NewCase, arrival: Arrival, body: str) -> None:
        """Add who, where and how much to a case, and keep it."""
        facts = header(self.spec, body) if body else Header()
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


@dataclass(frozen=True, slots=True)
class Header:
    """The well-known fields of a record, as far as its body has them."""

    legal_entity: str = ""
    currency: str = ""
    amount: Decimal | None = None
    date: dt.date | None = None
    status: str = ""


def header(spec: RecordTypeSpec, body: str) -> Header:
    """Read the well-known fields of a canonical (or partly mapped) body."""
    values = json.loads(body)

    def text(name: str) -> str:
        value = values.get(name) if name else None
        return str(value) if value is not None else ""

    amount, date = text(spec.amount), text(spec.date)
    return Header(
        text(spec.legal_entity),
        text(spec.currency),
        Decimal(amount) if amount else None,
        dt.date.fromisoformat(date[:10]) if date else None,
        text(spec.status),
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
