"""The people of a rehearsal: they make rows in the source systems of any landscape, change them,
move them in and out of scope, delete them, save them unchanged, and get some of them wrong.

What they do is drawn; every deed is written down as it then stands in the system. Each fault has
dice of its own, so that leaving one out changes nothing about the rest.
"""

from __future__ import annotations

import copy
import dataclasses
import datetime as dt
import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import ParamSpec

from tieout import clock
from tieout.rehearsal.corpus import Corpus, Kind, StreamName
from tieout.rehearsal.made import Made
from tieout.rehearsal.post import Post
from tieout.rehearsal.rowmaking import number_of, values
from tieout.rehearsal.scene import Deed
from tieout.rehearsal.trying import Break
from tieout.rehearsal.twins.base import Twin, Unplayable

P = ParamSpec("P")

BREAKING = ("drift", "unknown_code", "poison")
CREATES, CHANGES, MOVES, DELETES = 0.42, 0.78, 0.88, 0.92  # of 1; what is left saves unchanged
IN_SCOPE_FIRST = 0.85  # of new rows, where some good rows are wanted by a flow and some are not
WORKED_ON = 0.7  # of changes are to rows that a flow is about
OTHER_CODE = 0.25  # of new rows
MORE_LINES = 0.3
KNOWN_PARENT = 0.85  # of references to rows that are already there
EARLY = 0.15  # of new parents that come after their first child, where we may choose their keys
OWED_COMES = 0.3  # per deed
MENDED = 0.05  # per deed: somebody notices a broken row
LEFT = 0.25  # of the broken rows that are left for a person in the end
MOST_DEPTH = 5  # of rows that are made because another refers to them
FIRST_NUMBER = 1001  # so that nobody takes a system's own first ids for ours
MOST_REFUSALS = 5  # of rows of one stream, before it is left alone
MOST_TRIES = 20  # per event, before nobody can think of anything


class _CannotBeMade(Exception):
    """This row of a stream cannot be made, or not be changed any more: its system says why."""

    def __init__(self, made: Made, words: str) -> None:
        self.made = made
        super().__init__(f"{'.'.join(made.kind.name)}: {words}")


class People:
    """Those who work in the source systems, and the `post` that brings what these tell us.

    `deeds` is everything that people did, in order; `left_out` says in plain words what they cannot
    play. `now` is the rehearsal's true time.
    """

    def __init__(
        self,
        corpus: Corpus,
        twins: Mapping[str, Twin],
        dice: random.Random,
        rates: Mapping[str, float],
        *,
        now: Callable[[], dt.datetime] = clock.now,
    ) -> None:
        self._corpus = corpus
        self._twins = twins
        self._rates = rates
        self._now = now
        names = ("deeds", "moving_pages", "mending", *BREAKING)
        self._dice = {name: random.Random(dice.getrandbits(64)) for name in names}
        self._rows: list[Made] = []
        self._owed: list[Made] = []  # parents that some child already refers to
        self._numbers: Counter[StreamName] = Counter()
        self._refusals: Counter[StreamName] = Counter()
        self._our_keys: dict[StreamName, bool] = {}
        self._kept: set[StreamName] = set()  # streams whose rows nobody can delete
        self._unbreakable: set[tuple[object, ...]] = set()  # ways that a system does not take
        self._kinds = {name: kind for name, kind in corpus.kinds.items() if name[0] in twins}
        self.deeds: list[Deed] = []
        self.post = Post(twins, dice, rates, now=now)
        self._struck: Counter[str] = Counter()
        self.left_out: list[str] = list(corpus.left_out)

    # --- what others ask of them -----------------------------------------------------------------

    @property
    def struck(self) -> Counter[str]:
        """The faults of people and post that happened, with how often."""
        return self._struck + self.post.struck

    def burst(self, events: int) -> int:
        """At least so many deeds, unless nothing can be done at all; how many were done. What
        faults make necessary (somebody mends a row) comes on top."""
        before, planned = len(self.deeds), 0
        for _ in range(events * MOST_TRIES):
            if planned >= events or not self._kinds:
                break
            start = len(self.deeds)
            self._try(self._do, self._dice["deeds"])
            planned += len(self.deeds) - start
            self._notice()
        return len(self.deeds) - before

    def between_pages(self) -> int:
        """Somebody reads page by page, and is between two of them: now and then a row changes just
        then. How many did."""
        dice, before = self._dice["moving_pages"], len(self.deeds)
        if dice.random() >= self._rates.get("moving_pages", 0.0) or not self._rows:
            return 0
        for made in dice.choices(self._rows, k=dice.randint(1, 3)):
            self._try(self._change, dice, made)
        self._struck["moving_pages"] += 1
        return len(self.deeds) - before

    def settle(self) -> int:
        """Everything that is owed is made, everything that is broken is mended, save some rows that
        are left for a person: their last deed says what is broken. How many deeds that took."""
        before = len(self.deeds)
        while self._owed:
            self._try(self._put, self._owed.pop(0))
        for made in list(self._rows):
            if made.broken is None or made.left:
                continue
            if self._dice["mending"].random() < LEFT:
                made.left = True
            else:
                self._try(self._mend, made)
        return len(self.deeds) - before

    # --- deeds -----------------------------------------------------------------------------------

    def _try(self, deed: Callable[P, None], *given: P.args, **named: P.kwargs) -> None:
        """A deed. A row that its system refuses is left alone from then on; so is a stream of which
        it refuses the first row, or many."""
        try:
            deed(*given, **named)
        except _CannotBeMade as reason:
            name = reason.made.kind.name
            self._rows = [one for one in self._rows if one is not reason.made]
            self._refusals[name] += 1
            if name in self._our_keys and self._refusals[name] < MOST_REFUSALS:
                return
            if self._kinds.pop(name, None) is not None:
                self.left_out.append(str(reason))
            self._rows = [one for one in self._rows if one.kind.name != name]
            self._owed = [one for one in self._owed if one.kind.name != name]

    def _do(self, dice: random.Random) -> None:
        if self._owed and dice.random() < OWED_COMES:
            self._put(self._owed.pop(0))
            return
        what = dice.random()
        if what < CREATES or not self._rows:
            self._create(dice)
            return
        made = self._some(dice)
        if what < CHANGES:
            self._change(dice, made)
        elif what < MOVES:
            self._move(dice)
        elif what < DELETES:
            self._delete(dice)
        else:
            self._put(made)

    def _some(self, dice: random.Random) -> Made:
        """A row, most often one that a flow is about."""
        some = [one for one in self._rows if one.kind.starts_flow]
        return dice.choice(some if some and dice.random() < WORKED_ON else self._rows)

    def _create(self, dice: random.Random) -> None:
        kinds = list(self._kinds.values())
        kind = dice.choices(kinds, [5 if one.starts_flow else 1 for one in kinds])[0]
        self._put(self._drawn(dice, kind, {}, 0))

    def _drawn(
        self, dice: random.Random, kind: Kind, codes: Mapping[str, object], depth: int
    ) -> Made:
        """A new row, with its parents made. `codes` are those that it must carry, by crosswalk."""
        wanted = [one for one in kind.templates if any(one.scopes.values())]
        some = wanted if wanted and dice.random() < IN_SCOPE_FIRST else list(kind.templates)
        made = Made(kind, dice.choice(some), FIRST_NUMBER + self._numbers[kind.name])
        self._numbers[kind.name] += 1
        if made.template.codes and dice.random() < OTHER_CODE:
            swap = dice.choice(made.template.codes)
            made.codes[swap.path] = swap.value
        for coded in kind.anatomy.coded:
            if coded.crosswalk in codes and len(coded.path) == 1:
                made.codes[coded.path] = codes[coded.crosswalk]
        if dice.random() < MORE_LINES:
            made.copies = dice.choice(made.template.copies)
        made.factor = dice.choice(self._factors(made))
        made.days = dice.randint(*made.template.shifts)
        self._refer(dice, made, depth)
        return made

    def _factors(self, made: Made) -> list[int]:
        most = made.most_factor
        return [one for one in made.template.factors if one <= most] or [1]

    def _refer(self, dice: random.Random, made: Made, depth: int) -> None:
        """Give every reference of a new row the row that it refers to."""
        for record_type, name, key in _referred(made):
            taken = list(made.parents.values())
            codes = {
                coded.crosswalk: made.code_of(coded.crosswalk)
                for coded in self._corpus.kinds[name].anatomy.coded
                if made.code_of(coded.crosswalk) is not None
            }
            known = [
                one
                for one in self._rows
                if one.kind.name == name
                and one not in taken
                and all(one.code_of(which) == code for which, code in codes.items())
            ]
            if known and dice.random() < KNOWN_PARENT:
                made.parents[record_type, key] = dice.choice(known)
                continue
            parent = self._parent(dice, made, name, codes, depth)
            if parent is not None:
                made.parents[record_type, key] = parent

    def _parent(
        self,
        dice: random.Random,
        child: Made,
        name: StreamName,
        codes: Mapping[str, object],
        depth: int,
    ) -> Made | None:
        """A new parent, made now or owed; None where rows would refer to each other without end."""
        if depth >= MOST_DEPTH:
            return None
        if name not in self._kinds:
            raise _CannotBeMade(child, f"its rows refer to {'.'.join(name)}, which cannot be made")
        parent = self._drawn(dice, self._kinds[name], codes, depth + 1)
        if self._our_keys.get(name, False) and dice.random() < EARLY:
            self._owed.append(parent)
        else:
            self._put(parent)
        return parent

    def _change(self, dice: random.Random, made: Made) -> None:
        """Other amounts, other lines, another day, another title; where a row has none of them it
        is saved as it is."""
        factors = [one for one in self._factors(made) if one != made.factor]
        ways = ["factor"] * 3 if factors else []
        ways += ["copies"] if len(made.template.copies) > 1 else []
        ways += ["days"] if made.template.shifts != (0, 0) else []
        ways += ["title"] if made.kind.anatomy.titles else []
        way = dice.choice(ways) if ways else ""
        if way == "factor":
            made.factor = dice.choice(factors)
        elif way == "copies":
            made.copies = dice.choice([one for one in made.template.copies if one != made.copies])
            made.factor = min(made.factor, max(self._factors(made)))
        elif way == "days":
            made.days = dice.randint(*made.template.shifts)
        elif way == "title":
            made.title += 1
        self._put(made)

    def _move(self, dice: random.Random) -> None:
        """Somebody moves a row to another state, in or out of what a flow wants, or back."""
        some = [one for one in self._rows if one.template.moves]
        if not some:
            return
        made = dice.choice(some)
        made.move = dice.choice(made.template.moves) if made.move is None else None
        self._put(made)

    def _delete(self, dice: random.Random) -> None:
        """Somebody deletes a row that no other refers to."""
        referred = {id(parent) for one in self._rows for parent in one.parents.values()}
        some = [
            one for one in self._rows if id(one) not in referred and one.kind.name not in self._kept
        ]
        if not some:
            return
        made = dice.choice(some)
        system, stream = made.kind.name
        try:
            self._twins[system].remove(stream, made.key)
        except Unplayable:
            self._kept.add(made.kind.name)
            return
        self._rows.remove(made)
        self.deeds.append(Deed(system, stream, made.key, self._now(), None))

    # --- what is broken --------------------------------------------------------------------------

    def _notice(self) -> None:
        """Now and then somebody mends a row that is broken."""
        broken = [one for one in self._rows if one.broken is not None]
        if broken and self._dice["mending"].random() < MENDED:
            self._mend(self._dice["mending"].choice(broken))

    def _mend(self, made: Made) -> None:
        made.broken = None
        self._say(made)

    def _put(self, made: Made) -> None:
        """Save a row as it now is, broken where the dice say so. Raises _CannotBeMade for a row
        that its system does not take at all."""
        way, made.left = self._fault(made), False
        if way is not None:
            made.broken = way
            try:
                self._say(made)
            except _CannotBeMade:
                self._unbreakable.add(_way(made, way))
            else:
                if made.broken is not None:
                    self._struck[way.fault] += 1
                return
        made.broken = None
        self._say(made)

    def _fault(self, made: Made) -> Break | None:
        """The fault that the row is saved with. Every fault throws its own dice every time.

        A system with ids of its own makes a row in several steps, and half of it would stay where
        it refuses one: there, only rows that are there already are broken.
        """
        name = made.kind.name
        able = made in self._rows or self._our_keys.get(name, False)
        found: Break | None = None
        for fault in BREAKING:
            dice = self._dice[fault]
            strikes, which = dice.random() < self._rates.get(fault, 0.0), dice.random()
            if not (able and strikes) or found is not None:
                continue
            ways = [
                one
                for one in made.template.breaks
                if one.fault == fault and _way(made, one) not in self._unbreakable
            ]
            if ways:
                found = ways[int(which * len(ways))]
        return found

    def _say(self, made: Made) -> None:
        """Bring the row into its system, and write down how it stands there. A system that counts
        for itself may have put right what was broken."""
        system, stream = made.kind.name
        row = made.row()
        try:
            key = self._twins[system].put(stream, row)
        except Unplayable as reason:
            raise _CannotBeMade(made, str(reason)) from None
        if made not in self._rows:
            self._our_keys.setdefault(made.kind.name, key == made.key)
            self._rows.append(made)
        made.key = key
        stands = copy.deepcopy(dict(self._twins[system].rows(stream).get(key, row)))
        if made.broken is not None and not _carries(stands, made):
            self._unbreakable.add(_way(made, made.broken))
            made.broken = None
        fault = made.broken.fault if made.broken is not None else ""
        self.deeds.append(Deed(system, stream, key, self._now(), stands, fault))


def _carries(stands: Mapping[str, object], made: Made) -> bool:
    """Whether a row that was broken differs in that place from the good one."""
    assert made.broken is not None
    path = made.broken.path
    good = dataclasses.replace(made, broken=None).row()
    return _plain(values(stands, path)) != _plain(values(good, path))


def _plain(some: Iterator[object]) -> list[object]:
    """Values as they compare, in whatever form a system shows its numbers."""
    return [number_of(one) if number_of(one) is not None else str(one) for one in some]


def _referred(made: Made) -> Iterator[tuple[str, StreamName, str]]:
    """(record type, its stream, the key that the template has) of every row that it refers to."""
    found = dict.fromkeys(
        (one.record_type, made.kind.parents[one.record_type], str(key))
        for one in made.kind.anatomy.references
        if one.record_type in made.kind.parents
        for key in values(made.template.row, one.path)
    )
    yield from found


def _way(made: Made, way: Break) -> tuple[object, ...]:
    return made.kind.name, way.fault, way.path, way.name, str(way.value)
