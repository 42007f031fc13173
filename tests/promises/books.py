"""A target of grade A, B or C behind a wire that loses, delays and doubles: a fast double.

Grade A refuses a second document with the same reference. Grade B remembers a write key for a while
and answers a repeat as it did the first time, an error too; it can be searched by reference, with
an index that lags. Grade C does neither, and shows a document only by the id that it answered with.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal

from tieout import clock
from tieout.ports.http import Request, Response

Grade = Literal["A", "B", "C"]
FATES = ("lost_reply", "lost_request", "late", "twice", "forgotten", "error_applied", "error")
CLEAN_SHARE = 0.2  # of writes that nothing happens to: a call with an answer keeps the door open
AGAIN_SHARE = 0.2  # of repeats that meet trouble too
IN_FLIGHT_SECONDS = 4.0  # what the target declares: flight and index lag together
INDEX_LAG_SECONDS = 1.0
KEY_LIFETIME_SECONDS = 20.0

Answer = list[object]
"""[HTTP status, or 0 for none; the document's id]. 422: not as it is, ever."""


@dataclass
class Books:
    """The target and its wire. `trouble` says whether the wire does its worst."""

    grade: Grade
    dice: random.Random
    trouble: bool = True
    documents: dict[str, dict[str, dict[str, Any]]] = field(
        default_factory=lambda: {"entry": {}, "account": {}}
    )
    by_reference: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    keys: dict[str, tuple[float, Answer]] = field(default_factory=dict)
    on_the_way: list[tuple[float, str, dict[str, Any]]] = field(default_factory=list)
    sent: Counter[str] = field(default_factory=Counter)  # by write key, as we sent it
    doubtful: set[str] = field(default_factory=set)  # write keys that were ever left unanswered
    unanswered: Counter[str] = field(default_factory=Counter)  # ambiguous writes, by fate
    refused: set[str] = field(default_factory=set)  # references of which nothing is taken
    effects: list[tuple[str, Decimal]] = field(default_factory=list)  # entries, in their order

    def __call__(self, request: Request) -> Response:
        parts = request.path().split("/")
        if parts[1] == "rows":
            return Response(200, {}, b"[]")
        self._let_in()
        stream, asked = parts[1], json.loads(request.body)
        answers: Sequence[object] = (
            [self._shown(stream, *one) for one in asked]
            if parts[-1] == "find"
            else [self._over_the_wire(stream, one) for one in asked]
        )
        return Response(200, {}, json.dumps(answers).encode())

    def held(self, stream: str, reference: str) -> list[Mapping[str, Any]]:
        """The documents that carry this reference: one, if all is well."""
        ids = self.by_reference.get((stream, reference), [])
        return [self.documents[stream][one] for one in ids]

    # --- the wire ---

    def _over_the_wire(self, stream: str, write: dict[str, Any]) -> Answer:
        key = str(write["key"])
        self.sent[key] += 1
        share = 1 - CLEAN_SHARE if self.sent[key] == 1 else AGAIN_SHARE
        if not self.trouble or stream != "entry" or self.dice.random() >= share:
            return self._take(stream, write)
        fate = self.dice.choice(FATES)
        self.unanswered[fate] += 1
        self.doubtful.add(key)
        if fate.startswith("error"):
            return self._error(stream, write, applied=fate == "error_applied")
        if fate == "late":
            longest = IN_FLIGHT_SECONDS - INDEX_LAG_SECONDS
            if self.grade == "A" and write["action"] == "create":
                longest *= 10  # the unique reference holds however late it comes
            self.on_the_way.append(
                (clock.monotonic() + self.dice.uniform(0, longest), stream, write)
            )
        elif fate != "lost_request":
            self._take(stream, write)
        if fate == "twice":
            self._take(stream, write)
        if fate == "forgotten":
            self.keys.pop(key, None)
        return [0, ""]

    def _let_in(self) -> None:
        """What was under way for long enough arrives."""
        now = clock.monotonic()
        arrived = [one for one in self.on_the_way if one[0] <= now]
        self.on_the_way = [one for one in self.on_the_way if one[0] > now]
        for _, stream, write in sorted(arrived, key=lambda one: one[0]):
            self._take(stream, write)

    # --- the target ---

    def _error(self, stream: str, write: dict[str, Any], *, applied: bool) -> Answer:
        """An error that is remembered with the key, whether or not the write was applied."""
        known = self._remembered(write["key"])
        if known is not None:
            return known
        if applied:
            self._take(stream, write)
        return self._remember(write["key"], [500, ""])

    def _take(self, stream: str, write: dict[str, Any]) -> Answer:
        known = self._remembered(write["key"])
        if known is not None:
            return known
        if write["reference"] in self.refused:
            return self._remember(write["key"], [422, ""])
        ids = self.by_reference.setdefault((stream, write["reference"]), [])
        if write["action"] != "create":
            there = [one for one in (write["target_id"], *ids) if one in self.documents[stream]]
            if not there:
                return self._remember(write["key"], [500, ""])
            self._apply(stream, there[0], write)
            return self._remember(write["key"], [201, there[0]])
        if ids and (self.grade == "A" or stream != "entry"):
            return [409, ids[0]]
        made = f"{stream}-{len(self.documents[stream]) + 1}"
        ids.append(made)
        self._apply(stream, made, write)
        return self._remember(write["key"], [201, made])

    def _apply(self, stream: str, target_id: str, write: Mapping[str, Any]) -> None:
        before = self.documents[stream].get(target_id, {})
        if stream == "entry" and write["action"] != "void":
            self.effects.append((write["reference"], Decimal(write["document"]["total"])))
        self.documents[stream][target_id] = {
            **write["document"],
            "id": target_id,
            "reference": write["reference"],
            "status": "voided" if write["action"] == "void" else "booked",
            "shown_from": before.get("shown_from", clock.monotonic() + INDEX_LAG_SECONDS),
        }

    def _remembered(self, key: str) -> Answer | None:
        if self.grade != "B" or key not in self.keys:
            return None
        until, answer = self.keys[key]
        return answer if clock.monotonic() < until else None

    def _remember(self, key: str, answer: Answer) -> Answer:
        self.keys[key] = (clock.monotonic() + KEY_LIFETIME_SECONDS, answer)
        return answer

    def _shown(self, stream: str, reference: str, target_id: str) -> Mapping[str, Any] | None:
        if self.grade == "C" and stream == "entry":
            return self.documents[stream].get(target_id)
        ids = self.by_reference.get((stream, reference), [])
        if not ids:
            return None
        found = self.documents[stream][ids[0]]
        late = self.grade == "B" and clock.monotonic() < found["shown_from"]
        return None if late else found
