"""Takes typed values out of a YAML table and collects every problem on the way.

One `Form` per table. A missing or mistyped value becomes a Problem with its place, and a harmless
stand-in is returned, so that one run names everything that is wrong.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal, InvalidOperation

from tieout.landscape import durations
from tieout.landscape.reader import Items, Node, Table, Text
from tieout.rules.place import Place, Problem

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,62}")
_KINDS = {Text: "a text", Items: "a list", Table: "a table of keys and values"}


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Advice for a misspelt word: the nearest known one, else what there is."""
    names = sorted(known)
    near = difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    if not near:
        lower = {name.lower(): name for name in names}
        near = [lower[one] for one in difflib.get_close_matches(word.lower(), lower, n=1)]
    if near:
        return f"Did you mean '{near[0]}'?"
    if not names:
        return "There is none yet"
    shown = ", ".join(names[:12]) + (", …" if len(names) > 12 else "")
    return f"There is: {shown}"


class Form:
    """A table being read. `known` lists every key it may have; any other is a problem at once."""

    def __init__(
        self, table: Table, what: str, known: Sequence[str], problems: list[Problem]
    ) -> None:
        self.table = table
        self.what = what
        self.problems = problems
        for key in table.entries:
            if key not in known:
                self.complain(
                    table.key_places[key],
                    f"'{key}' is not a key of {what}",
                    did_you_mean(key, known),
                )

    @property
    def place(self) -> Place:
        return self.table.place

    def complain(self, place: Place, what: str, next_action: str) -> None:
        self.problems.append(Problem(place, what, next_action))

    def has(self, key: str) -> bool:
        return key in self.table.entries

    def place_of(self, key: str) -> Place:
        """Where the value of `key` stands, or the table if the key is absent."""
        node = self.table.entries.get(key)
        return node.place if node is not None else self.table.place

    def place_under(self, key: str, name: str) -> Place:
        """Where the value of `name` stands in the table under `key`."""
        node = self.table.entries.get(key)
        below = node.entries.get(name) if isinstance(node, Table) else None
        return below.place if below is not None else self.place_of(key)

    def node(self, key: str, required: bool = False) -> Node | None:
        found = self.table.entries.get(key)
        if found is None and required:
            self.complain(self.place, f"{self.what} has no '{key}'", f"Add '{key}:'")
        return found

    def text(self, key: str, default: str | None = None) -> str:
        """A non-empty text. Without `default` the key is required."""
        node = self.node(key, required=default is None)
        if node is None:
            return default or ""
        if not isinstance(node, Text):
            self.complain(
                node.place, f"'{key}' of {self.what} is {_KINDS[type(node)]}", "Write a text"
            )
            return default or ""
        value = node.value.strip()
        if not value and default is None:
            self.complain(node.place, f"'{key}' of {self.what} is empty", "Give it a value")
        return value

    def name(self, key: str) -> str:
        """A required name: letters, digits and underscores."""
        value = self.text(key)
        if value and not NAME.fullmatch(value):
            self.complain(
                self.place_of(key),
                f"'{value}' is not a name",
                "Use letters, digits and underscores, starting with a letter, at most 63",
            )
        return value

    def choice(self, key: str, choices: Sequence[str], default: str | None = None) -> str:
        value = self.text(key, default)
        if value and value not in choices:
            near = difflib.get_close_matches(value, choices, n=1)
            hint = f"Did you mean '{near[0]}'? " if near else ""
            self.complain(
                self.place_of(key),
                f"'{key}' of {self.what} is '{value}'",
                f"{hint}It is one of: {', '.join(choices)}",
            )
            return default or choices[0]
        return value

    def yes(self, key: str, default: bool) -> bool:
        """`true` or `false`; YAML's other spellings (yes, on, NO) stay text and are refused."""
        value = self.text(key, "true" if default else "false")
        if value not in ("true", "false"):
            self.complain(
                self.place_of(key), f"'{key}' of {self.what} is '{value}'", "Write true or false"
            )
        return value == "true"

    def whole(self, key: str, default: int | None, least: int, most: int) -> int:
        value = self.text(key, None if default is None else str(default))
        if value.isascii() and value.isdigit() and least <= int(value[:12]) <= most:
            return int(value)
        if value:
            self.complain(
                self.place_of(key),
                f"'{key}' of {self.what} is '{value}'",
                f"Write a whole number from {least} to {most}",
            )
        return least

    def decimal(self, key: str, default: str) -> str:
        """A decimal of zero or more, kept as text."""
        value = self.text(key, default)
        try:
            good = Decimal(value).is_finite() and Decimal(value) >= 0
        except InvalidOperation:
            good = False
        if not good:
            self.complain(
                self.place_of(key),
                f"'{key}' of {self.what} is '{value}'",
                "Write a decimal such as 0.01",
            )
            return default
        return value

    def seconds(self, key: str, default: float | None = None) -> float | None:
        if not self.has(key):
            return default
        value = self.text(key)
        if not value:
            return default
        try:
            return durations.seconds(value)
        except ValueError:
            self.complain(
                self.place_of(key),
                f"'{key}' of {self.what} is '{value}', not a duration",
                durations.HOW_TO_WRITE,
            )
            return default

    def table_at(self, key: str, required: bool = False) -> Table | None:
        node = self.node(key, required)
        if node is None or isinstance(node, Table):
            return node
        self.complain(
            node.place,
            f"'{key}' of {self.what} is {_KINDS[type(node)]}",
            "Write a table of keys and values",
        )
        return None

    def texts(self, key: str, required: bool = False) -> tuple[str, ...]:
        """A list of texts; a single text counts as a list of one."""
        node = self.node(key, required)
        if node is None:
            return ()
        items = node.items if isinstance(node, Items) else (node,)
        values = []
        for item in items:
            if isinstance(item, Text) and item.value.strip():
                values.append(item.value.strip())
            elif not (isinstance(item, Text) and item is node):
                self.complain(
                    item.place, f"'{key}' of {self.what} must list texts", "Write [one, two]"
                )
        return tuple(values)

    def text_table(self, key: str, required: bool = False) -> dict[str, str]:
        """A table whose values are texts."""
        table = self.table_at(key, required)
        found: dict[str, str] = {}
        for name, node in (table.entries if table is not None else {}).items():
            if isinstance(node, Text):
                found[name] = node.value
            else:
                self.complain(node.place, f"'{name}' under '{key}' is not a text", "Write a text")
        return found

    def tables(self, key: str, required: bool = False) -> Iterator[Table]:
        """The tables of a list."""
        node = self.node(key, required)
        if node is None:
            return
        if not isinstance(node, Items):
            self.complain(
                node.place, f"'{key}' of {self.what} is {_KINDS[type(node)]}", "Write a list"
            )
            return
        for item in node.items:
            if isinstance(item, Table):
                yield item
            else:
                self.complain(
                    item.place,
                    f"'{key}' of {self.what} must list tables",
                    "Write each item as {key: value, …}",
                )
