"""What a cursor passed by is found again: late commits by a sweep, forgotten feeds by a compare."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.engine.house import House, changed_landscape, house
from tieout.connectors.salesforce.connector import Salesforce
from tieout.engine import comparing, sweeping
from tieout.ports.connector import Page
from tieout.ports.errors import CursorExpired
from tieout.ports.session import Session

HOUR = 3_600.0
SMALL_PAGES = {
    "environments/demo.yaml": ('overlap_seconds: "2"', 'overlap_seconds: "2"\n      page_rows: "2"')
}


@pytest.fixture
def paged(database_url: str, tmp_path: Path) -> Iterator[House]:
    """A house whose CRM shows two rows a page."""
    with house(database_url, changed_landscape(tmp_path, SMALL_PAGES)) as made:
        yield made


def hide(home: House, kind: str, key: str) -> Mapping[str, Any]:
    """A row whose transaction is not through yet, or that is gone without a trace."""
    row: Mapping[str, Any] = home.seller.emulator.tables[kind].pop(key)
    return row


def show(home: House, kind: str, key: str, row: Mapping[str, Any]) -> None:
    """The transaction is through: the row shows, with the stamp of when it was made."""
    home.seller.emulator.tables[kind][key] = dict(row)


def arrived(home: House, key: str) -> int:
    return int(home.one("SELECT count(*) FROM arrivals WHERE source_key = %s", key))


def test_a_row_committed_late_behind_the_cursor_is_found_by_the_sweep(home: House) -> None:
    account = home.seller.account("LATE1")
    row = hide(home, "Account", account)
    home.seller.account("SOON1")
    home.run()
    home.go_on(60)
    show(home, "Account", account, row)
    home.go_on(60)
    assert arrived(home, account) == 0, "no poll looks so far back"
    home.go_on(HOUR)
    home.run()
    assert arrived(home, account) == 1
    swept = home.rows("SELECT stream, seen, missing FROM sweeps WHERE ended_at IS NOT NULL")
    assert ("Account", 2, 1) in swept


def test_what_arrived_is_not_asked_for_again(home: House) -> None:
    home.seller.account()
    gone = home.seller.account("GONE1")
    home.run()
    home.seller.delete("Account", gone)
    home.run()
    home.go_on(HOUR)
    home.run()
    before = len(home.lines["salesforce"].calls)
    home.go_on(HOUR + 1)
    asked = [one.full_url() for one in home.lines["salesforce"].calls[before:]]
    assert any("ORDER%20BY%20Id" in url or "ORDER+BY+Id" in url for url in asked), asked
    assert home.rows("SELECT sum(missing) FROM sweeps") == [(0,)]
    assert home.one("SELECT count(*) FROM hints") == 0


def test_a_sweep_goes_on_where_a_dead_worker_left_it(
    paged: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeping, "PAGES_PER_TICK", 1)
    late = paged.seller.account("A0000")
    others = [paged.seller.account(f"A{number:04}") for number in range(1, 6)]
    row = hide(paged, "Account", late)
    paged.run()
    paged.go_on(60)
    show(paged, "Account", late, row)
    paged.go_on(HOUR)
    assert paged.rows("SELECT after <> '', missing FROM sweeps WHERE stream = 'Account'") == [
        (True, 1)
    ]
    paged.close_life(paged.engine)
    paged.context()
    paged.run()
    for _ in range(4):
        paged.go_on(1)
    ended = paged.rows("SELECT seen, missing, after FROM sweeps WHERE stream = 'Account'")
    assert ended == [(6, 1, "")]
    assert [arrived(paged, key) for key in (late, *others)] == [1] * 6


def test_the_erp_is_swept_too(home: House) -> None:
    """NetSuite's rows by their ids, whatever stamp they carry."""
    home.seller.deal("S-1", home.seller.account(), home.seller.product())
    home.run()
    connector, session = home.engine.connector("netsuite"), home.engine.session("netsuite")
    read = connector.read(session, "salesOrder", "")  # type: ignore[attr-defined]
    since = home.clock.now().replace(year=2000)
    marks = connector.marks(session, "salesOrder", since, "")  # type: ignore[attr-defined]
    shown = [(one.key, one.version) for one in marks.marks]
    assert shown == [(one.key, one.version) for one in read.items]
    assert len(shown) == 1
    later = home.clock.now().replace(year=2100)
    assert not connector.marks(session, "salesOrder", later, "").marks  # type: ignore[attr-defined]


# --- full compare ---------------------------------------------------------------------------------


@pytest.fixture
def forgetful(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Streams that have forgotten what lies after the cursor they gave. Empty at first."""
    forgotten: set[str] = set()
    cursors: dict[str, str] = {}
    plain = Salesforce.read

    def read(self: Salesforce, at: Session, stream: str, cursor: str) -> Page:
        if stream in forgotten and cursor:
            cursors.setdefault(stream, cursor)
            if cursors[stream] == cursor:
                raise CursorExpired(f"{stream}: the replay window is over")
        return plain(self, at, stream, cursor)

    monkeypatch.setattr(Salesforce, "read", read)
    return forgotten


def test_a_feed_that_forgot_is_read_anew_and_what_is_gone_is_taken_back(
    home: House, forgetful: set[str]
) -> None:
    account, product = home.seller.account(), home.seller.product()
    kept = home.seller.deal("K-1", account, product)
    gone = home.seller.deal("G-1", account, product)
    home.run()
    hide(home, "Opportunity", gone)
    home.seller.change("Opportunity", kept, Name="changed meanwhile")
    forgetful.add("Opportunity")
    home.run()
    assert home.rows(
        "SELECT source_key, deleted FROM arrivals WHERE received_by = 'compare' AND deleted"
    ) == [(gone, True)]
    assert sorted(home.run_states()) == ["complete", "undone"]
    audited = home.rows("SELECT verb FROM actions WHERE verb LIKE 'compare%%' ORDER BY action_id")
    assert audited == [("compare",), ("compare ended",)]
    forgetful.clear()
    home.seller.deal("N-1", account, product)
    home.run()
    assert home.run_states().count("complete") == 2, "polling goes on from where the compare ended"


def test_salesforce_is_compared_when_its_recycle_bin_may_have_been_emptied(home: House) -> None:
    """Nobody polled for 16 days; a deal was deleted on the first, and is gone for good by now."""
    account, product = home.seller.account(), home.seller.product()
    home.seller.deal("K-1", account, product)
    gone = home.seller.deal("G-1", account, product)
    home.run()
    hide(home, "Opportunity", gone)
    home.clock.sleep(16 * 24 * 3600)
    home.run()
    assert home.rows(
        "SELECT source_key, deleted FROM arrivals WHERE received_by = 'compare' AND deleted"
    ) == [(gone, True)]
    assert sorted(home.run_states()) == ["complete", "undone"]
    (why,) = home.rows("SELECT detail FROM actions WHERE verb = 'compare' LIMIT 1")
    assert "15 days" in str(why)


def test_nothing_is_gone_before_the_whole_stream_was_read(
    paged: House, forgetful: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(comparing, "PAGES_PER_TICK", 1)
    accounts = [paged.seller.account(f"A{number:04}") for number in range(7)]
    paged.run()
    hide(paged, "Account", accounts[3])
    forgetful.add("Account")
    before_the_end = "SELECT count(*) FROM arrivals WHERE deleted"
    paged.go_on(5)
    assert paged.one("SELECT count(*) FROM compares WHERE ended_at IS NULL") == 1
    assert paged.one(before_the_end) == 0
    paged.close_life(paged.engine)  # the worker dies in the middle of it
    paged.context()
    for _ in range(6):
        paged.go_on(1, poll=False)
    assert paged.rows("SELECT seen, gone FROM compares WHERE ended_at IS NOT NULL") == [(6, 1)]
    assert paged.rows("SELECT source_key FROM arrivals WHERE deleted") == [(accounts[3],)]
    assert paged.one("SELECT count(*) FROM compare_keys") == 0


def test_a_row_that_comes_while_the_compare_runs_is_not_gone(
    paged: House, forgetful: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(comparing, "PAGES_PER_TICK", 1)
    for number in range(5):
        paged.seller.account(f"A{number:04}")
    paged.run()
    forgetful.add("Account")
    paged.go_on(5)
    fresh = paged.seller.account("FRESH")
    with paged.connection() as connection:  # as if a webhook had named it
        connection.execute(
            "INSERT INTO hints VALUES ('salesforce', 'Account', %s, %s)",
            (fresh, paged.clock.now()),
        )
    row = None
    for _ in range(6):
        paged.go_on(1, poll=False)
        if row is None and arrived(paged, fresh):
            row = hide(paged, "Account", fresh)  # so that the compare itself never shows it
    assert row is not None
    assert paged.one("SELECT count(*) FROM compares WHERE ended_at IS NULL") == 0
    assert paged.one("SELECT count(*) FROM arrivals WHERE deleted") == 0
