"""Where a value was written down: every value of a landscape knows its file and line."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A spot in a landscape file; `file` is relative to the landscape's folder, `line` from 1."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong with a landscape: what, where, and what to do. Errors are values here."""

    place: Place
    what: str
    next_action: str

    def __str__(self) -> str:
        return f"{self.place}: {self.what}. {self.next_action}"


class BadLandscape(Exception):
    """A landscape that cannot be used. Carries every problem found, not only the first."""

    def __init__(self, problems: tuple[Problem, ...] | list[Problem]) -> None:
        self.problems = tuple(sorted(problems, key=lambda one: one.place))
        super().__init__("\n".join(str(one) for one in self.problems))
