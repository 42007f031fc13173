"""Resend: the same bytes under the same write key, where nothing has moved on since.

For what a target refused, or showed otherwise, although it was right as it was. The register of
documents decides: what is proven or under way is left alone, what was overtaken is refused, and a
closed period stays closed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from tieout import clock
from tieout.engine.context import Context
from tieout.engine.periods import Closed, closed_periods
from tieout.engine.reprocess import Done, pages, words_of
from tieout.store import audit, documents, evidence, intents, replays
from tieout.store.database import Connection
from tieout.store.documents import Document
from tieout.store.intents import NewDispatch
from tieout.store.replay_selection import ChosenDispatch, Selection

UNDER_WAY = ("planned", "sending", "accepted", "unknown", "written")


def resend(context: Context, selection: Selection, chosen: Sequence[ChosenDispatch]) -> Done:
    """Plan these dispatches once more as they were; every page is an audited action."""
    done = Done("resend", chosen=len(chosen))
    for page in pages(chosen):
        with context.database.transaction() as connection:
            part = Done("resend", chosen=len(page))
            again = judge(context, connection, page, part)
            if again:
                ids = [one.dispatch_id for one in intents.plan(connection, again)]
                leaves = evidence.of_dispatches(again, ids)
                audit.record(connection, context.actor, "plan", leaves)
            audit.action(
                connection,
                context.actor,
                "resend",
                {"selection": words_of(selection), "chosen": len(page), **part.counts}
                | {"first": page[0].dispatch_id, "last": page[-1].dispatch_id},
            )
            replays.tell_workers(connection)
        done.add(part)
    return done


def judge(
    context: Context, connection: Connection, page: Sequence[ChosenDispatch], done: Done
) -> list[NewDispatch]:
    """What may leave again; `done` is told about the rest. Locks the documents."""
    groups: dict[tuple[str, str, str], list[ChosenDispatch]] = defaultdict(list)
    for one in page:
        groups[one.system, one.stream, one.record_type].append(one)
    # Locked first and read after it: what somebody else committed while we waited is seen then.
    documents.lock(connection, sorted({one.document_id for one in page}))
    newest = replays.newest_versions(connection, sorted({one.record_key for one in page}))
    again: list[NewDispatch] = []
    for (system, stream, record_type), group in sorted(groups.items()):
        known = documents.known(
            connection, system, stream, record_type, [one.record_key for one in group]
        )
        earlier = intents.earlier(connection, [one.dispatch_id for one in group])
        days = [
            (one.record_key, day)
            for one in group
            if (day := earlier[one.dispatch_id].accounting_date) is not None
        ]
        shut = closed_periods(context, connection, system, stream, days)
        for one in group:
            document = known[one.record_key]
            if one.state in UNDER_WAY or document.open_state in UNDER_WAY:
                done.in_line += 1
                continue
            if one.state == "proved" or _holds(document, one):
                done.nothing += 1
                continue
            planned = _as_it_was(one, document)
            why = _overtaken(one, document, newest.get((record_type, one.record_key)))
            why = why or _forbidden(context, one)
            if not why and one.record_key in shut:
                why = _shut(one, shut[one.record_key])
            if not why and planned.write_key != one.write_key:
                why = "a later write to this document has been proven since"
            if why:
                done.refuse(f"dispatch:{one.dispatch_id}", why)
            else:
                again.append(planned)
                done.put_back += 1
    return again


def _holds(document: Document, one: ChosenDispatch) -> bool:
    """Whether the target is proven to hold just this content already."""
    return (
        document.state == "present"
        and one.action != "void"
        and document.landed is None
        and document.proven_digest == one.digest
    )


def _overtaken(
    one: ChosenDispatch, document: Document, newest: tuple[int, bool] | None
) -> str | None:
    if one.overtaken_by is not None:
        return (
            f"dispatch:{one.overtaken_by} of the same document came after it; an older content "
            "never overtakes a newer one"
        )
    if one.state == "in_doubt" or document.open_state == "in_doubt":
        return (
            "nobody knows whether it arrived; look at the target, then `tieout replay "
            f"{one.reference} --landed` or `--not-landed`"
        )
    if one.state == "superseded":
        return "it was replaced before it ever left; reprocess the record instead"
    if newest is not None and newest[0] != one.record_version:
        return (
            f"the record has version {newest[0]} by now and these bytes say version "
            f"{one.record_version}; reprocess it instead"
        )
    return None


def _forbidden(context: Context, one: ChosenDispatch) -> str | None:
    """A system that cannot tell a repeat is never written to again as long as the first write may
    be there (grade C, DESIGN D7)."""
    known = context.compiled.streams[one.system, one.stream].idempotency
    if one.state == "rejected" or (known is not None and known.grade != "C"):
        return None
    return (
        f"{one.system} {one.stream} cannot tell a repeat, and the first write may be there; look, "
        "and settle the case by hand"
    )


def _shut(one: ChosenDispatch, closed: Closed | None) -> str:
    if closed is None:
        return f"the accounting periods of {one.system} have not been read yet"
    return f"{closed.words} ({closed.day}); reopen it, then resend"


def _as_it_was(one: ChosenDispatch, document: Document) -> NewDispatch:
    revision = intents.revision_of(document, one.action, one.digest)
    return NewDispatch(
        document=document,
        action=one.action,
        generation=one.generation,
        revision=revision,
        write_key=intents.write_key_of(document, revision),
        reference=one.reference,
        target_id=intents.target_of(document, one.action, one.generation),
        record_version=one.record_version,
        flow=one.flow,
        body=one.body,
        digest=one.digest,
        due_at=clock.now(),
        lane=one.lane,
        partition_no=one.partition_no,
        legal_entity=one.legal_entity,
        currency=one.currency,
        amount=one.amount,
        period=one.period,
        mapping=one.mapping,
        mapping_version=one.mapping_version,
        landscape_hash=one.landscape_hash,
        rate_ids=one.rate_ids,
    )
