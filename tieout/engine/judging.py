"""Judging: what a target shows of what we wrote, compared fact by fact. Only agreement counts.

One look settles a batch of dispatches: proven, different, not there yet, or nobody can tell. What
it came to is stored in the caller's transaction, and runs that waited for a proof go on in it.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation

from tieout import clock
from tieout.engine import flow, trouble
from tieout.engine.context import Context
from tieout.engine.telemetry import span
from tieout.finance.digest import canonical_json, canonical_texts, digest_bytes
from tieout.finance.outcome import Found
from tieout.ports.connector import Finds, Stream, Write
from tieout.store import audit, cases, dispatches, documents, evidence, proofs, runs
from tieout.store.cases import NewCase
from tieout.store.database import Connection
from tieout.store.dispatches import Change, Dispatch
from tieout.store.proofs import Attempt, Proof
from tieout.store.totals import Movement, move

MOST_LOOKS = 8
PENDING_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Look:
    """What a target showed of some writes, and what it was meant to show, by write key."""

    started_at: dt.datetime
    found: Mapping[str, Found | None]
    meant: Mapping[str, Mapping[str, str]]


def look(
    context: Context, system: str, stream: str, writes: Sequence[Write], keys: Sequence[str]
) -> Look:
    """Read these writes back; `keys` are those of their records. Raises trouble.ORDINARY."""
    finder = context.connector(system)
    if not isinstance(finder, Finds):
        raise TypeError(f"{system} does not read back; `tieout check` should have said so")

    def seen() -> Look:
        found = finder.find(context.session(system), stream, writes)
        meant = {one.write_key: finder.meant(stream, one) for one in writes}
        return Look(started_at, found, meant)

    started_at = clock.now()
    with span("look", {"system": system, "stream": stream}, lambda: keys):
        return trouble.guarded(seen)


@dataclass
class Verdicts:
    """What one look came to, gathered for one transaction."""

    proofs: list[Proof] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    attempts: list[Attempt] = field(default_factory=list)
    refusals: list[tuple[int, str, str]] = field(default_factory=list)
    doubts: list[NewCase] = field(default_factory=list)
    came: list[tuple[str, str]] = field(default_factory=list)  # flow and outcome of each look
    stuck: list[int] = field(default_factory=list)  # documents that wait for a person from now on


def judge(
    context: Context, verdicts: Verdicts, spec: Stream, one: Dispatch, write: Write, seen: Look
) -> None:
    """Decide about one dispatch from what the target shows."""
    meant, found = seen.meant[write.write_key], seen.found.get(write.write_key)
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
    if kind == "agrees":
        return  # the proof says all that a look has to say
    verdicts.attempts.append(
        Attempt(
            one.dispatch_id,
            one.attempts,
            "look",
            kind,
            "",
            outcome,
            None,
            seen.started_at,
            one.legal_entity,
        )
    )


def _absent(
    context: Context, verdicts: Verdicts, spec: Stream, one: Dispatch, write: Write, looks: int
) -> str:
    """It is not there. After a lost answer and its fence that is an answer; else look again."""
    if one.state == "written" and (looks < MOST_LOOKS or _may_repeat(spec)):
        return _look_again(verdicts, one, looks, "the target does not show it yet")
    if _may_repeat(spec):
        verdicts.changes.append(Change(one.dispatch_id, "planned", clock.now(), looks=looks))
        return "not applied"
    # Said to be there, by the system or by a person, and not shown: it may be there all the same.
    words, look = (
        (
            "it is said to be there, and this system does not show it",
            f"Look in {one.system} for {write.reference}; then say what you found, and under which "
            "id (--landed --target-id).",
        )
        if one.state == "written"
        else (
            "no answer came back, and this system cannot tell whether it has the document",
            f"Look in {one.system} for {write.reference}; then say what you found.",
        )
    )
    verdicts.changes.append(
        Change(one.dispatch_id, "in_doubt", clock.now(), one.handle, one.target_id, looks)
    )
    verdicts.stuck.append(one.document_id)
    verdicts.doubts.append(
        NewCase(
            reason="in_doubt",
            control=f"{one.system}.{one.stream}",
            words=words,
            next_action=look,
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


def _look_again(verdicts: Verdicts, one: Dispatch, looks: int, why: str) -> str:
    if looks < MOST_LOOKS:
        later = clock.now() + dt.timedelta(seconds=PENDING_SECONDS * 2 ** min(looks - 1, 6))
        verdicts.changes.append(
            Change(one.dispatch_id, one.state, later, one.handle, one.target_id, looks)
        )
        return f"pending: {why}"
    verdicts.changes.append(
        Change(one.dispatch_id, "differs", clock.now(), one.handle, one.target_id, looks)
    )
    verdicts.refusals.append(
        (
            one.document_id,
            f"{one.action}/{one.digest}",
            _differs(one, {"document": (one.reference, why)}),
        )
    )
    return f"gave up: {why}"


def _ended(one: Dispatch, state: str, found: Found, looks: int) -> Change:
    target = found.target_id or one.target_id
    return Change(one.dispatch_id, state, clock.now(), one.handle, target, looks)


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


def keep(context: Context, connection: Connection, verdicts: Verdicts) -> None:
    """Store what a look came to. The documents are locked already, in their order."""
    agreed = [proof.dispatch for proof in verdicts.proofs if proof.agrees]
    dispatches.change(connection, verdicts.changes)
    if verdicts.proofs:
        proofs.add_proofs(connection, verdicts.proofs)
    documents.refuse(connection, verdicts.refusals)
    proofs.log_attempts(connection, verdicts.attempts, context.worker)
    if verdicts.doubts:
        cases.open_cases(connection, verdicts.doubts)
    touched = [str(document_id) for document_id, _, _ in verdicts.refusals]
    touched += [str(document_id) for document_id in verdicts.stuck]
    runs.wake(connection, "document", touched)
    move(connection, [_posted(one) for one in agreed])
    audit.record(connection, context.actor, "prove", evidence.of_proofs(verdicts.proofs))
    flow.carry_on(context, connection, agreed)


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
