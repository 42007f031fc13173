"""The documentation as data: pages, fenced blocks, links, and the commands in them.

Comments above a block steer how it is run: `<!-- not run: why -->` leaves it out (the reason is
required), `<!-- exit code 4 -->` says how its last command ends, `<!-- wait for: text -->` lets it
wait until the worker's log says so. A page that says `<!-- run in: an empty folder -->` does not
run in the demo's landscape.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
EMPTY_FOLDER = "<!-- run in: an empty folder -->"
LEFT_OUT = "…"

_BLOCK = re.compile(
    r'^(?P<above>(?:<!--[^\n]*-->\n)*)```(?P<kind>\w*)(?: title="(?P<title>[^"]+)")?\n'
    r"(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
_NOT_RUN = re.compile(r"<!-- not run: (.{10,}) -->")
_EXIT = re.compile(r"<!-- exit code (\d+) -->")
_WAIT = re.compile(r"<!-- wait for: (.+) -->")
_FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)
_LINK = re.compile(r"(?<!\\)\[[^\]]*\]\(([^)\s]+)\)")


@dataclass(frozen=True)
class Command:
    """One command line and the lines it is shown to print ("" when the page shows none)."""

    line: str
    shown: str
    exit_code: int


@dataclass(frozen=True)
class Block:
    """A fenced block. `title` names a file that the block is the content of."""

    kind: str
    title: str
    text: str
    not_run: bool
    exit_code: int
    wait_for: str

    def commands(self) -> list[Command]:
        """The commands of an `sh` or `console` block, in order."""
        if self.not_run or self.kind not in {"sh", "console"}:
            return []
        if self.kind == "sh":
            lines = [line for line in self.text.replace("\\\n", " ").splitlines() if line.strip()]
            return [Command(line, "", self.exit_code) for line in lines]
        found: list[Command] = []
        for part in re.split(r"^\$ ", self.text, flags=re.MULTILINE)[1:]:
            line, _, shown = part.partition("\n")
            found.append(Command(line, shown, 0))
        if found:
            found[-1] = Command(found[-1].line, found[-1].shown, self.exit_code)
        return found


def pages() -> list[Path]:
    """Every page for people, ours first."""
    ours = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
    return [*ours, *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    found = []
    for match in _BLOCK.finditer(text):
        ends, waits = _EXIT.search(match["above"]), _WAIT.search(match["above"])
        found.append(
            Block(
                kind=match["kind"],
                title=match["title"] or "",
                text=match["text"],
                not_run=_NOT_RUN.search(match["above"]) is not None,
                exit_code=int(ends[1]) if ends else 0,
                wait_for=waits[1] if waits else "",
            )
        )
    return found


def links(page: Path) -> list[str]:
    """Where the page's links and pictures lead, as written."""
    return _LINK.findall(_FENCED.sub("", page.read_text(encoding="utf-8")))


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives the page's headings."""
    found: set[str] = set()
    for heading in _HEADING.findall(_FENCED.sub("", page.read_text(encoding="utf-8"))):
        words = re.sub(r"[`*_]|\[([^\]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
        found.add(re.sub(r"[^\w\- ]", "", words).replace(" ", "-"))
    return found


def prose() -> str:
    """All pages as one text."""
    return "\n".join(page.read_text(encoding="utf-8") for page in pages())
