"""The desk: those who operate and approve, as the verbs of the product let them.

While faults happen they do what people do: approve, take an approval back, replay what was replayed
already. When the faults are over they settle what only people can: they look into a target before
they say what landed, and put back in line what a case stopped.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from tieout.engine.context import Context
from tieout.engine.replay import NothingToReplay, replay
from tieout.engine.reprocess import NothingChosen, choose_arrivals, reprocess, selection_of
from tieout.landscape.people import is_among, same_person
from tieout.rehearsal.twins.base import Twin
from tieout.store import approvals, cases
from tieout.store.approvals import Approval, NotDecided

MOST_CASES = 10_000
DECLINE_SHARE = 0.1
OLDER_SHARE = 0.5  # of what is replayed once more: a certain version, however old

_REVOCABLE = """
SELECT approval_id FROM approvals WHERE state = 'approved' ORDER BY approval_id
"""
# What was done, as an operator names it: a row, or one version of it that he finds in a list. The
# second of these is never the newest where there are several.
_DONE = """
SELECT source_key, 'arrival:' || min(arrival_id) FROM arrivals WHERE state = 'recorded'
GROUP BY system, stream, source_key ORDER BY count(*) DESC, 1, 2
"""
_DOUBTS = """
SELECT s.dispatch_id, i.system, i.stream, i.reference, i.action, i.digest
FROM dispatch_states s JOIN intents i USING (dispatch_id)
WHERE s.state = 'in_doubt' ORDER BY s.dispatch_id
"""


@dataclass
class Desk:
    """Operators and approvers of one rehearsed landscape. `new_context` makes a process for each
    thing they do, as each command of the product is one."""

    new_context: Callable[[], Context]
    twins: Mapping[str, Twin]
    dice: random.Random
    rates: Mapping[str, float]
    note: Callable[[str, str], None]
    """Told of (fault, what happened)."""

    def work(self) -> int:
        """What they do in an ordinary hour; returns how many things that were."""
        done = self.answer()
        if self.dice.random() < self.rates.get("approval_revoked", 0.0):
            done += self._revoke()
        if self.dice.random() < self.rates.get("replay_again", 0.0):
            done += self._replay_again()
        return done

    def answer(self, *, all_yes: bool = False) -> int:
        """Say yes, or now and then no, to what is asked."""
        context = self.new_context()
        people = sorted(context.landscape.people.values(), key=lambda one: one.name)
        answered = 0
        with context.database.transaction() as connection:
            asked = approvals.asked(connection)
        for one in asked:
            may = [
                person
                for person in people
                if is_among(person, one.may_decide) and not same_person(person, one.maker)
            ]
            if may:
                no = not all_yes and self.dice.random() < DECLINE_SHARE
                answered += self._decide(context, one, may[0].name, no=no)
        return answered

    def _decide(self, context: Context, one: Approval, who: str, *, no: bool) -> int:
        try:
            with context.database.transaction() as connection:
                approvals.decide(
                    connection, one, "declined" if no else "approved", who, "as the rules say"
                )
        except NotDecided:
            return 0  # the record changed meanwhile: it is asked again
        return 1

    def _revoke(self) -> int:
        context = self.new_context()
        with context.database.transaction() as connection:
            standing = [row[0] for row in connection.execute(_REVOCABLE).fetchall()]
            if not standing:
                return 0
            chosen = self.dice.choice(standing)
            approvals.void(connection, [chosen], "taken back by the approver")
        self.note("approval_revoked", f"approval {chosen}")
        return 1

    def _replay_again(self) -> int:
        """Everything that is open once more, and something that was done long ago as well."""
        context = self.new_context()
        with contextlib.suppress(NothingToReplay):
            replay(context)
        with context.database.transaction() as connection:
            done = connection.execute(_DONE).fetchall()
        if not done:
            return 0
        row, oldest = self.dice.choice(done[: max(1, len(done) // 3)])
        key = oldest if self.dice.random() < OLDER_SHARE else row
        selection = selection_of(context, ids=[key])
        try:
            reprocess(context, selection, choose_arrivals(context, selection))
        except NothingChosen:
            return 0
        self.note("replay_again", key)
        return 1

    # --- when the faults are over ---

    def settle(self) -> list[str]:
        """Decide every doubt by looking, and put all open cases back in line once; returns what
        was done in plain words."""
        context = self.new_context()
        with context.database.transaction() as connection:
            open_cases = cases.read(connection, most=MOST_CASES)
            doubts = connection.execute(_DOUBTS).fetchall()
        told = []
        doubtful = {int(row[0]): self._seen(*row[1:]) for row in doubts}
        not_there = [
            case.case_id for case in open_cases if doubtful.get(case.dispatch_id or 0) == ""
        ]
        told += self._replayed(context, not_there, False)
        for case in open_cases:
            target_id = doubtful.get(case.dispatch_id or 0)
            if target_id:
                told += self._replayed(context, [case.case_id], True, target_id)
        rest = [case.case_id for case in open_cases if (case.dispatch_id or 0) not in doubtful]
        return told + self._replayed(context, rest, None)

    def _seen(self, system: str, stream: str, reference: str, action: str, digest: str) -> str:
        """What somebody who looks into the target sees of what this write would have made: the id
        of the document, "" if it is not there."""
        for one in reversed(self.twins[system].applied()):
            same = (one.stream, one.reference, one.action) == (stream, reference, action)
            if same and one.digest in ("", digest):
                return one.target_id
        return ""

    def _replayed(
        self,
        context: Context,
        chosen: Sequence[int],
        landed: bool | None,
        target_id: str = "",
    ) -> list[str]:
        if not chosen:
            return []
        try:
            found = replay(context, case_ids=chosen, landed=landed, target_id=target_id)
        except NothingToReplay:
            return []
        said = "" if landed is None else f" that {'landed' if landed else 'did not land'}"
        return [f"replayed {len(found.cases)} cases{said}"]
