"""Confirm: read back by our reference and compare facts. Only a proof that agrees counts.

It also settles what is Unknown, by grade: after the fence it looks. Found and agreeing is a proof;
absent means the same bytes may leave again (A, B), or that a person must decide (C).
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation

from tieout import clock
from tieout.engine import pacing, trouble
from tieout.engine.context import Context
from tieout.engine.dispatch import as_writes
from tieout.engine.telemetry import TALLY
from tieout.finance.digest import canonical_json, canonical_texts, digest_bytes
from tieout.finance.outcome import Found, Written
from tieout.ports.connector import Finds, Stream, Write
from tieout.store import audit, cases, dispatches, documents, evidence, proofs, runs
from tieout.store.cases import NewCase
from tieout.store.dispatches import Change, Dispatch
from tieout.store.proofs import Attempt, Proof
from tieout.store.totals import Movement, move

MOST_PER_LOOK = 500  # or what one writing call may carry, if that is more
MOST_LOOKS = 8
PENDING_SECONDS = 0.5


@dataclass
class _Verdicts:
    """What one look came to, gathered for one transaction."""

    proofs: list[Proof] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    attempts: list[Attempt] = field(default_factory=list)
    refusals: list[tuple[int, str, str]] = field(default_factory=list)
    doubts: list[NewCase] = field(default_factory=list)
    came: list[tuple[str, str]] = field(default_factory=list)  # flow and outcome of each look
    stuck: list[int] = field(default_factory=list)  # documents that wait for a person from now on


def confirm(context: Context) -> int:
    """Look at everything written or unknown that is due; returns how many were looked at."""
    looked = 0
    for state in ("written", "unknown"):
        with context.looking() as connection:
            streams = dispatches.due_streams(
                connection, context.compiled.targets, context.partitions(), state
            )
        for system, stream in streams:
            looked += _look(context, system, stream, state)
    return looked


def _look(context: Context, system: str, stream: str, state: str) -> int:
    with context.transaction() as connection:
        if trouble.paused(connection, system) is not None:
            return 0
        batch = dispatches.due(
            connection,
            system,
            stream,
            state,
            context.partitions(),
            max(MOST_PER_LOOK, context.compiled.streams[system, stream].most_writes_per_call),
        )
        writes = as_writes(connection, batch)
    finder = context.connector(system)
    if not batch or not isinstance(finder, Finds):
        return 0
    started_at = clock.now()
    try:
        with pacing.reading(context, system):
            found, meant = trouble.guarded(
                lambda: (
                    finder.find(context.session(system), stream, writes),
                    [finder.meant(stream, write) for write in writes],
                )
            )
    except trouble.ORDINARY as error:
        with context.transaction() as connection:
            free_at = trouble.note_failure(context, connection, system, error, f"find {stream}")
            later = max(free_at, clock.now() + dt.timedelta(seconds=trouble.back_off_seconds(1)))
            dispatches.change(
                connection,
                [
                    Change(one.dispatch_id, state, later, one.handle, looks=one.looks)
                    for one in batch
                ],
            )
        return 0
    spec = context.compiled.streams[system, stream]
    verdicts = _Verdicts()
    for one, write, facts in zip(batch, writes, meant, strict=True):
        _judge(context, verdicts, spec, one, write, facts, found.get(one.write_key), started_at)
    _commit(context, verdicts, system, stream)
    return len(batch)


def _judge(
    context: Context,
    verdicts: _Verdicts,
    spec: Stream,
    one: Dispatch,
    write: Write,
    meant: Mapping[str, str],
    found: Found | None,
    started_at: dt.datetime,
) -> None:
    """Decide about one dispatch from what the target shows."""
    looks = one.looks + 1
    if found is None:
        outcome = _absent(context, verdicts, spec, one, write, looks)
    elif found.pending:
        outcome = f"pending: {found.pending}"
        _look_again(verdicts, one, looks, found.pending)
    else:
        differences = compare(spec, meant, found.facts)
        if not differences:
            outcome = "agrees"
            verdicts.proofs.append(_proof(one, meant, found, {}))
            verdicts.changes.append(_ended(one, "proved", found, looks))
        elif one.state == "unknown" and one.action != "create" and _may_repeat(spec):
            outcome = "not applied yet"  # it still shows what was there before
            verdicts.changes.append(Change(one.dispatch_id, "planned", clock.now(), looks=looks))
        else:
            outcome = "differs"
            verdicts.proofs.append(_proof(one, meant, found, differences))
            verdicts.changes.append(_ended(one, "differs", found, looks))
            verdicts.refusals.append(
                (one.document_id, f"{one.action}/{one.digest}", _differs(one, differences))
            )
    kind = outcome.partition(":")[0]
    verdicts.came.append((one.flow, kind))
    verdicts.attempts.append(
        Attempt(
            one.dispatch_id,
            one.attempts,
            "look",
            kind,
            "",
            outcome,
            None,
            started_at,
            one.legal_entity,
        )
    )


def _absent(
    context: Context, verdicts: _Verdicts, spec: Stream, one: Dispatch, write: Write, looks: int
) -> str:
    """It is not there. After a lost answer and its fence that is an answer; else look again."""
    if one.state == "written":
        return _look_again(verdicts, one, looks, "the target does not show it yet")
    if _may_repeat(spec):
        verdicts.changes.append(Change(one.dispatch_id, "planned", clock.now(), looks=looks))
        return "not applied"
    verdicts.changes.append(Change(one.dispatch_id, "in_doubt", clock.now(), looks=looks))
    verdicts.stuck.append(one.document_id)
    verdicts.doubts.append(
        NewCase(
            reason="in_doubt",
            control=f"{one.system}.{one.stream}",
            words="no answer came back, and this system cannot tell whether it has the document",
            next_action=f"Look in {one.system} for {write.reference}; then say what you found.",
            owner=context.steward_of(one.system),
            field="reference",
            value=write.reference,
            system=one.system,
            stream=one.stream,
            record_type=one.record_type,
            record_key=one.record_key,
            dispatch_id=one.dispatch_id,
            amount=one.amount,
            currency=one.currency,
            legal_entity=one.legal_entity,
            period=one.period,
        )
    )
    return "in doubt"


def _may_repeat(spec: Stream) -> bool:
    """Whether a write that was not seen to land may be sent again: never in grade C."""
    return spec.idempotency is not None and spec.idempotency.grade != "C"


def _look_again(verdicts: _Verdicts, one: Dispatch, looks: int, why: str) -> str:
    if looks < MOST_LOOKS:
        later = clock.now() + dt.timedelta(seconds=PENDING_SECONDS * 2 ** min(looks - 1, 6))
        verdicts.changes.append(Change(one.dispatch_id, one.state, later, one.handle, looks=looks))
        return f"pending: {why}"
    verdicts.changes.append(Change(one.dispatch_id, "differs", clock.now(), looks=looks))
    verdicts.refusals.append(
        (
            one.document_id,
            f"{one.action}/{one.digest}",
            _differs(one, {"document": (one.reference, why)}),
        )
    )
    return f"gave up: {why}"


def _ended(one: Dispatch, state: str, found: Found, looks: int) -> Change:
    return Change(one.dispatch_id, state, clock.now(), one.handle, found.target_id, looks)


def compare(
    spec: Stream, meant: Mapping[str, str], found: Mapping[str, str]
) -> dict[str, tuple[str, str]]:
    """Facts that differ: name -> (meant, found). Amounts compare as numbers, the rest as text."""
    return {
        name: (value, found.get(name, ""))
        for name, value in meant.items()
        if not _same(spec.facts.get(name, "text"), value, found.get(name, ""))
    }


def _same(kind: str, meant: str, found: str) -> bool:
    if kind != "amount":
        return meant == found
    try:
        return Decimal(meant) == Decimal(found)
    except InvalidOperation:
        return False


def _proof(
    one: Dispatch,
    meant: Mapping[str, str],
    found: Found,
    differences: Mapping[str, tuple[str, str]],
) -> Proof:
    meant_text = canonical_texts(meant)
    found_text = canonical_texts(found.facts)
    differing = (
        canonical_json({name: list(pair) for name, pair in differences.items()}).decode()
        if differences
        else ""
    )
    together = digest_bytes(f"{one.write_key}\n{meant_text}\n{found_text}".encode())
    return Proof(
        one,
        not differences,
        meant_text,
        found_text,
        differing,
        found.target_id,
        found.number,
        together,
    )


def _differs(one: Dispatch, differences: Mapping[str, tuple[str, str]]) -> str:
    told = "; ".join(
        f"{name}: meant {meant}, found {found or 'nothing'}"
        for name, (meant, found) in differences.items()
    )
    return json.dumps(
        {
            "reason": "differs",
            "words": f"{one.system} shows something else than we wrote: {told}",
            "next_action": f"Find out who changed {one.reference} in {one.system}; then replay.",
            "code": one.reference,
            "field": next(iter(differences), ""),
        }
    )


def _commit(context: Context, verdicts: _Verdicts, system: str, stream: str) -> None:
    agreed = [proof for proof in verdicts.proofs if proof.agrees]
    with context.transaction() as connection:
        steward = context.steward_of(system)
        trouble.note(connection, system, Written(""), steward, f"find {stream}")
        documents.lock(connection, [p.dispatch.document_id for p in verdicts.proofs])
        dispatches.change(connection, verdicts.changes)
        if verdicts.proofs:
            proofs.add_proofs(connection, verdicts.proofs)
        documents.refuse(connection, verdicts.refusals)
        proofs.log_attempts(connection, verdicts.attempts, context.worker)
        if verdicts.doubts:
            cases.open_cases(connection, verdicts.doubts)
        touched = [str(proof.dispatch.document_id) for proof in agreed]
        touched += [str(document_id) for document_id, _, _ in verdicts.refusals]
        touched += [str(document_id) for document_id in verdicts.stuck]
        runs.wake(connection, "document", touched)
        move(connection, [_posted(proof.dispatch) for proof in agreed])
        audit.record(connection, context.actor, "prove", evidence.of_proofs(verdicts.proofs))
    TALLY.outcomes(system, "look", verdicts.came)


def _posted(one: Dispatch) -> Movement:
    bucket = {"create": "posted", "change": "changed", "void": "voided"}.get(one.action, "deleted")
    return Movement(
        one.flow,
        f"{one.system}.{one.stream}",
        bucket,
        one.legal_entity,
        one.period,
        one.currency,
        one.amount,
    )
