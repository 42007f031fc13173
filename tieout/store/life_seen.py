"""What the life of a record is made of: arrivals, versions, runs, dispatches, proofs, links."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from decimal import Decimal

from tieout.store.cases import Case


@dataclass(frozen=True, slots=True)
class ArrivalSeen:
    """What a system said, and how often it said exactly that."""

    arrival_id: int
    system: str
    stream: str
    source_key: str
    source_version: str
    received_at: dt.datetime
    received_by: str
    state: str
    settled_at: dt.datetime | None
    deleted: bool
    record_version: int | None
    digest: str
    times: int
    last_at: dt.datetime


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One field of the canonical record that a version changed; `before` is "" when it was new."""

    field: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class RecordVersion:
    """One version of the record, with what changed since the version before it."""

    version: int
    recorded_at: dt.datetime
    system: str
    stream: str
    source_key: str
    arrival_id: int
    mapping: str
    mapping_version: int
    landscape_hash: str
    legal_entity: str
    currency: str
    amount: Decimal | None
    accounting_date: dt.date | None
    period: str
    status: str
    in_scope: bool
    digest: str
    changes: tuple[FieldChange, ...]
    body: str


@dataclass(frozen=True, slots=True)
class StepSeen:
    """One step of a run: in which revision and direction, and when it was done."""

    revision: int
    mode: str
    step_no: int
    step: str
    record_version: int
    state: str
    document_id: int | None
    started_at: dt.datetime
    done_at: dt.datetime | None


@dataclass(frozen=True, slots=True)
class RunSeen:
    """Where the record stands in one flow."""

    run_id: int
    flow: str
    record_version: int
    revision: int
    mode: str
    state: str
    waits_for: str
    waits_since: dt.datetime | None
    lane: str
    started_at: dt.datetime
    ended_at: dt.datetime | None
    steps: tuple[StepSeen, ...]


@dataclass(frozen=True, slots=True)
class AttemptSeen:
    """One try to write, one question after a job, or one look at the target."""

    dispatch_id: int
    attempt_no: int
    kind: str
    outcome: str
    code: str
    words: str
    http_status: int | None
    started_at: dt.datetime
    ended_at: dt.datetime


@dataclass(frozen=True, slots=True)
class Fact:
    """One fact of a proof: what we meant the target to show, and what it showed."""

    name: str
    meant: str
    found: str
    agrees: bool


@dataclass(frozen=True, slots=True)
class ProofSeen:
    """A reading back, fact by fact."""

    proof_id: int
    dispatch_id: int
    verdict: str
    read_at: dt.datetime
    target_id: str
    number: str
    digest: str
    facts: tuple[Fact, ...]


@dataclass(frozen=True, slots=True)
class DispatchSeen:
    """One intent towards a system, with every attempt and what was read back."""

    dispatch_id: int
    write_key: str
    action: str
    system: str
    stream: str
    reference: str
    revision: int
    state: str
    record_version: int
    flow: str
    planned_at: dt.datetime
    due_at: dt.datetime
    settled_at: dt.datetime | None
    target_id: str
    legal_entity: str
    currency: str
    amount: Decimal | None
    period: str
    mapping: str
    mapping_version: int
    rate_ids: tuple[str, ...]
    digest: str
    body: str
    attempts: tuple[AttemptSeen, ...]
    proofs: tuple[ProofSeen, ...]

    @property
    def number(self) -> str:
        """The document number people see (SO1042), as last read back; "" before a proof."""
        return next((one.number for one in reversed(self.proofs) if one.number), "")


@dataclass(frozen=True, slots=True)
class XrefSeen:
    """The record's id in one system."""

    system: str
    stream: str
    external_id: str
    number: str
    linked_at: dt.datetime


@dataclass(frozen=True, slots=True)
class Life:
    """One record's life, oldest first in every list.

    `address` finds it again; `found_as` says what the search text was for it. A row that never
    became a record (held by a case) has a life too, with no versions. `left_out` says in words
    what exceeded a bound.
    """

    address: str
    title: str
    found_as: str
    record_type: str
    record_key: str
    arrivals: tuple[ArrivalSeen, ...]
    versions: tuple[RecordVersion, ...]
    runs: tuple[RunSeen, ...]
    dispatches: tuple[DispatchSeen, ...]
    cases: tuple[Case, ...]
    xrefs: tuple[XrefSeen, ...]
    left_out: tuple[str, ...]

    @property
    def newest(self) -> RecordVersion | None:
        """The record as we hold it now."""
        return self.versions[-1] if self.versions else None
