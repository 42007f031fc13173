"""Files: nothing is lost, half or twice, whatever the folder looks like."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.connectors.test_files_contract import INVOICE, PAYMENT, interface
from tieout.connectors.files import CONNECTOR as UNDECLARED
from tieout.connectors.files import lines as file_lines
from tieout.finance.outcome import Denied, Drift, Outage
from tieout.ports.connector import Item
from tieout.ports.errors import VendorFault
from tieout.ports.opening import open_session
from tieout.rules.interface import InterfaceSpec
from tieout.rules.place import BadLandscape


class Inbox:
    """A folder and a reader that goes on where it stopped."""

    def __init__(
        self, path: Path, spec: InterfaceSpec = INVOICE, rows_per_page: int = 5000
    ) -> None:
        self.path = path
        self.connector = UNDECLARED.declared({spec.name: spec})
        settings = {"folder": str(path), "rows_per_page": str(rows_per_page)}
        self.at = open_session("inbox", self.connector, settings, {}, [])
        self.stream = spec.name
        self.cursor = ""
        self.pages = 0

    def put(self, name: str, content: str | bytes) -> None:
        with (self.path / name).open("ab") as file:
            file.write(content.encode() if isinstance(content, str) else content)

    def read(self) -> list[Item]:
        found: list[Item] = []
        while True:
            page = self.connector.read(self.at, self.stream, self.cursor)
            self.cursor = page.cursor
            self.pages += 1
            found += page.items
            if not page.more:
                return found

    def keys(self) -> list[str]:
        return [one.key for one in self.read()]


def row(key: str, version: int = 1, **more: str) -> str:
    return json.dumps({"id": key, "version": version, **more}) + "\n"


def test_files_are_taken_in_the_order_of_their_names(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path)
    inbox.put("invoices-2.jsonl", row("c"))
    inbox.put("invoices-1.jsonl", row("a") + row("b"))
    inbox.put("other.jsonl", row("x"))
    inbox.put(".invoices-0.jsonl", row("y"))
    assert inbox.keys() == ["a", "b", "c"]
    assert inbox.keys() == []
    inbox.put("invoices-3.jsonl", row("d"))
    assert inbox.keys() == ["d"]


def test_a_file_that_comes_late_is_read_all_the_same(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path)
    inbox.put("invoices-2.jsonl", row("b"))
    assert inbox.keys() == ["b"]
    inbox.put("invoices-1.jsonl", row("a"))
    assert inbox.keys() == ["a"]


def test_a_half_written_line_waits_and_so_do_the_files_after_it(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path)
    whole = row("b")
    inbox.put("invoices-1.jsonl", row("a") + whole[:10])
    inbox.put("invoices-2.jsonl", row("c"))
    assert inbox.keys() == ["a"]
    inbox.put("invoices-1.jsonl", whole[10:-1])
    assert inbox.keys() == []
    inbox.put("invoices-1.jsonl.done", "")
    assert inbox.keys() == ["b", "c"]


def test_the_newest_file_may_grow(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path)
    for key in "abc":
        inbox.put("invoices.jsonl", row(key))
        assert inbox.keys() == [key]


def test_a_marked_stream_takes_a_file_only_with_its_marker(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path, interface("invoice", "invoices*.jsonl", whole="marker"))
    inbox.put("invoices-1.jsonl", row("a"))
    assert inbox.keys() == []
    inbox.put("invoices-1.jsonl.done", "")
    assert inbox.keys() == ["a"]


@pytest.mark.parametrize("change", ["shrink", "grow", "replace", "vanish"])
def test_what_was_read_must_stay_as_it_was(tmp_path: Path, change: str) -> None:
    inbox = Inbox(tmp_path)
    inbox.put("invoices-1.jsonl", row("a") + row("b"))
    inbox.put("invoices-2.jsonl", row("c") + '{"id": "half')
    assert inbox.keys() == ["a", "b", "c"]
    first, second = tmp_path / "invoices-1.jsonl", tmp_path / "invoices-2.jsonl"
    if change == "shrink":
        second.write_text(row("c")[:5])
    elif change == "grow":
        inbox.put(first.name, row("z"))
    elif change == "replace":
        second.write_text(row("x") + '{"id": "half')
    else:
        second.unlink()
    with pytest.raises(VendorFault) as raised:
        inbox.keys()
    assert isinstance(raised.value.outcome, Drift)
    assert raised.value.outcome.detail.code == "CHANGED"
    assert "invoices-" in raised.value.outcome.detail.words


def test_finished_files_may_be_moved_away(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path)
    inbox.put("invoices-1.jsonl", row("a"))
    inbox.put("invoices-2.jsonl", row("b"))
    assert inbox.keys() == ["a", "b"]
    (tmp_path / "invoices-1.jsonl").unlink()
    assert inbox.keys() == []


MALFORMED = {
    "not json": b"not json\n",
    "no key": b'{"version": 1}\n',
    "no version": b'{"id": "a"}\n',
    "a list": b"[1]\n",
    "bytes that are no text": b'{"id": "a", "version": 1, "x": "\xff\xfe"}\n',
    "deep": b'{"id": "a", "version": 1, "x": ' + b"[" * 20000 + b"\n",
    "a float for a version": b'{"id": "a", "version": 1.5}\n',
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_line_arrives_and_names_its_place(tmp_path: Path, name: str) -> None:
    inbox = Inbox(tmp_path)
    inbox.put("invoices.jsonl", row("a").encode() + b"\n" + MALFORMED[name] + row("b").encode())
    items = inbox.read()
    assert [one.key for one in items] == ["a", "invoices.jsonl:3", "b"]
    assert items[1].version
    assert "invoices.jsonl, line 3" in items[1].payload
    with pytest.raises(ValueError):
        json.loads(items[1].payload)


def test_a_line_beyond_measure_costs_no_memory_and_harms_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_lines, "MOST_LINE_BYTES", 1000)
    inbox = Inbox(tmp_path)
    inbox.put("invoices.jsonl", row("a") + row("big", x="y" * 5000) + row("b"))
    items = inbox.read()
    assert [one.key for one in items] == ["a", "invoices.jsonl:2", "b"]
    assert len(items[1].payload) < 1000
    inbox.put("invoices.jsonl", row("c"))
    assert inbox.keys() == ["c"]


def test_amounts_stay_as_they_are_written(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path)
    text = '{"id": "a", "version": 7, "total": 0.10, "other": "1.00"}'
    inbox.put("invoices.jsonl", "\ufeff" + text + "\r\n")
    assert inbox.read() == [Item("a", "7", text)]


CSV = "id,version,total,note\n"


def test_csv_rows_become_json_with_text_values(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path, PAYMENT, rows_per_page=2)
    inbox.put("payments-1.csv", "\ufeff" + CSV + '1,1,0.10,"a ""q"",\nnext"\n2,1,,x\n\n3,1,5,z')
    items = inbox.read()
    assert [json.loads(one.payload) for one in items] == [
        {"id": "1", "version": "1", "total": "0.10", "note": 'a "q",\nnext'},
        {"id": "2", "version": "1", "total": None, "note": "x"},
    ]
    inbox.put("payments-1.csv", "\n4,1\n,1,1,1\n5,1,1,1\n")
    assert inbox.keys() == ["3", "payments-1.csv:7", "payments-1.csv:8", "5"]


def test_csv_columns_that_are_missing_stop_the_stream(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path, PAYMENT)
    inbox.put("payments-1.csv", "id,amount\n1,2\n")
    with pytest.raises(VendorFault) as raised:
        inbox.read()
    assert isinstance(raised.value.outcome, Drift)
    assert "version" in raised.value.outcome.detail.words


def test_csv_without_a_header_has_the_declared_columns(tmp_path: Path) -> None:
    spec = interface("payment", "payments*.csv", header="no", delimiter="semicolon")
    inbox = Inbox(tmp_path, spec)
    inbox.put("payments-1.csv", "1;1;0,10\n")
    assert [json.loads(one.payload)["total"] for one in inbox.read()] == ["0,10"]


def test_a_folder_that_is_not_there_is_an_outage(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path / "nowhere")
    with pytest.raises(VendorFault) as raised:
        inbox.read()
    assert isinstance(raised.value.outcome, Outage)
    assert not inbox.connector.check(inbox.at).well


def test_links_are_not_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text(row("x"))
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "invoices-1.jsonl").symlink_to(secret)
    assert Inbox(folder).keys() == []


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({}, "names its files"),
        ({"files": "../x*.jsonl"}, "names its files"),
        ({"files": "x*.txt"}, "format"),
        ({"files": "x*.csv", "delimiter": "colon"}, "delimiter"),
        ({"files": "x*.csv", "colour": "red"}, "unknown option"),
    ],
)
def test_a_wrong_interface_is_refused(options: dict[str, str], what: str) -> None:
    with pytest.raises(BadLandscape, match=what):
        UNDECLARED.declared({"invoice": replace(INVOICE, options=options)})


@given(
    sizes=st.lists(st.integers(0, 5), min_size=1, max_size=6),
    page=st.integers(1, 4),
    cut=st.integers(0, 30),
)
def test_every_row_comes_exactly_once_however_files_grow(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], page: int, cut: int
) -> None:
    """Files of any size, pages of any size, the last line cut anywhere and completed later."""
    inbox = Inbox(tmp_path_factory.mktemp("inbox"), rows_per_page=page)
    meant: list[str] = []
    seen: list[str] = []
    for number, size in enumerate(sizes):
        keys = [f"{number}-{one}" for one in range(size)]
        meant += keys
        text = "".join(row(key) for key in keys)
        inbox.put(f"invoices-{number}.jsonl", text[:cut])
        seen += inbox.keys()
        inbox.put(f"invoices-{number}.jsonl", text[cut:])
        seen += inbox.keys()
    assert seen == meant


def test_a_denied_folder_is_its_administrators_business() -> None:
    from tieout.connectors.files.errors import fault

    assert isinstance(fault("DENIED", "x").outcome, Denied)
