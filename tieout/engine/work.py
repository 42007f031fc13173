"""What the steps of a round work with: one transaction, and the records it has at hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from tieout.engine.context import Context
from tieout.engine.planner import StepResult
from tieout.landscape.schema import FlowSpec, StepSpec
from tieout.store import records
from tieout.store.cases import NewCase
from tieout.store.database import Connection
from tieout.store.dispatches import Dispatch
from tieout.store.records import Record
from tieout.store.runs import Run


@dataclass
class Work:
    """One round. `at_hand` holds newest records by (type, key): read once, or brought along by
    whoever just made them. `proven` holds dispatches proven in this very transaction, by (system,
    stream, record key)."""

    context: Context
    connection: Connection
    at_hand: dict[tuple[str, str], Record] = field(default_factory=dict)
    proven: Mapping[tuple[str, str, str], Dispatch] = field(default_factory=dict)

    def newest(self, record_type: str, record_keys: Sequence[str]) -> Mapping[str, Record]:
        """The newest version of each of these records that exists, by record key."""
        missing = [key for key in record_keys if (record_type, key) not in self.at_hand]
        if missing:
            read = records.newest(self.connection, record_type, list(dict.fromkeys(missing)))
            self.at_hand.update({(record_type, key): one for key, one in read.items()})
        return {
            key: self.at_hand[record_type, key]
            for key in record_keys
            if (record_type, key) in self.at_hand
        }

    def of_runs(self, flow: FlowSpec, group: Sequence[Run]) -> Mapping[str, Record]:
        """The runs' own records, by record key."""
        return self.newest(flow.record_type, [run.record_key for run in group])

    def just_proven(self, step: StepSpec, run: Run) -> int | None:
        """The document of this step if it was proven just now to hold what the step would write:
        the same record version by the same mapping and landscape makes the same bytes."""
        one = self.proven.get((*self.context.compiled.target_of(step), run.record_key))
        if one is None or one.action not in {"create", "change"}:
            return None
        made_of = (one.record_version, one.mapping, one.landscape_hash)
        wanted = (run.record_version, step.mapping, self.context.landscape.content_hash)
        return one.document_id if made_of == wanted else None


@dataclass(frozen=True, slots=True)
class Step:
    """A step of a flow at its place: `number` counts from 0 in the flow as written."""

    flow: FlowSpec
    spec: StepSpec
    number: int


def of_run(case: NewCase, run: Run, record: Record) -> NewCase:
    """Add the run, its record and the amount at stake to a case."""
    return replace(
        case,
        run_id=run.run_id,
        record_type=run.record_type,
        record_key=run.record_key,
        system=record.system,
        stream=record.stream,
        source_key=record.source_key,
        amount=record.amount,
        currency=record.currency,
        legal_entity=record.legal_entity,
        period=record.period,
    )


def for_run(result: StepResult, run: Run, record: Record) -> StepResult:
    """A document's result with its cases told from the run's point of view."""
    if not result.cases and result.late_case is None:
        return result
    return replace(
        result,
        cases=tuple(of_run(case, run, record) for case in result.cases),
        late_case=of_run(result.late_case, run, record) if result.late_case else None,
    )
