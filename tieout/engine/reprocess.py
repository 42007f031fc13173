"""Reprocess: what arrived is resolved again by today's mapping, in order, never twice.

The arrival that speaks for its source row goes back in line, with its verbatim text from the
database or the archive. A new record version comes of it only if the content differs. The record's
runs begin again at their first step and its refused intents may be tried again: what is as it
should be is passed at once, so that the same replay any number of times writes nothing more.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from tieout.engine.context import Context
from tieout.engine.steps import references
from tieout.finance.digest import record_key
from tieout.store import archive_reading, arrivals, audit, documents, records, replays, runs
from tieout.store.archive_reading import Gone
from tieout.store.database import Connection
from tieout.store.replay_selection import (
    OUTCOMES,
    ChosenArrival,
    ChosenDispatch,
    Found,
    Selection,
    Target,
    arrivals_page,
    dispatches_page,
    find,
)
from tieout.store.totals import move

MOST_PER_PAGE = 500
MOST_CHOSEN = 10_000
MOST_REFUSALS_NAMED = 200

Chosen = TypeVar("Chosen")


class NothingChosen(Exception):
    """The selection is empty, or asks for what does not exist. Says what was looked for."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Something chosen that is not replayed, and why. `subject` finds it again."""

    subject: str
    why: str


@dataclass
class Done:
    """What a replay did. `in_line` were under way already; refusals beyond 200 are only counted."""

    mode: str
    chosen: int = 0
    put_back: int = 0
    in_line: int = 0
    nothing: int = 0
    runs: int = 0
    forgiven: int = 0
    from_archive: int = 0
    refused: int = 0
    refusals: list[Refusal] = field(default_factory=list)

    def refuse(self, subject: str, why: str) -> None:
        self.refused += 1
        if len(self.refusals) < MOST_REFUSALS_NAMED:
            self.refusals.append(Refusal(subject, why))

    def add(self, page: Done) -> None:
        for name in ("put_back", "in_line", "nothing", "runs", "forgiven", "from_archive"):
            setattr(self, name, getattr(self, name) + getattr(page, name))
        self.refused += page.refused
        self.refusals += page.refusals[: MOST_REFUSALS_NAMED - len(self.refusals)]

    @property
    def counts(self) -> dict[str, int]:
        return {
            name: getattr(self, name)
            for name in ("put_back", "in_line", "nothing", "refused", "runs", "forgiven")
        }


def selection_of(
    context: Context,
    *,
    ids: Sequence[str] = (),
    flow: str = "",
    period: str = "",
    outcome: str = "",
    mapping: str = "",
    only_missing: bool = False,
) -> Selection:
    """A selection in the words of this landscape; `mapping` is NAME or NAME@VERSION.

    Raises NothingChosen where it names what does not exist.
    """
    landscape = context.landscape
    if flow and flow not in landscape.flows:
        raise NothingChosen(f"no flow '{flow}'; there are: {', '.join(sorted(landscape.flows))}")
    if outcome and outcome not in OUTCOMES:
        raise NothingChosen(f"no outcome '{outcome}'; there are: {', '.join(OUTCOMES)}")
    name, _, version = mapping.partition("@")
    if version and not (version.isascii() and version.isdigit() and len(version) < 10):
        raise NothingChosen(f"'{version}' is no mapping version; write NAME@3, or NAME for all")
    spec = landscape.flows.get(flow)
    return Selection(
        ids=tuple(ids),
        flow=flow,
        sources=((spec.system, spec.stream),) if spec else (),
        period=period,
        outcome=outcome,
        mapping=name,
        mapping_version=int(version) if version else None,
        targets=_targets(context) if only_missing else None,
    )


def _targets(context: Context) -> tuple[Target, ...]:
    """The documents that the written steps of every flow should leave somewhere."""
    return tuple(
        Target(flow.system, flow.stream, *context.compiled.target_of(step))
        for flow in context.landscape.flows.values()
        for step in flow.steps
        if step.verb == "write"
    )


def choose_arrivals(
    context: Context,
    selection: Selection,
    legal_entities: Sequence[str] = (),
    most: int = MOST_CHOSEN,
) -> list[ChosenArrival]:
    """What a reprocess is about, at most `most` and one more (so that the caller can say so).

    Raises NothingChosen.
    """
    with context.database.transaction(list(legal_entities) or ["*"]) as connection:
        found = _found(connection, selection)
        return arrivals_page(connection, selection, found, 0, most + 1)


def choose_dispatches(
    context: Context,
    selection: Selection,
    legal_entities: Sequence[str] = (),
    most: int = MOST_CHOSEN,
) -> list[ChosenDispatch]:
    """What a resend is about, at most `most` and one more. Raises NothingChosen."""
    with context.database.transaction(list(legal_entities) or ["*"]) as connection:
        found = _found(connection, selection)
        return dispatches_page(connection, selection, found, 0, most + 1)


def _found(connection: Connection, selection: Selection) -> Found | None:
    if not selection.ids:
        return None
    found = find(connection, selection.ids)
    if found.unknown:
        raise NothingChosen(
            f"nobody here knows {', '.join(map(repr, found.unknown))}. Ids of the source, of any "
            "target, document numbers, references, record keys, arrival:7, dispatch:9 and case:12 "
            "are understood"
        )
    return found


def pages(chosen: Sequence[Chosen], size: int = MOST_PER_PAGE) -> Iterator[Sequence[Chosen]]:
    """A list in bounded pages: each is one transaction."""
    for start in range(0, len(chosen), size):
        yield chosen[start : start + size]


def words_of(selection: Selection) -> dict[str, object]:
    """The selection as the audit trail keeps it: only what was asked for."""
    asked = {
        "ids": list(selection.ids),
        "flow": selection.flow,
        "period": selection.period,
        "outcome": selection.outcome,
        "mapping": selection.mapping
        + (f"@{selection.mapping_version}" if selection.mapping_version is not None else ""),
        "only_missing": selection.targets is not None,
    }
    return {name: value for name, value in asked.items() if value}


def reprocess(context: Context, selection: Selection, chosen: Sequence[ChosenArrival]) -> Done:
    """Put these arrivals back in line, page by page; every page is an audited action."""
    done = Done("reprocess", chosen=len(chosen))
    for page in pages(chosen):
        with context.database.transaction() as connection:
            part = Done("reprocess", chosen=len(page))
            _put_back(context, connection, page, part)
            audit.action(
                connection,
                context.actor,
                "reprocess",
                {"selection": words_of(selection), "chosen": len(page), **part.counts}
                | {"first": page[0].arrival_id, "last": page[-1].arrival_id},
            )
            replays.tell_workers(connection)
        done.add(part)
    return done


def _put_back(
    context: Context, connection: Connection, page: Sequence[ChosenArrival], done: Done
) -> None:
    fit = [one for one in page if judged(one, done)]
    texts = texts_of(connection, fit, done)
    again = replays.reopen(connection, sorted(texts))
    move(connection, [one.leaves for one in again])
    reopened = {one.arrival_id for one in again}
    archived = [one for one in texts.values() if one is not None and one.arrival_id in reopened]
    if archived:
        replays.bring_back(connection, archived)
    done.put_back, done.from_archive = len(again), len(archived)
    done.in_line += len(texts) - len(again)  # somebody else was quicker
    keys = sorted(
        {key for one in fit if one.arrival_id in reopened for key in keys_of(context, one)}
    )
    started = replays.start_over(connection, keys)
    done.runs = len(started)
    done.forgiven = documents.forgive(
        connection, _with_references(context, connection, started, keys)
    )
    waited_for = replays.documents_of(connection, keys)
    runs.wake(connection, "document", [str(one) for one in waited_for])


def judged(one: ChosenArrival, done: Done) -> bool:
    """Whether an arrival may go back in line; if not, `done` is told why."""
    if one.state == "new":
        done.in_line += 1
    elif one.overtaken_by is not None:
        done.refuse(
            f"arrival:{one.arrival_id}",
            f"arrival:{one.overtaken_by} speaks for {one.source_key} now; resolving this older one "
            f"again would set the record back. Reprocess arrival:{one.overtaken_by} instead",
        )
    elif one.state not in replays.REOPENED:
        done.refuse(
            f"arrival:{one.arrival_id}", f"it is {one.state}: a later reading took its place"
        )
    else:
        return True
    return False


def texts_of(
    connection: Connection, fit: Sequence[ChosenArrival], done: Done
) -> dict[int, replays.Payload | None]:
    """The arrivals whose verbatim text there is; None where the database has it, else the text from
    the archive. `done` is told which are gone, and where they should be."""
    here = replays.payloads(connection, [one.arrival_id for one in fit])
    texts: dict[int, replays.Payload | None] = dict.fromkeys(here)
    away = [one for one in fit if one.arrival_id not in here]
    if not away:
        return texts
    for one, found in archive_reading.payloads(
        connection, {one.arrival_id: (one.received_at, one.deleted, one.digest) for one in away}
    ).items():
        if isinstance(found, Gone):
            done.refuse(f"arrival:{one}", found.why)
        else:
            texts[one] = replays.Payload(one, found.received_at, found.payload, found.key_id)
    return texts


def bring_back_texts(connection: Connection, arrival_ids: Sequence[int]) -> list[int]:
    """Make sure that the resolver finds the texts of these arrivals; returns those that it does."""
    here = set(replays.payloads(connection, arrival_ids))
    away = replays.identities(connection, [one for one in arrival_ids if one not in here])
    found = archive_reading.payloads(connection, away) if away else {}
    back = [
        replays.Payload(number, one.received_at, one.payload, one.key_id)
        for number, one in found.items()
        if not isinstance(one, Gone)
    ]
    if back:
        replays.bring_back(connection, back)
    return sorted(here | {one.arrival_id for one in back})


def keys_of(context: Context, one: ChosenArrival) -> Iterator[str]:
    """The record an arrival is or would be about."""
    mapping = context.compiled.inbound.get((one.system, one.stream))
    if one.record_key:
        yield one.record_key
    if mapping is not None:
        yield record_key(mapping.spec.target, one.system, one.source_key)


def _with_references(
    context: Context,
    connection: Connection,
    started: Sequence[tuple[str, str]],
    keys: Sequence[str],
) -> list[str]:
    """These records and what they refer to: a parent that was refused may be tried again too."""
    found = set(keys)
    by_type: dict[str, list[str]] = {}
    for kind, key in started:
        by_type.setdefault(kind, []).append(key)
    for kind, of_type in sorted(by_type.items()):
        spec = context.landscape.records.get(kind)
        if spec is None:
            continue
        paths = [path for path, _ in spec.references()]
        for record in records.newest(connection, kind, of_type).values():
            found.update(references(record.body, paths))
    return sorted(found)


def arrival_of(one: ChosenArrival, payload: str) -> arrivals.Arrival:
    """The arrival as the resolver reads it."""
    return arrivals.Arrival(
        arrival_id=one.arrival_id,
        system=one.system,
        stream=one.stream,
        source_key=one.source_key,
        source_version=one.source_version,
        payload=payload,
        deleted=one.deleted,
        partition_no=one.partition_no,
    )
