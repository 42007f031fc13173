"""Approvals: what a person was asked about one record's content, and what was said.

One question stands per run and step (a unique index keeps it so). It is bound to the digest of the
record's content and to the run's revision: anything else voids it, and it is asked anew.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from tieout import clock
from tieout.store import audit, runs
from tieout.store.database import Connection

Decision = Literal["approved", "declined"]
MOST_READ = 1_000


@dataclass(frozen=True, slots=True)
class NewApproval:
    """A question to ask. `asks` is a role or a person; `maker` is "" where nobody knows."""

    run_id: int
    step: str
    revision: int
    flow: str
    record_type: str
    record_key: str
    record_version: int
    digest: str
    source_key: str
    legal_entity: str
    currency: str
    amount: Decimal | None
    asks: str
    escalates_to: str
    maker: str
    because: str


@dataclass(frozen=True, slots=True)
class Approval:
    """A question as it stands."""

    approval_id: int
    run_id: int
    step: str
    revision: int
    flow: str
    record_type: str
    record_key: str
    record_version: int
    digest: str
    source_key: str
    legal_entity: str
    currency: str
    amount: Decimal | None
    asks: str
    escalates_to: str
    maker: str
    because: str
    state: str
    asked_at: dt.datetime
    escalated_at: dt.datetime | None
    decided_at: dt.datetime | None
    decided_by: str
    decided_because: str

    @property
    def may_decide(self) -> tuple[str, ...]:
        """The roles or people who may: also those it was escalated to, once it was."""
        return (self.asks, self.escalates_to) if self.escalated_at else (self.asks,)


class NotDecided(Exception):
    """The question is no longer open, or is about other content by now. Says what to do."""


_NEW = tuple(NewApproval.__slots__)
_KINDS = {"run_id": "bigint", "revision": "int", "record_version": "int", "amount": "numeric"}
_COLUMNS = ", ".join(f"a.{name}" for name in Approval.__slots__)


def standing(connection: Connection, step: str, run_ids: Sequence[int]) -> Mapping[int, Approval]:
    """The question that stands for each run at this step, locked."""
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM approvals a WHERE a.step = %s AND a.run_id = ANY(%s) "
        "AND a.state <> 'void' ORDER BY a.approval_id FOR UPDATE",
        (step, list(run_ids)),
    ).fetchall()
    return {int(row[1]): Approval(*row) for row in rows}


def ask(connection: Connection, new: Sequence[NewApproval]) -> Mapping[int, int]:
    """Put these questions; approval ids by run id. One that stands already stays as it is."""
    if not new:
        return {}
    arrays = ", ".join(f"%({name})s::{_KINDS.get(name, 'text')}[]" for name in _NEW)
    connection.execute(
        f"INSERT INTO approvals ({', '.join(_NEW)}, state, asked_at) "
        f"SELECT t.*, 'asked', %(now)s FROM unnest({arrays}) AS t "
        "ON CONFLICT (run_id, step) WHERE state <> 'void' DO NOTHING",
        {"now": clock.now(), **{name: [getattr(one, name) for one in new] for name in _NEW}},
    )
    rows = connection.execute(
        "SELECT run_id, approval_id FROM approvals WHERE step = %s AND run_id = ANY(%s) "
        "AND state <> 'void'",
        (new[0].step, [one.run_id for one in new]),
    ).fetchall()
    return {int(run_id): int(approval_id) for run_id, approval_id in rows}


def void(connection: Connection, approval_ids: Sequence[int], because: str) -> None:
    """These no longer count: the content changed, or the question is to be asked again."""
    if approval_ids:
        connection.execute(
            "UPDATE approvals SET state = 'void', decided_because = CASE WHEN state = 'asked' "
            "THEN %s::text ELSE concat_ws('; ', nullif(decided_because, ''), %s::text) END "
            "WHERE approval_id = ANY(%s) AND state <> 'void'",
            (because, because, list(approval_ids)),
        )


def ask_again(connection: Connection, run_ids: Sequence[int]) -> None:
    """A declined question of these runs is asked anew when they come to it."""
    rows = connection.execute(
        "SELECT approval_id FROM approvals WHERE run_id = ANY(%s) AND state = 'declined'",
        (list(run_ids),),
    ).fetchall()
    void(connection, [int(row[0]) for row in rows], "replayed: asked again")


def void_for_runs(connection: Connection, run_ids: Sequence[int], because: str) -> None:
    """Questions of these runs that nobody has answered are no longer asked."""
    rows = connection.execute(
        "SELECT approval_id FROM approvals WHERE run_id = ANY(%s) AND state = 'asked'",
        (list(run_ids),),
    ).fetchall()
    void(connection, [int(row[0]) for row in rows], because)


def escalate(connection: Connection, step: str, run_ids: Sequence[int]) -> None:
    """From now on the escalation role may decide too."""
    connection.execute(
        "UPDATE approvals SET escalated_at = %s WHERE step = %s AND run_id = ANY(%s) "
        "AND state = 'asked' AND escalated_at IS NULL",
        (clock.now(), step, list(run_ids)),
    )


def asked(
    connection: Connection, *, approval_id: int | None = None, any_id: str = ""
) -> list[Approval]:
    """Questions that wait for an answer: all, one, or those about a record by any id we know."""
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM approvals a WHERE a.state = 'asked' "
        "AND (%(one)s::bigint IS NULL OR a.approval_id = %(one)s) "
        "AND (%(any)s = '' OR a.record_key = %(any)s OR a.source_key = %(any)s "
        "  OR a.record_key IN (SELECT record_key FROM xrefs WHERE external_id = %(any)s) "
        "  OR a.record_key IN (SELECT record_key FROM cases "
        "    WHERE %(any)s = 'case:' || case_id AND record_key <> '')) "
        "ORDER BY a.approval_id LIMIT %(most)s",
        {"one": approval_id, "any": any_id, "most": MOST_READ},
    ).fetchall()
    return [Approval(*row) for row in rows]


def of_record(connection: Connection, record_key: str) -> list[Approval]:
    """Every question about a record, oldest first."""
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM approvals a WHERE a.record_key = %s "
        "ORDER BY a.approval_id LIMIT %s",
        (record_key, MOST_READ),
    ).fetchall()
    return [Approval(*row) for row in rows]


def decide(
    connection: Connection, one: Approval, decision: Decision, who: str, because: str
) -> None:
    """Say yes or no to what was shown, leave the audited action, and wake the run.

    Raises NotDecided when somebody else was quicker, or when the record has changed since; the
    database refuses a maker who checks his own record.
    """
    head = connection.execute(
        "SELECT digest FROM record_heads WHERE record_type = %s AND record_key = %s FOR SHARE",
        (one.record_type, one.record_key),
    ).fetchone()
    if head is None or head[0] != one.digest:
        raise NotDecided(
            f"the {one.record_type} {one.source_key} has changed since approval:{one.approval_id} "
            "was asked; it will be asked again about the new content"
        )
    # The order in which everybody takes them: record, run, approval.
    connection.execute("SELECT FROM runs WHERE run_id = %s FOR UPDATE", (one.run_id,))
    done = connection.execute(
        "UPDATE approvals SET state = %s, decided_at = %s, decided_by = %s, decided_because = %s "
        "WHERE approval_id = %s AND state = 'asked'",
        (decision, clock.now(), who, because, one.approval_id),
    ).rowcount
    if not done:
        raise NotDecided(
            f"approval:{one.approval_id} is no longer open; `tieout approve` lists what is"
        )
    audit.action(
        connection,
        who,
        "approve" if decision == "approved" else "decline",
        {
            "approval": one.approval_id,
            "flow": one.flow,
            "step": one.step,
            "record": f"{one.record_type}/{one.record_key}/{one.record_version}",
            "digest": one.digest,
            "because": because,
        },
    )
    runs.wake_runs(connection, [one.run_id])
    connection.execute("SELECT pg_notify('tieout_work', 'approve')")
