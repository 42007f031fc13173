"""What happened to a record, in order: one list for the drawing and for the table under it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from tieout.store.life_seen import DispatchSeen, Life
from tieout.web.console.words import Tone, human, state

Shape = Literal["arrival", "version", "send", "look", "proof", "refusal", "case", "end"]

OWN_LANE = "tieout"
MOST_EVENTS = 400

_ACTIONS = {"create": "create", "change": "change", "void": "take back", "delete": "delete"}


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened, in the lane of one system.

    `source` names the event that caused it, for the line between them; `name` is its own.
    """

    at: dt.datetime
    lane: str
    shape: Shape
    tone: Tone
    title: str
    detail: str
    name: str = ""
    source: str = ""
    number: int = 0


def events_of(life: Life) -> tuple[Event, ...]:
    """Everything, oldest first and numbered from 1; the newest MOST_EVENTS when there are more."""
    found = [*_arrivals(life), *_versions(life), *_cases(life), *_ends(life)]
    for one in life.dispatches:
        found += _dispatch(one)
    order = {"arrival": 0, "version": 1, "send": 2, "look": 2, "refusal": 2, "end": 4}
    # What stands at one instant keeps the order in which it was stored.
    found.sort(key=lambda one: (one.at, order.get(one.shape, 3)))
    return tuple(
        replace(one, number=number) for number, one in enumerate(found[-MOST_EVENTS:], start=1)
    )


def _arrivals(life: Life) -> Iterator[Event]:
    for one in life.arrivals:
        said = "is gone" if one.deleted else "arrived"
        words, tone = state(one.state)
        detail = f"by {one.received_by}; {words}"
        if one.times > 1:
            detail += f"; came {one.times} times, kept once"
        yield Event(
            one.received_at,
            one.system,
            "arrival",
            "warn" if one.state == "held" else tone,
            f"{one.stream} {one.source_key} {said}",
            detail,
            f"arrival {one.arrival_id}",
        )


def _versions(life: Life) -> Iterator[Event]:
    for one in life.versions:
        if one.changes:
            names = [human(change.field) for change in one.changes]
            more = f" and {len(names) - 4} more" if len(names) > 4 else ""
            detail = f"changed: {', '.join(names[:4])}{more}"
        else:
            detail = "first version" if one.version == 1 else "no field changed"
        yield Event(
            one.recorded_at,
            OWN_LANE,
            "version",
            "good" if one.in_scope else "quiet",
            f"{human(life.record_type).capitalize()} version {one.version} recorded",
            f"{detail}; by mapping {one.mapping} version {one.mapping_version}",
            f"version {one.version}",
            f"arrival {one.arrival_id}",
        )


def _dispatch(one: DispatchSeen) -> Iterator[Event]:
    intent = f"{_ACTIONS.get(one.action, one.action)} {one.stream}"
    name = f"dispatch {one.dispatch_id}"
    sent = [attempt for attempt in one.attempts if attempt.kind == "send"]
    if not sent and not one.proofs:
        words, planned_tone = state(one.state)
        yield Event(
            one.planned_at,
            one.system,
            "send",
            planned_tone,
            f"To {intent}",
            f"{words}; {one.reference}",
            name,
            f"version {one.record_version}",
        )
    for index, attempt in enumerate(one.attempts):
        if attempt.kind == "look" and attempt.outcome in {"agrees", "differs"}:
            continue  # the proof itself tells it
        refused = attempt.outcome in {"Rejected", "Denied", "Drift"}
        unsure = attempt.outcome in {"Unknown", "Busy", "Outage"}
        tone: Tone = "bad" if refused else "warn" if unsure else "busy"
        told = " ".join(part for part in (attempt.code, attempt.words) if part)
        if attempt.kind == "send":
            title = f"Sent: {intent}, attempt {attempt.attempt_no}"
        else:
            title = "Asked after the job" if attempt.kind == "follow" else "Looked it up"
        yield Event(
            attempt.started_at,
            one.system,
            "refusal" if refused else "send" if attempt.kind == "send" else "look",
            tone,
            title,
            f"{_outcome(attempt.outcome)}{': ' + told if told else ''}",
            name if index == 0 else f"{name} {index}",
            f"version {one.record_version}" if attempt.kind == "send" else "",
        )
    for proof in one.proofs:
        agrees = proof.verdict == "agrees"
        known = proof.number or proof.target_id
        differing = ", ".join(fact.name for fact in proof.facts if not fact.agrees)
        yield Event(
            proof.read_at,
            one.system,
            "proof" if agrees else "refusal",
            "good" if agrees else "bad",
            f"Read back: {one.stream} {known} {'agrees' if agrees else 'differs'}",
            f"{len(proof.facts)} facts as meant" if agrees else f"not as meant: {differing}",
            f"proof {proof.proof_id}",
            name,
        )


def _outcome(name: str) -> str:
    known = {
        "Written": "the system says it is written",
        "AlreadyThere": "it is there already",
        "Accepted": "a job took it",
        "Busy": "asked us to wait",
        "Outage": "surely not applied",
        "Unknown": "no answer: it may or may not be applied",
        "Rejected": "refused",
        "Denied": "we are not allowed in",
        "Drift": "it speaks another interface than agreed",
    }
    return known.get(name, name)


def _cases(life: Life) -> Iterator[Event]:
    for one in life.cases:
        if isinstance(one.opened_at, dt.datetime):
            yield Event(
                one.opened_at,
                OWN_LANE,
                "case",
                "warn",
                f"Case {one.case_id} opened",
                one.words,
                f"case {one.case_id}",
                f"arrival {one.arrival_id}" if one.arrival_id else "",
            )
        if isinstance(one.closed_at, dt.datetime):
            yield Event(
                one.closed_at,
                OWN_LANE,
                "end",
                "good",
                f"Case {one.case_id} closed",
                f"by {one.closed_by}: {one.closed_because}",
                f"case {one.case_id} closed",
            )


def _ends(life: Life) -> Iterator[Event]:
    for one in life.runs:
        if one.ended_at is not None:
            words, tone = state(one.state)
            yield Event(
                one.ended_at,
                OWN_LANE,
                "end",
                tone,
                f"{human(one.flow).capitalize()} {words}",
                f"record version {one.record_version}, revision {one.revision}",
                f"run {one.run_id}",
            )


def lanes_of(events: Sequence[Event]) -> tuple[str, ...]:
    """The lanes in the order the record met them, with our own second: sources above, targets
    below."""
    met = list(dict.fromkeys(one.lane for one in events if one.lane != OWN_LANE))
    sources = [lane for lane in met if any(e.lane == lane and e.shape == "arrival" for e in events)]
    return (*sources, OWN_LANE, *(lane for lane in met if lane not in sources))
