"""Files that mean no good: a case or a clear fault, in bounded time, and the other rows come in."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.connectors.test_files import CSV, Inbox, row
from tests.connectors.test_files_contract import PAYMENT
from tieout.connectors.files import folder as file_folder
from tieout.connectors.files import lines as file_lines
from tieout.finance.outcome import Drift
from tieout.ports.errors import VendorFault


def test_a_truncated_csv_waits_for_its_end_and_what_is_whole_comes_in(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path, PAYMENT)
    inbox.put("payments-1.csv", CSV + "1,1,10,x\n2,1,20,y\n3,1,3")
    assert inbox.keys() == ["1", "2"]
    assert inbox.keys() == [], "half a row is nobody's row"
    inbox.put("payments-1.csv", "0,z\n")
    (last,) = inbox.read()
    assert json.loads(last.payload)["total"] == "30"


def test_a_quote_that_nobody_closes_does_not_swallow_what_follows_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_lines, "MOST_LINE_BYTES", 200)
    inbox = Inbox(tmp_path, PAYMENT)
    rows = "".join(f"{number},1,10,x\n" for number in range(40))
    inbox.put("payments-1.csv", CSV + 'a,1,10,"open\n' + rows)
    items = inbox.read()
    assert items[0].key == "payments-1.csv:20" or ":" in items[0].key
    assert "longer than 200 bytes" in items[0].payload
    assert items[-1].key == "39"


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
def test_a_wrong_encoding_is_named_line_by_line_or_for_the_whole_file(
    tmp_path: Path, encoding: str
) -> None:
    inbox = Inbox(tmp_path, PAYMENT)
    text = CSV + "1,1,10,plain\n2,1,20,Müller\n3,1,30,plain\n"
    inbox.put("payments-1.csv", text.encode(encoding))
    if encoding == "utf-16":  # not even the columns can be read
        with pytest.raises(VendorFault) as raised:
            inbox.read()
        assert isinstance(raised.value.outcome, Drift)
        assert raised.value.outcome.detail.code == "COLUMNS"
        return
    items = inbox.read()
    assert [one.key for one in items] == ["1", "payments-1.csv:3", "3"]
    assert "payments-1.csv, line 3" in items[1].payload
    assert "\\xfc" in items[1].payload


def test_nul_bytes_are_refused_where_they_stand(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path)
    inbox.put("invoices-1.jsonl", row("a") + '{"id": "b\0", "version": 1}\n' + row("c"))
    items = inbox.read()
    assert [one.key for one in items] == ["a", "invoices-1.jsonl:2", "c"]


@pytest.mark.parametrize("change", ["cut", "written over"])
def test_a_file_that_changes_while_it_is_read_is_found_at_the_next_page(
    tmp_path: Path, change: str
) -> None:
    inbox = Inbox(tmp_path, rows_per_page=2)
    path = tmp_path / "invoices-1.jsonl"
    inbox.put(path.name, "".join(row(f"k{number}") for number in range(6)))
    page = inbox.connector.read(inbox.at, inbox.stream, "")
    assert page.more
    if change == "cut":
        os.truncate(path, 10)
    else:
        path.write_text("".join(row(f"x{number}") for number in range(6)))
    with pytest.raises(VendorFault) as raised:
        inbox.connector.read(inbox.at, inbox.stream, page.cursor)
    assert raised.value.outcome.detail is not None
    assert raised.value.outcome.detail.code == "CHANGED"


def test_a_file_of_ten_gigabytes_without_a_line_costs_neither_memory_nor_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hole of 10 GB that some disk only claims to hold: what is read of it is counted."""
    inbox = Inbox(tmp_path)
    with (tmp_path / "invoices-1.jsonl").open("wb") as file:
        file.write(row("a").encode())
        file.truncate(10 * 1024**3)
    read = 0
    opened = file_folder.os.fdopen

    class Counted:
        """A file that counts what is read of it."""

        def __init__(self, descriptor: int) -> None:
            self._file = opened(descriptor, "rb", buffering=1 << 20)

        def __enter__(self) -> Counted:
            return self

        def __exit__(self, *_: object) -> None:
            self._file.close()

        def readline(self, most: int = -1) -> bytes:
            nonlocal read
            found = self._file.readline(most)
            read += len(found)
            return found

        def __getattr__(self, name: str) -> object:
            return getattr(self._file, name)

    monkeypatch.setattr(file_folder.os, "fdopen", lambda descriptor, *_, **__: Counted(descriptor))
    page = inbox.connector.read(inbox.at, inbox.stream, "")
    assert [one.key for one in page.items] == ["a"], "what stands before it comes in"
    with pytest.raises(VendorFault) as raised:
        inbox.connector.read(inbox.at, inbox.stream, page.cursor)
    assert raised.value.outcome.detail is not None
    assert raised.value.outcome.detail.code == "ENDLESS"
    assert "invoices-1.jsonl, line 2" in raised.value.outcome.detail.words
    assert read < 200 * 1024 * 1024


def test_a_line_beyond_measure_that_is_not_whole_yet_is_taken_once_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_lines, "MOST_LINE_BYTES", 100)
    inbox = Inbox(tmp_path)
    inbox.put("invoices-1.jsonl", row("a") + '{"id": "big", "x": "' + "y" * 1_000)
    assert inbox.keys() == ["a"]
    inbox.put("invoices-1.jsonl", "y" * 1_000 + '"}\n' + row("b"))
    assert inbox.keys() == ["invoices-1.jsonl:2", "b"]


@pytest.mark.parametrize("name", ["../outside.jsonl", "/etc/passwd", "sub/invoices-9.jsonl"])
def test_a_cursor_leads_nowhere_outside_the_folder(tmp_path: Path, name: str) -> None:
    """The cursor is ours, but it is text in a table: a name in it must be one of the folder."""
    inside = tmp_path / "in"
    (inside / "sub").mkdir(parents=True)
    (tmp_path / "outside.jsonl").write_text(row("secret"))
    (inside / "sub" / "invoices-9.jsonl").write_text(row("secret"))
    inbox = Inbox(inside)
    inbox.put("invoices-1.jsonl", row("a"))
    page = inbox.connector.read(inbox.at, inbox.stream, "")
    forged = page.cursor.replace("invoices-1.jsonl", name)
    assert forged != page.cursor
    try:
        again = inbox.connector.read(inbox.at, inbox.stream, forged)
    except VendorFault:
        return
    assert "secret" not in [one.key for one in again.items]
