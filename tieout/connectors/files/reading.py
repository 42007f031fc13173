"""Reads files line by line, page by page, and remembers exactly how far.

Files are taken in the order of their names. Only whole lines are taken: a last line without a line
break waits, and so do the files after it, until its end comes or a marker NAME.done says that there
is no more. While no other file waits, the one that was read last may grow; then it is finished.

What was read must stay as it was: the cursor keeps the sizes of finished files and a digest of what
stands before the place that was reached, so a file that shrank, grew after its turn or was written
over is a fault and not a silent loss. Finished files may be moved away.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace

from tieout.connectors.files import folder
from tieout.connectors.files.errors import fault
from tieout.connectors.files.lines import Lines, row_reader
from tieout.connectors.files.streams import Source
from tieout.ports.connector import Item, Page
from tieout.ports.errors import VendorFault
from tieout.ports.session import Session

ROWS_PER_PAGE = 5_000
MOST_PAGE_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Cursor:
    """`file` was read up to byte `offset`, which is after line `line`; `seen` is the digest of what
    stands before. `done` are the finished files that are still there, with their sizes."""

    file: str = ""
    offset: int = 0
    line: int = 0
    seen: str = ""
    done: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def read(cls, text: str) -> Cursor:
        return cls(**json.loads(text)) if text else cls()

    def text(self) -> str:
        return json.dumps(asdict(self), separators=(",", ":"))


def read_page(at: Session, source: Source, cursor: str) -> Page:
    """The next lines. Raises VendorFault."""
    asked = int(at.settings.get("rows_per_page", ROWS_PER_PAGE))
    most_rows = max(1, min(asked, ROWS_PER_PAGE))
    files = folder.files_of(at, source)
    now = _checked(Cursor.read(cursor), files)
    items: list[Item] = []
    more = False
    unread = [one for one in files if one not in now.done]
    # What was begun is ended first; a name that comes late is read when it is there.
    for name in sorted(unread, key=lambda one: (one != now.file, one)):
        if source.marked and not folder.has_marker(at, name):
            break
        start = now if name == now.file else Cursor(name, done=now.done)
        grows = all(one == name or one in now.done for one in unread)
        with at.told("read", name):
            read, now = _lines(at, source, start, most_rows - len(items), grows)
        items += read
        if now.file:  # not finished: the page is full, or its last line is
            more = len(items) >= most_rows or now.offset > start.offset
            break
        if len(items) >= most_rows:
            more = any(one not in now.done for one in files)
            break
    return Page(tuple(items), now.text(), more)


def _checked(before: Cursor, files: Mapping[str, int]) -> Cursor:
    """The cursor over what is there now. Raises VendorFault when what was read has changed."""
    for name, size in before.done.items():
        if name in files and files[name] != size:
            raise fault("CHANGED", f"{name} had {size} bytes and has {files[name]}")
    if before.file and files.get(before.file, -1) < before.offset:
        is_gone = before.file not in files
        words = "is gone before it was read to its end" if is_gone else "became shorter"
        raise fault("CHANGED", f"{before.file} {words}")
    return replace(before, done={one: files[one] for one in before.done if one in files})


def _lines(
    at: Session, source: Source, start: Cursor, most_rows: int, grows: bool
) -> tuple[list[Item], Cursor]:
    """Rows of one file and the cursor after them; its `file` is empty when the file is finished.
    `grows`: no other file waits, so this one may still become longer."""
    marker = folder.has_marker(at, start.file)
    with folder.opened(at, start.file) as file:
        if start.offset and folder.seen(file, start.offset) != start.seen:
            raise fault("CHANGED", f"{start.file} holds something else before byte {start.offset}")
        file.seek(start.offset)
        lines = Lines(file, start.file, start.offset, start.line)
        make = row_reader(source, start.file, file)
        items: list[Item] = []
        while len(items) < most_rows and lines.offset - start.offset < MOST_PAGE_BYTES:
            try:
                line = lines.next(quoted=source.csv)
            except VendorFault:  # told at the next page: what stands before it comes in first
                if not items:
                    raise
                break
            if not line:
                break
            if lines.cut and not marker:
                lines.put_back()
                break
            item = make(line, lines)
            if item is not None:
                items.append(item)
        is_whole = lines.at_end() and (marker or not grows)
        seen = folder.seen(file, lines.offset)
    if is_whole:
        return items, Cursor(done={**start.done, start.file: lines.offset})
    return items, replace(start, offset=lines.offset, line=lines.line, seen=seen)


def fetch_items(at: Session, source: Source, keys: Sequence[str]) -> list[Item]:
    """These rows as the files say last, in the order asked; a row that no file has any more comes
    back deleted. Every file that is still there is read through."""
    wanted = set(keys)
    found: dict[str, Item] = {}
    cursor = ""
    while wanted:  # each page moves the cursor on
        page = read_page(at, source, cursor)
        found.update((one.key, one) for one in page.items if one.key in wanted)
        cursor = page.cursor
        if not page.more:
            break
    key = source.stream.key
    return [found.get(one) or Item(one, "", json.dumps({key: one}), True) for one in keys]
