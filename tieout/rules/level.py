"""What an expression can see: the fields of a row, of the rows around it, and what it asked for.

A mapping looks at a tree of rows: the record itself, and one child row per item of every list an
`each` unfolds. Each of these is a `Level`. Names are resolved here, and the values that only the
engine knows (ids, rates, periods) are asked for here, as numbered calls.
"""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

from tieout.rules.column_types import readable
from tieout.rules.python_functions import PythonFunction
from tieout.rules.spec import FieldType

PARENT = "parent"
RECORD_KEY = "record_key"
SOURCE_KEY = "source_key"
DATED = "#dated"
MARK_CHARACTERS = 16
SPECIAL = (RECORD_KEY, SOURCE_KEY)


@dataclass(frozen=True, slots=True)
class Call:
    """One question to the engine or a crosswalk, asked for every row of a level.

    `arguments` are SQL; the answer becomes the column `#c<number>`. `depth` 1 needs no other
    answer first. `fixed` are the literal arguments: a crosswalk's name; a system and record type.
    `python` is the landscape's own function that answers, if it is one; its error `#e<number>`.
    """

    number: int
    function: str
    fixed: tuple[str, ...]
    arguments: tuple[str, ...]
    depth: int
    shown: str  # what the engineer wrote
    python: PythonFunction | None = None

    @property
    def column(self) -> str:
        return f"#c{self.number}"

    @property
    def error_column(self) -> str:
        return f"#e{self.number}"

    @property
    def rate_column(self) -> str:
        return f"#r{self.number}"

    @property
    def needed(self) -> tuple[int, ...]:
        """The arguments without which nothing is asked."""
        if self.python is None:
            return tuple(range(len(self.arguments)))
        taken = [kind.optional for _, kind in self.python.parameters]
        return tuple(i for i in range(len(self.arguments)) if i >= len(taken) or not taken[i])

    def argument_column(self, index: int) -> str:
        return f"#a{self.number}_{index}"


@dataclass
class Level:
    """One kind of row. `path` is where its rows come from ("" is the record itself).

    `mark` tells it from rows of other fields: tables under one name should always look alike.
    """

    fields: tuple[FieldType, ...]
    path: str = ""
    parent: Level | None = None
    calls: list[Call] = field(default_factory=list)
    from_parent: set[str] = field(default_factory=set)  # parent columns its rows carry

    def __post_init__(self) -> None:
        self.by_name = {one.name: one for one in readable(self.fields)}
        self.mark = hashlib.sha256(repr(self.fields).encode()).hexdigest()[:MARK_CHARACTERS]

    @property
    def depth(self) -> int:
        return 0 if self.parent is None else self.parent.depth + 1

    @property
    def source(self) -> str:
        """The name under which the rows of the record itself are shown."""
        return f"#source {self.mark}" if self.parent is None else self.parent.source

    @property
    def keys(self) -> tuple[str, ...]:
        """The columns that identify a row of this level."""
        return ("#row", *(f"#p{number}" for number in range(1, self.depth + 1)))

    def carry(self, column: str) -> str:
        """Make a column of the parent level visible here; its name here."""
        self.from_parent.add(column)
        return f"{PARENT}.{column}"

    def special(self, column: str) -> str:
        """A column of the root (record key, date), carried down to here; its name here."""
        if self.parent is None:
            return column if column.startswith("#") else f"#{column}"
        return self.carry(self.parent.special(column))

    def find(self, name: str) -> tuple[str, FieldType] | None:
        """(column, field) of a bare name."""
        one = self.by_name.get(name)
        if one is not None:
            return name, one
        if name in SPECIAL:
            return self.special(name), FieldType(name, "text")
        return None

    def find_outward(self, names: list[str]) -> tuple[str, FieldType, str, list[str]] | None:
        """(column, field, source path, names left over) of `name.…` or `parent.….name.…`."""
        if names[0] == PARENT and PARENT not in self.by_name and len(names) > 1:
            if self.parent is None:
                return None
            found = self.parent.find_outward(names[1:])
            if found is None:
                return None
            column, one, path, rest = found
            return self.carry(column), one, path, rest
        here = self.find(names[0])
        if here is None:
            return None
        return here[0], here[1], self.source_path(names[0]), names[1:]

    def source_path(self, name: str) -> str:
        return f"{self.path}.{name}" if self.path and name not in SPECIAL else name

    def near(self, name: str) -> str:
        """Advice for a name that is not there."""
        known = [*self.by_name, *SPECIAL]
        close = difflib.get_close_matches(name, known, 1, 0.6)
        same = [one for one in known if one.lower() == name.lower()]
        if same or close:
            return f"Did you mean {(same or close)[0]}?"
        return f"The fields here are {', '.join(sorted(self.by_name)[:20])}."

    def ask(
        self,
        function: str,
        fixed: tuple[str, ...],
        arguments: tuple[str, ...],
        depth: int,
        shown: str,
        python: PythonFunction | None = None,
    ) -> Call:
        """The call with these arguments; asked once however often it is written."""
        for one in self.calls:
            if (one.function, one.fixed, one.arguments) == (function, fixed, arguments):
                return one
        call = Call(len(self.calls) + 1, function, fixed, arguments, depth, shown, python)
        self.calls.append(call)
        return call


def case_clashes(fields: Sequence[FieldType], at: str = "") -> list[tuple[str, str]]:
    """Pairs of names in one object that differ only in case, as paths; SQL cannot tell them
    apart. Nested objects and list items included."""
    found: list[tuple[str, str]] = []
    seen: dict[str, str] = {}
    for one in fields:
        path = f"{at}{one.name}"
        before = seen.setdefault(one.name.lower(), path)
        if before != path:
            found.append((before, path))
        found += case_clashes(one.fields, f"{path}.")
    return found
