"""Writes the table of troubles in docs/how_to/rehearse.md: `python tools/fault_table.py`."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tieout.rehearsal.coverage import NEEDS
from tieout.rehearsal.faults import MENU

PAGE = Path(__file__).parents[1] / "docs" / "how_to" / "rehearse.md"
_WHERE = {
    "people": "what comes in",
    "line": "the line to a system",
    "twin": "the system itself",
    "house": "our own processes",
    "desk": "the people who operate Tieout",
}
_BEGIN = "<!-- written by tools/fault_table.py -->"
_END = "<!-- end of what it has written -->"


def table() -> str:
    """Every trouble of the menu, where it is made, and what a landscape must have for it."""
    rows = [
        f"| `{one.name}` | {one.words} | {_WHERE[one.where]} | {NEEDS.get(one.name, '')} |"
        for one in MENU.values()
    ]
    head = ["| name | what happens | where | only with |", "|---|---|---|---|"]
    return "\n".join([_BEGIN, *head, *rows, _END])


def page(text: str) -> str:
    """The page with today's table in it. Raises ValueError for one without a place for it."""
    before, begin, rest = text.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not (begin and end):
        raise ValueError(f"the page has no place for the table: {_BEGIN} … {_END}")
    return before + table() + after


def main() -> None:
    """Write the table again."""
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
