"""The emulated Anaplan's loads and reads, driven by a client that others wrote, over real HTTP."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from anaplan_sdk.exceptions import AnaplanActionError, InvalidIdentifierException

from tests.emulators.anaplan_client import (
    EXPORT,
    FILE,
    IMPORT,
    IN_MODEL,
    ROW,
    VIEW,
    Stopped,
    call,
    client,
    text_of,
    turn_to,
    with_,
)
from tieout import clock
from tieout.emulators.anaplan import seed
from tieout.emulators.host import Served, serve
from tieout.emulators.kit import load_tables, save_tables


@pytest.fixture
def tenant(monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    with serve("anaplan", {"task_seconds": "0"}) as served:
        turn_to(served, monkeypatch)
        yield served


def test_listings_are_what_the_client_expects(tenant: Served) -> None:
    anaplan = client()
    assert [one.name for one in anaplan.get_workspaces()] == ["Northwind Planning"]
    assert anaplan.get_workspace().id == seed.WORKSPACE_ID
    assert anaplan.get_models()[0].id == seed.MODEL_ID
    assert anaplan.get_model().model_transaction_running is False
    assert [one.id for one in anaplan.get_files(sort_by="name")] == [FILE]
    assert anaplan.get_imports()[0].file_id == FILE
    assert anaplan.get_exports()[0].id == EXPORT
    assert anaplan.get_processes() == []  # the key is absent without rows
    assert anaplan.get_actions() == []
    assert anaplan.tr.get_modules()[0].id == VIEW
    assert anaplan.tr.get_views()[0].moduleId == VIEW
    assert anaplan.tr.get_model_status().current_step == "Open"
    anaplan.tr.wake_model()
    assert [one.code for one in anaplan.tr.get_list_items(int(seed.ENTITY_LIST_ID))] == [
        "NWEU",
        "NWUK",
        "NWNA",
        "NWSA",
    ]


def test_pages_are_cut_silently(monkeypatch: pytest.MonkeyPatch) -> None:
    with serve("anaplan", {"page_limit": "2"}) as served:
        turn_to(served, monkeypatch)
        for number in range(5):
            file_id = f"1130000001{number:02d}"
            served.emulator.tables["files"][file_id] = seed.a_file(file_id, f"f{number}")
        assert len({one.id for one in client().get_files()}) == 6


@pytest.mark.parametrize("size", [7, 10_000])
def test_upload_import_and_view(tenant: Served, size: int) -> None:
    anaplan = client(upload_chunk_size=size)
    umlaut = with_(ROW, code="SO2-1", order_id="SO2", product="Räksmörgås, =1+1", value="0.30")
    task = anaplan.upload_and_import(FILE, text_of(ROW, umlaut), IMPORT)
    assert task.result.successful
    values = task.result.details[0].values
    assert dict(zip(values[::2], values[1::2], strict=True))["totalRowCount"] == "2"
    assert anaplan.get_task_summaries(IMPORT)[0].task_state == "COMPLETE"
    shown = anaplan.tr.get_view_data(VIEW)
    assert isinstance(shown, dict)
    assert shown["columnCoordinates"][0] == ["order_id"]
    assert {row["rowCoordinates"][0] for row in shown["rows"]} == {"SO1-1", "SO2-1"}
    text = anaplan.tr.get_view_data(VIEW, data_format="text/csv")
    assert isinstance(text, bytes)
    lines = {line[0]: line for line in csv.reader(io.StringIO(text.decode()))}
    assert lines["SO2-1"][6] == "Räksmörgås, =1+1"
    assert lines["SO2-1"][8] == "0.30"
    cell = tenant.emulator.tables["bookings"]["SO1-1"]["value"]
    assert isinstance(cell, Decimal)
    assert str(cell) == "98.00"


def test_values_replace_and_the_same_code_in_one_file_adds_up(tenant: Served) -> None:
    anaplan = client()
    for _ in range(2):
        anaplan.upload_and_import(FILE, text_of(ROW), IMPORT)
    assert tenant.emulator.tables["bookings"]["SO1-1"]["value"] == Decimal("98.00")
    anaplan.upload_and_import(FILE, text_of(ROW, ROW), IMPORT)
    assert tenant.emulator.tables["bookings"]["SO1-1"]["value"] == Decimal("196.00")


def test_a_streamed_upload_of_unknown_length(tenant: Served) -> None:
    anaplan = client()
    whole = text_of(ROW)
    anaplan.upload_file_stream(FILE, iter([whole[:30], whole[30:]]))
    assert anaplan.get_file(FILE) == whole.encode()
    assert anaplan.run_action(IMPORT).result.successful


def test_refused_rows_come_back_in_the_dump_of_the_latest_run_only(tenant: Served) -> None:
    anaplan = client()
    bad = [
        with_(ROW, code="SO2-1", legal_entity="NWXX"),
        with_(ROW, code="SO3-1", period="Juli 2020"),
        with_(ROW, code="SO4-1", value="1,000.00", quantity="many"),
    ]
    task = anaplan.upload_and_import(FILE, text_of(ROW, *bad), IMPORT)
    assert task.result.successful, "rows refused, the import succeeded all the same"
    assert task.result.failure_dump_available
    assert task.result.details[0].type == "hierarchyRowsProcessedWithFailures"
    assert set(tenant.emulator.tables["bookings"]) == {"SO1-1"}
    dump = f"{IN_MODEL}/imports/{IMPORT}/tasks/{task.id}/dump"
    assert call(tenant, "GET", f"{dump}/chunks") == 200
    assert call(tenant, "GET", f"{dump}/chunks/1") == 404
    lines = list(
        csv.DictReader(io.StringIO(str(tenant.emulator.tables["dumps"][str(IMPORT)]["text"])))
    )
    assert [line["code"] for line in lines] == ["SO2-1", "SO3-1", "SO4-1"]
    assert lines[0]["_Errors_"] == "Item not found in list Legal entities: NWXX"
    assert [line["_ErrorCount_"] for line in lines] == ["1", "1", "2"]
    anaplan.upload_and_import(FILE, text_of(ROW), IMPORT)
    assert call(tenant, "GET", dump) == 404


def test_ignored_rows_leave_no_trace(tenant: Served) -> None:
    tenant.emulator.tables["models"][seed.MODEL_ID]["noAccessCodes"] = ["SO2-1"]
    rows = (ROW, with_(ROW, code="SO2-1"), with_(ROW, code=""))
    result = client().upload_and_import(FILE, text_of(*rows), IMPORT).result
    values = result.details[0].values
    assert result.successful
    assert not result.failure_dump_available
    assert dict(zip(values[::2], values[1::2], strict=True))["ignoredCount"] == "2"
    assert set(tenant.emulator.tables["bookings"]) == {"SO1-1"}


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        ("code,value\r\nSO1-1,5\r\n", "failedToLocateEntity"),
        ('code,"unclosed', "connectorError"),
        (b"\xff\xfe", "connectorError"),
    ],
)
def test_complete_is_not_success(tenant: Served, content: str | bytes, kind: str) -> None:
    anaplan = client()
    anaplan.upload_file(FILE, content)
    with pytest.raises(AnaplanActionError):
        anaplan.run_action(IMPORT)
    task = list(tenant.emulator.tables["tasks"].values())[-1]
    assert isinstance(task["result"], dict)
    assert task["result"]["details"][0]["type"] == kind
    assert tenant.emulator.tables["bookings"] == {}


def test_an_unknown_file_id_creates_a_file(tenant: Served) -> None:
    with pytest.raises(InvalidIdentifierException):
        client().upload_file(113_000_000_077, text_of(ROW))
    assert [row["name"] for row in tenant.emulator.tables["files"].values()] == [
        "bookings.csv",
        "113000000077",
    ]


def test_an_export_is_read_as_a_file(tenant: Served) -> None:
    anaplan = client()
    anaplan.upload_and_import(FILE, text_of(ROW), IMPORT)
    assert b"SO1-1,SO1,1,NWEU" in anaplan.export_and_download(EXPORT)


def test_list_items_are_added_once(tenant: Served) -> None:
    anaplan = client()
    items: list[dict[str, str | int | dict[str, object]]] = [
        {"name": "Northwind Japan", "code": "NWJP"},
        {"name": "NWEU", "code": "NWEU"},
    ]
    added = anaplan.tr.insert_list_items(int(seed.ENTITY_LIST_ID), items)
    assert not isinstance(added, int)
    assert (added.added, added.ignored, added.total) == (1, 1, 2)
    row = with_(ROW, legal_entity="NWJP")
    assert not anaplan.upload_and_import(FILE, text_of(row), IMPORT).result.failure_dump_available


def test_one_import_at_a_time_and_only_the_clock_moves_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with clock.world(Stopped()) as world, serve("anaplan", {"task_seconds": "10"}) as served:
        assert isinstance(world, Stopped)
        turn_to(served, monkeypatch)
        anaplan = client()
        anaplan.upload_file(FILE, text_of(ROW))
        first = anaplan.run_action(IMPORT, wait_for_completion=False).id
        second = anaplan.run_action(IMPORT, wait_for_completion=False).id

        def states() -> list[str]:
            return [anaplan.get_task_status(IMPORT, one).task_state for one in (first, second)]

        assert states() == ["NOT_STARTED", "NOT_STARTED"]
        world.pass_(2)
        assert states() == ["IN_PROGRESS", "NOT_STARTED"]
        assert anaplan.get_model().model_transaction_running
        anaplan.upload_file(FILE, text_of(with_(ROW, value="5.00")))
        world.pass_(8)
        assert states() == ["COMPLETE", "NOT_STARTED"]
        assert served.emulator.tables["bookings"]["SO1-1"]["value"] == Decimal("98.00")
        world.pass_(10)
        assert states() == ["COMPLETE", "COMPLETE"]
        assert served.emulator.tables["bookings"]["SO1-1"]["value"] == Decimal("5.00")


def test_a_cancelled_import_is_rolled_back(monkeypatch: pytest.MonkeyPatch) -> None:
    with clock.world(Stopped()) as world, serve("anaplan", {"task_seconds": "10"}) as served:
        assert isinstance(world, Stopped)
        turn_to(served, monkeypatch)
        anaplan = client()
        anaplan.upload_file(FILE, text_of(ROW))
        task = anaplan.run_action(IMPORT, wait_for_completion=False).id
        world.pass_(5)
        address = f"{IN_MODEL}/imports/{IMPORT}/tasks/{task}"
        assert call(served, "DELETE", address) == 200
        assert anaplan.get_task_status(IMPORT, task).task_state == "CANCELLED"
        world.pass_(20)
        assert anaplan.get_task_status(IMPORT, task).task_state == "CANCELLED"
        assert call(served, "DELETE", address) == 400
        assert served.emulator.tables["bookings"] == {}


def test_state_survives_a_restart(tenant: Served, tmp_path: Path) -> None:
    anaplan = client()
    anaplan.upload_and_import(FILE, text_of(ROW), IMPORT)
    save_tables(tenant.emulator.tables, tmp_path / "state.json")
    tenant.emulator.tables.clear()
    tenant.emulator.tables.update(load_tables(tmp_path / "state.json"))
    assert anaplan.get_file(FILE) == text_of(ROW).encode()
    assert tenant.emulator.tables["bookings"]["SO1-1"]["value"] == Decimal("98.00")
    assert anaplan.run_action(IMPORT).result.successful
