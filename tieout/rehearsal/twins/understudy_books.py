"""The documents of an understudy: what was written, what a repeat comes to, what can be found.

Grade A refuses a second document with the same reference. Grade B remembers write keys for as long
as it says and answers a repeat as it did the first time, an error too, and can be searched by
reference, with an index that lags. Grade C does neither: each post makes a new document, shown only
by the id that it answered with.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from tieout import clock
from tieout.finance.digest import digest_bytes
from tieout.ports.connector import Stream
from tieout.ports.errors import PERIOD_CLOSED
from tieout.rehearsal.line import LAG_SHARE
from tieout.rehearsal.twins.base import Applied, Effect

SNAPSHOT_EVERY = 8  # writes that took effect
MOST_SNAPSHOTS = 3
LONGEST_STORED_ERROR_SECONDS = 600.0  # an error kept for longer than that is not planted
NOTICE_SECONDS = 60.0  # after which whoever asks now and then knows that a month is closed
FIRST_ID = 1_000


@dataclass(frozen=True, slots=True)
class Asked:
    """One write as it came. `body` is the document's text; `facts` what a read-back must show."""

    write_key: str
    reference: str
    action: str
    body: str
    fields: Mapping[str, object]
    facts: Mapping[str, str]
    target_id: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the system says of one write. Statuses are those of HTTP: 200 done, 409 there already,
    404 and 422 no, 423 not now, 500 nobody knows."""

    status: int
    target_id: str = ""
    code: str = ""
    words: str = ""


@dataclass(frozen=True, slots=True)
class Paper:
    """One document. `end` is how it ended: "" (it has not), void or delete. `own`: it is a row that
    people made, to which we wrote."""

    stream: str
    reference: str
    target_id: str
    facts: Mapping[str, str]
    fields: Mapping[str, object]
    shown_from: float  # monotonic: the search finds it from then on
    end: str = ""
    end_facts: Mapping[str, str] = field(default_factory=dict)
    own: bool = False


Papers = dict[tuple[str, str], Paper]  # by stream and target id


class Books:
    """All documents of one system. `closed` are the months (2026-03) in which nothing is to be
    posted, with when they were closed; those of them that are `lenient` are closed for people, and
    the system itself takes what comes."""

    def __init__(self, streams: Mapping[str, Stream]) -> None:
        self.streams = streams
        self.papers: Papers = {}
        self.applied: list[Applied] = []
        self.closed: dict[str, float] = {}
        self.lenient: set[str] = set()
        self.partial: random.Random | None = None
        self.late_by = 0.0  # how long ago that came which is taken now
        self._by_reference: dict[tuple[str, str], list[str]] = {}
        self._keys: dict[str, tuple[float, Answer]] = {}
        self._snapshots: list[Papers] = []
        self._made = FIRST_ID

    # --- writing --------------------------------------------------------------------------------

    def take(self, stream: str, batch: Sequence[Asked], own: Mapping[str, bool]) -> list[Answer]:
        """One answer for each write, in order. `own` says of target ids whether they are rows that
        are there now, whoever made them."""
        refused = self._refused_in_part(stream, batch)
        return [
            self._take(stream, one, own, refused.get(place, "")) for place, one in enumerate(batch)
        ]

    def _refused_in_part(self, stream: str, batch: Sequence[Asked]) -> dict[int, str]:
        """Which places of this batch are refused, and how: at least one when that was struck."""
        dice, self.partial = self.partial, None
        if dice is None or not batch:
            return {}
        lifetime = self._key_lifetime(stream)
        kinds = ["locked"]
        if lifetime is not None and lifetime <= LONGEST_STORED_ERROR_SECONDS:
            kinds += ["error", "error_applied"]
        chosen = [place for place in range(len(batch)) if dice.random() < 0.5]
        return {place: dice.choice(kinds) for place in chosen or [len(batch) - 1]}

    def _take(self, stream: str, one: Asked, own: Mapping[str, bool], refused: str) -> Answer:
        known = self._keys.get(one.write_key)
        if known is not None and clock.monotonic() < known[0]:
            return known[1]
        if refused == "locked":
            return Answer(423, "", "LOCKED", "somebody else is changing this document")
        if refused == "error":
            answer = Answer(500, "", "INTERNAL", "an error of our own")
        else:
            answer = self._decide(stream, one, own)
            if refused == "error_applied":
                answer = Answer(500, "", "INTERNAL", "an error of our own")
        lifetime = self._key_lifetime(stream)
        if lifetime is not None:
            self._keys[one.write_key] = (clock.monotonic() - self.late_by + lifetime, answer)
        return answer

    def _decide(self, stream: str, one: Asked, own: Mapping[str, bool]) -> Answer:
        before = self._paper_of(stream, one)
        shut = self._closed_for(stream, one, before)
        if shut and shut not in self.lenient:
            words = f"the accounting period {shut} is closed"
            return Answer(422, "", PERIOD_CLOSED, words)
        if one.action == "create":
            if before is not None and self._grade(stream) == "A":
                return Answer(409, before.target_id)
            return self._write(stream, one, self._new_id(stream, one))
        there = own.get(one.target_id, False)
        if before is None and there and one.action == "change":
            return self._write(stream, one, one.target_id, own=True)
        if before is None or (before.own and not there):
            words = f"there is no document {one.target_id or one.reference}"
            return Answer(404, "", "NOT_THERE", words)
        if one.action == "change":
            if before.end:
                return Answer(422, "", "ENDED", f"the document is gone: {before.end}")
            return self._write(stream, one, before.target_id, before)
        if before.end:
            return Answer(409, before.target_id)
        self._keep(stream, one, replace(before, end=one.action, end_facts=one.facts))
        return Answer(200, before.target_id)

    def _write(
        self,
        stream: str,
        one: Asked,
        target_id: str,
        before: Paper | None = None,
        *,
        own: bool = False,
    ) -> Answer:
        if before is not None:
            paper = replace(before, facts=one.facts, fields=one.fields)
        else:
            shown_from = clock.monotonic() - self.late_by + self.lag_seconds(stream)
            paper = Paper(
                stream, one.reference, target_id, one.facts, one.fields, shown_from, own=own
            )
        self._keep(stream, one, paper)
        return Answer(200, target_id)

    def _keep(self, stream: str, one: Asked, paper: Paper) -> None:
        if len(self.applied) % SNAPSHOT_EVERY == 0:
            self._snapshots = [*self._snapshots, dict(self.papers)][-MOST_SNAPSHOTS:]
        if (stream, paper.target_id) not in self.papers:
            self._by_reference.setdefault((stream, one.reference), []).append(paper.target_id)
        says = digest_bytes(one.body.encode())
        facts = paper.end_facts or paper.facts
        at = clock.now()
        closed = self._long_closed(stream, one, self.papers.get((stream, paper.target_id)))
        self.papers[stream, paper.target_id] = paper
        self.applied.append(
            Applied(stream, one.reference, one.action, says, paper.target_id, facts, at, closed)
        )

    def _long_closed(self, stream: str, one: Asked, before: Paper | None) -> bool:
        """Whether this touches a month that has been closed for so long that everybody knows."""
        since = self.closed.get(self._closed_for(stream, one, before))
        return since is not None and clock.monotonic() - self.late_by - since > NOTICE_SECONDS

    def _new_id(self, stream: str, one: Asked) -> str:
        """The key that the document names, as tables have it, or the next number."""
        named = str(one.fields.get(self.streams[stream].key) or "")
        if named and (stream, named) not in self.papers:
            return named
        self._made += 1
        return str(self._made)

    def _paper_of(self, stream: str, one: Asked) -> Paper | None:
        if one.target_id and one.action != "create":
            found = self.papers.get((stream, one.target_id))
            if found is not None:
                return found
        return next(iter(self.with_reference(stream, one.reference)), None)

    def _closed_for(self, stream: str, one: Asked, before: Paper | None) -> str:
        """The closed month that this write would touch; "" when there is none."""
        if not self.streams[stream].posts:
            return ""
        days = self._days(stream, one.facts)
        days += self._days(stream, before.facts) if before else []
        return next((day[:7] for day in days if day[:7] in self.closed), "")

    def _days(self, stream: str, facts: Mapping[str, str]) -> list[str]:
        kinds = self.streams[stream].facts
        return [text for name, text in facts.items() if kinds.get(name) == "date" and text]

    # --- looking --------------------------------------------------------------------------------

    def find(self, stream: str, one: Asked) -> Paper | None:
        """The document as far as this system can find it now, whatever became of it."""
        if one.target_id and (stream, one.target_id) in self.papers:
            return self.papers[stream, one.target_id]
        if self._grade(stream) == "C":
            return None
        now = clock.monotonic()
        with_it = self.with_reference(stream, one.reference)
        return next((paper for paper in with_it if paper.shown_from <= now), None)

    def with_reference(self, stream: str, reference: str) -> list[Paper]:
        """The documents that carry a reference, oldest first; one, if all is well."""
        ids = self._by_reference.get((stream, reference), ())
        return [self.papers[stream, one] for one in ids]

    def effects(self) -> list[Effect]:
        """Every document there is."""
        return [
            Effect(one.stream, one.reference, one.target_id, not one.end, dict(one.facts))
            for one in self.papers.values()
        ]

    def months_in_use(self) -> list[str]:
        """Open months in which something was posted, in their order."""
        found = {
            day[:7]
            for one in self.papers.values()
            if self.streams[one.stream].posts
            for day in self._days(one.stream, one.facts)
        }
        return sorted(found - set(self.closed))

    def lag_seconds(self, stream: str) -> float:
        """How long the search lags behind: within what the stream declares, beside the flight."""
        told = self.streams[stream].idempotency
        return told.in_flight_seconds * LAG_SHARE if told and told.grade == "B" else 0.0

    # --- strikes --------------------------------------------------------------------------------

    def forget_keys(self) -> int:
        """Forget every write key; returns how many were known."""
        known = len(self._keys)
        self._keys.clear()
        return known

    def restore(self, dice: random.Random) -> tuple[list[Paper], list[Paper]]:
        """Go back to an earlier state: the documents that are lost, and those that are again what
        they were."""
        if not self._snapshots:
            return [], []
        earlier = dice.choice(self._snapshots)
        lost = [one for key, one in self.papers.items() if key not in earlier]
        back = [one for key, one in earlier.items() if self.papers.get(key) != one]
        self.papers = dict(earlier)
        self._by_reference = {}
        for one in earlier.values():
            self._by_reference.setdefault((one.stream, one.reference), []).append(one.target_id)
        self._snapshots = [dict(earlier)]
        self._keys.clear()
        return lost, back

    def _grade(self, stream: str) -> str:
        told = self.streams[stream].idempotency
        return told.grade if told else "C"

    def _key_lifetime(self, stream: str) -> float | None:
        told = self.streams[stream].idempotency
        return told.key_lifetime_seconds if told and told.grade == "B" else None
