"""Replay: put what a case stopped back in line, in order, never as a second document.

Inbound, the held arrival is resolved again with today's mapping and crosswalks, and the row is read
afresh from its source, so that a correction made there counts. Outbound, the run starts again at
its first step: documents that are as they should be are passed, refused intents may be tried again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tieout import clock
from tieout.engine.context import Context
from tieout.engine.reprocess import bring_back_texts
from tieout.engine.steps import references
from tieout.store import approvals, arrivals, audit, cases, documents, records, runs
from tieout.store.cases import Case
from tieout.store.database import Connection
from tieout.store.totals import Movement, move


@dataclass(frozen=True, slots=True)
class Replayed:
    """What was put back in line."""

    cases: tuple[int, ...]
    arrivals: int
    runs: int
    dry_run: bool


class NothingToReplay(Exception):
    """No open case matches. Says what was looked for."""


class NotOneDocument(Exception):
    """An id was given, and not exactly one document in doubt is meant. Says how many."""


def replay(
    context: Context,
    *,
    case_ids: Sequence[int] | None = None,
    any_id: str = "",
    reason: str = "",
    dry_run: bool = False,
    landed: bool | None = None,
    target_id: str = "",
) -> Replayed:
    """Replay open cases: by id, by any id of their record, by reason, or all of them.

    `dry_run` says what would be put back and changes nothing. `landed` is what a person saw when
    looking for documents in doubt: True, the target has them (they are read back and proved);
    False, it has not (they are sent again); None leaves such cases as they are. `target_id` is the
    id under which the one that landed was seen: a system that shows documents by their own ids only
    is asked for it. Raises NothingToReplay, NotOneDocument.
    """
    with context.database.transaction() as connection:
        chosen = [
            case
            for case in cases.read(connection, case_ids=case_ids, most=100_000)
            if (not reason or case.reason == reason)
            and (not any_id or any_id in _ids_of(connection, case))
        ]
        if not chosen:
            raise NothingToReplay(
                "no open case matches"
                + (f" '{any_id or reason}'" if any_id or reason else "")
                + "; `tieout cases` lists the open ones, and --reprocess or --resend replays what "
                "has none"
            )
        held = [case for case in chosen if case.run_id is None and case.source_key]
        stuck = sorted({case.run_id for case in chosen if case.run_id is not None})
        found = Replayed(
            tuple(case.case_id for case in chosen),
            len({case.arrival_id for case in held}),
            len(stuck),
            dry_run,
        )
        if dry_run:
            return found
        if landed is not None:
            _settle_doubts(connection, chosen, landed, target_id)
        _read_again(connection, held)
        _run_again(connection, context, stuck)
        told: dict[str, object] = {
            "cases": list(found.cases),
            "any_id": any_id,
            "reason": reason,
            "landed": landed,
        }
        if target_id:
            told["target_id"] = target_id
        audit.action(connection, context.actor, "replay", told)
        connection.execute("SELECT pg_notify('tieout_work', 'replay')")
    return found


def _ids_of(connection: Connection, case: Case) -> set[str]:
    """Every id by which somebody may mean this case."""
    known = {case.source_key, case.record_key, f"case:{case.case_id}", str(case.case_id)}
    rows = connection.execute(
        "SELECT external_id, number FROM xrefs WHERE record_key = %s "
        "UNION SELECT reference, number FROM documents WHERE record_key = %s",
        (case.record_key, case.record_key),
    ).fetchall()
    return {name for name in known | {str(v) for row in rows for v in row} if name}


def _settle_doubts(
    connection: Connection, chosen: Sequence[Case], landed: bool, target_id: str
) -> None:
    """A person has looked: what landed is read back and proved, what did not is sent again."""
    doubted = sorted({case.dispatch_id for case in chosen if case.dispatch_id is not None})
    if target_id and (not landed or len(doubted) != 1):
        raise NotOneDocument(
            f"an id is that of one document that landed; {len(doubted)} are chosen here: name one"
        )
    rows = connection.execute(
        "UPDATE dispatch_states SET state = %s, due_at = %s, looks = 0, "
        "target_id = coalesce(nullif(%s, ''), target_id) "
        "WHERE dispatch_id = ANY(%s) AND state = 'in_doubt' RETURNING dispatch_id, document_id",
        ("written" if landed else "planned", clock.now(), target_id, doubted),
    ).fetchall()
    settled = {int(row[0]) for row in rows}
    cases.close(
        connection,
        [case.case_id for case in chosen if case.dispatch_id in settled],
        "a person looked: it is there" if landed else "a person looked: it is not there",
    )
    runs.wake(connection, "document", [str(row[1]) for row in rows])


def _read_again(connection: Connection, held: Sequence[Case]) -> None:
    """Resolve the held rows again, those too whose text is in the archive by now. A row whose text
    is nowhere is still read afresh from its source."""
    ids = sorted({one.arrival_id for one in held if one.arrival_id is not None})
    reopened = arrivals.reopen(connection, bring_back_texts(connection, ids))
    move(  # they leave the bucket they were counted in, and are counted again where they end
        connection,
        [
            Movement(f"{system}.{stream}", "resolved", "held", count=-1)
            for system, stream in reopened
        ],
    )
    for case in held:
        arrivals.store_hints(connection, case.system, [(case.stream, case.source_key)])


def _run_again(connection: Connection, context: Context, run_ids: Sequence[int]) -> None:
    """Start these runs over, forgive refusals of their documents and of what they refer to."""
    rows = connection.execute(
        "UPDATE runs SET state = 'ready', step_no = 0, waits_for = '', waits_since = NULL, "
        "due_at = NULL, waits_document = NULL WHERE run_id = ANY(%s) "
        "AND state IN ('held', 'paused') "
        "RETURNING record_type, record_key",
        (list(run_ids),),
    ).fetchall()
    keys = {str(key) for _, key in rows}
    for record_type in sorted({str(kind) for kind, _ in rows}):
        spec = context.landscape.records[record_type]
        newest = records.newest(
            connection, record_type, [str(key) for kind, key in rows if kind == record_type]
        )
        for record in newest.values():
            keys.update(references(record.body, [path for path, _ in spec.references()]))
            arrivals.store_hints(connection, record.system, [(record.stream, record.source_key)])
    documents.forgive(connection, sorted(keys))
    approvals.ask_again(connection, run_ids)
