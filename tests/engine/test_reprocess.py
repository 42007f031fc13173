"""Replay of anything, at any moment, any number of times: one document per business version."""

from __future__ import annotations

import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.engine.house import House, changed_landscape, house
from tests.engine.test_flow import net_invoiced, order, totals
from tests.engine.test_replay import close, everything
from tieout.engine.opening import renew
from tieout.engine.reprocess import (
    Done,
    NothingChosen,
    choose_arrivals,
    choose_dispatches,
    reprocess,
    selection_of,
)
from tieout.engine.reprocess_preview import Preview, preview_reprocess, preview_resend
from tieout.engine.reprocess_resend import resend
from tieout.engine.worker import tick

REFUSED = b'{"o:errorDetails": [{"o:errorCode": "USER_ERROR", "detail": "no"}]}'
MAPPING = "mappings/opportunity_to_sales_order.yaml"


def again(home: House, **asked: Any) -> Done:
    selection = selection_of(home.engine, **asked)
    return reprocess(home.engine, selection, choose_arrivals(home.engine, selection))


def sent_again(home: House, **asked: Any) -> Done:
    selection = selection_of(home.engine, **asked)
    return resend(home.engine, selection, choose_dispatches(home.engine, selection))


def looked(home: House, **asked: Any) -> Preview:
    selection = selection_of(home.engine, **asked)
    return preview_reprocess(home.engine, choose_arrivals(home.engine, selection))


def chosen(home: House, **asked: Any) -> list[str]:
    selection = selection_of(home.engine, **asked)
    return sorted({one.source_key for one in choose_arrivals(home.engine, selection)})


def edit(home: House, *changes: tuple[str, str]) -> None:
    """The engineer edits the mapping, and it is in force."""
    path = home.engine.landscape.folder / MAPPING
    for old, new in changes:
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))
    assert renew(home.engine)


def refuse_invoices(home: House) -> None:
    home.lines["netsuite"].plant("", "transform/invoice", "POST", times=1, status=400, body=REFUSED)


def doubled(home: House) -> list[str]:
    """References that a target has more than once."""
    found = Counter(
        f"{kind} {row['externalId']}"
        for kind in ("salesOrder", "invoice", "creditMemo", "customer")
        for row in home.table("netsuite", kind)
    )
    return [name for name, times in found.items() if times > 1]


def buckets(home: House) -> dict[str, int]:
    """How many arrivals stand in each bucket: by the totals, and by the arrivals themselves."""
    counted = dict(
        home.rows(
            "SELECT bucket, sum(count)::int FROM totals WHERE hop = 'resolved' GROUP BY 1 "
            "HAVING sum(count) <> 0"
        )
    )
    there = dict(home.rows("SELECT state, count(*)::int FROM arrivals GROUP BY 1"))
    assert counted == there
    return counted


def test_what_has_not_changed_is_not_written_again(home: House) -> None:
    deal = order(home, "10")
    home.run()
    before = home.rows("SELECT record_key, max(version) FROM records GROUP BY 1 ORDER BY 1")
    calls = len(home.rows("SELECT FROM dispatches"))
    done = again(home, ids=[deal])
    assert (done.put_back, done.refused, done.runs) == (1, 0, 1)
    home.run()
    assert home.run_states() == ["complete"]
    assert home.rows("SELECT record_key, max(version) FROM records GROUP BY 1 ORDER BY 1") == before
    assert len(home.rows("SELECT FROM dispatches")) == calls
    assert doubled(home) == []
    buckets(home)
    assert home.one("SELECT count(*) FROM actions WHERE verb = 'reprocess'") == 1


def test_a_corrected_mapping_changes_what_it_made(database_url: str, tmp_path: Path) -> None:
    loaded = changed_landscape(tmp_path, {})
    with house(database_url, loaded) as home:
        deal = order(home, "10")
        home.run()
        edit(home, ("number: Order_Number__c", "number: \"Order_Number__c || '1'\""))
        before = everything(home)
        name = "opportunity_to_sales_order@1"
        seen = looked(home, mapping=name)
        assert everything(home) == before, "a dry run changes nothing"
        assert (seen.chosen, seen.versions, seen.unchanged) == (1, 1, 0)
        moves = {f"{one.system}.{one.stream}": one.move for one in seen.documents}
        assert moves["netsuite.salesOrder"] == "reverse and create"
        assert moves["anaplan.bookings"] == "nothing"
        assert moves["netsuite.customer"] == "nothing"
        assert chosen(home, mapping="opportunity_to_sales_order@2") == []
        again(home, mapping=name)
        home.run()
        key = home.one("SELECT record_key FROM record_heads WHERE record_type = 'sales_order'")
        assert home.one("SELECT max(version) FROM records WHERE record_key = %s", key) == 2
        assert doubled(home) == []
        assert net_invoiced(home) == 20
        assert [one for one, _ in totals(home, "invoice")] == [
            f"invoice-{deal}",
            f"invoice-{deal}-R2",
        ]


def test_a_dry_run_tells_the_money_and_the_fields_that_would_differ(
    database_url: str, tmp_path: Path
) -> None:
    loaded = changed_landscape(tmp_path, {})
    with house(database_url, loaded) as home:
        deal = order(home, "10")
        home.run()
        assert looked(home, ids=[deal]).money == []
        edit(
            home,
            ("round_to(Amount, 2)", "round_to(Amount * 2, 2)"),
            ("round_to(TotalPrice, 2)", "round_to(TotalPrice * 2, 2)"),
            ("round_to(UnitPrice, 4)", "round_to(UnitPrice * 2, 4)"),
        )
        seen = looked(home, ids=[deal])
        money = {row["target"]: row for row in seen.money}
        assert money["netsuite.invoice"]["before"] == 20
        assert money["netsuite.invoice"]["after"] == 40
        assert money["anaplan.bookings"]["difference"] == 20
        assert {row["legal_entity"] for row in seen.money} == {"NWEU"}
        assert {row["currency"] for row in seen.money} == {"EUR"}
        plan = next(one for one in seen.documents if one.stream == "bookings")
        assert plan.move == "change"
        assert ("rows.1.value", "20.00", "40.00") in [
            (one.field, one.before, one.after) for one in plan.fields
        ]


def test_an_older_arrival_never_sets_the_record_back(home: House) -> None:
    deal = order(home, "10")
    home.run()
    home.seller.reprice(deal, "12")
    home.go_on(11)
    home.run()
    ids = [row[0] for row in home.rows("SELECT arrival_id FROM arrivals WHERE source_key = %s "
                                       "ORDER BY 1", deal)]  # fmt: skip
    assert len(ids) > 1
    before = home.rows("SELECT record_key, max(version) FROM records GROUP BY 1 ORDER BY 1")
    done = again(home, ids=[f"arrival:{ids[0]}"])
    assert (done.put_back, done.refused) == (0, 1)
    assert f"arrival:{ids[-1]}" in done.refusals[0].why
    home.run()
    assert home.rows("SELECT record_key, max(version) FROM records GROUP BY 1 ORDER BY 1") == before


def test_a_refused_document_leaves_again_with_the_same_bytes_and_key(home: House) -> None:
    deal = order(home, "10")
    refuse_invoices(home)
    home.run()
    assert home.run_states() == ["held"]
    first = home.rows("SELECT write_key, body FROM dispatches WHERE state = 'rejected'")
    assert len(first) == 1
    selection = selection_of(home.engine, outcome="rejected")
    seen = preview_resend(home.engine, choose_dispatches(home.engine, selection))
    assert [(one.stream, one.move) for one in seen.documents] == [("invoice", "create")]
    assert [row["documents"] for row in seen.money] == [1]
    done = sent_again(home, outcome="rejected")
    assert (done.put_back, done.refused) == (1, 0)
    assert sent_again(home, outcome="rejected").put_back == 0, "it is under way already"
    home.run()
    assert home.run_states() == ["complete"]
    assert home.open_cases() == []
    rows = home.rows("SELECT write_key, body FROM dispatches WHERE stream = 'invoice'")
    assert set(rows) == set(first)
    assert [name for name, _ in totals(home, "invoice")] == [f"invoice-{deal}"]
    assert sent_again(home, ids=[deal], outcome="proved").nothing >= 1
    assert doubled(home) == []


def test_bytes_of_an_older_version_are_not_sent_again(home: House) -> None:
    deal = order(home, "10")
    refuse_invoices(home)
    home.run()
    old = home.one("SELECT dispatch_id FROM dispatches WHERE state = 'rejected'")
    home.seller.reprice(deal, "12")
    home.go_on(11)
    home.run()
    done = sent_again(home, ids=[f"dispatch:{old}"])
    assert done.put_back == 0
    assert done.refused + done.nothing + done.in_line == 1
    assert done.refusals[0].why


def test_a_closed_period_stays_closed_for_a_resend_and_a_reprocess(home: House) -> None:
    order(home, "10")
    refuse_invoices(home)
    home.run()
    close(home, "2020-07", closed=True)
    home.go_on(11)
    done = sent_again(home, outcome="rejected")
    assert done.put_back == 0
    assert "closed" in done.refusals[0].why
    sent = home.lines["netsuite"].sent("POST", "transform/invoice")
    seen = looked(home, outcome="rejected")
    assert [one.move for one in seen.documents if one.stream == "invoice"] == ["held"]
    again(home, outcome="rejected")
    home.run()
    assert home.run_states() == ["held"]
    assert home.lines["netsuite"].sent("POST", "transform/invoice") == sent
    close(home, "2020-07", closed=False)
    home.go_on(11)
    again(home, outcome="rejected")
    home.run()
    assert home.run_states() == ["complete"]
    assert len(totals(home, "invoice")) == 1


def test_only_what_is_missing_is_chosen(home: House) -> None:
    customer, product = home.seller.account(), home.seller.product()
    whole = home.seller.deal("1", customer, product)
    home.run()
    refuse_invoices(home)
    missing = home.seller.deal("2", customer, product)
    home.go_on(11)
    home.run()
    assert chosen(home, only_missing=True) == [missing]
    assert chosen(home, flow="quote_to_cash") == sorted([whole, missing])
    assert chosen(home, flow="quote_to_cash", outcome="rejected") == [missing]
    assert chosen(home, period="2020-07") == sorted([whole, missing])
    assert chosen(home, period="2020-08") == []
    assert chosen(home, flow="quote_to_cash", ids=[whole], outcome="rejected") == []
    again(home, only_missing=True)
    home.run()
    assert chosen(home, only_missing=True) == []
    assert doubled(home) == []


def test_what_nobody_knows_is_said(home: House) -> None:
    for asked, word in (
        ({"ids": ["nonsense"]}, "nobody here knows 'nonsense'"),
        ({"flow": "nonsense"}, "no flow 'nonsense'"),
        ({"outcome": "nonsense"}, "no outcome"),
        ({"mapping": "x@y"}, "no mapping version"),
    ):
        with pytest.raises(NothingChosen, match=word):
            again(home, **asked)


def test_two_replays_at_the_same_moment_are_one(home: House) -> None:
    deal = order(home, "10")
    refuse_invoices(home)
    home.run()
    done: list[Done] = []
    doing = [lambda: again(home, ids=[deal]), lambda: sent_again(home, outcome="rejected")] * 3
    threads = [threading.Thread(target=lambda do=do: done.append(do())) for do in doing]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert len(done) == len(doing)
    home.run()
    assert home.run_states() == ["complete"]
    assert doubled(home) == []
    assert len(totals(home, "invoice")) == 1
    buckets(home)


_ACTS = st.lists(
    st.sampled_from(
        ["all", "flow", "held", "rejected", "resend", "reprice", "tick", "time", "lose", "refuse"]
    ),
    min_size=3,
    max_size=9,
)


@settings(
    max_examples=6,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(acts=_ACTS)
def test_any_replay_at_any_moment_never_makes_a_second_document(
    home: House, acts: list[str]
) -> None:
    number = home.one("SELECT count(*) FROM arrivals")
    deal = home.seller.deal(f"N{number}", home.seller.account(f"C{number}"), home.seller.product())
    line = home.lines["netsuite"]
    for nth, act in enumerate(acts):
        match act:
            case "all":
                again(home)
            case "flow":
                again(home, flow="quote_to_cash")
            case "held" | "rejected":
                again(home, outcome=act)
            case "resend":
                sent_again(home)
            case "reprice":
                home.seller.reprice(deal, str(20 + nth))
            case "tick":
                home.renew(home.engine)
                tick(home.engine, poll_at_once=True)
            case "time":
                home.go_on(3)
            case "lose":
                line.plant("lost_reply", "invoice", "POST", times=1)
            case "refuse":
                refuse_invoices(home)
        assert doubled(home) == []
    line.plants.clear()
    home.run()
    again(home)
    home.run()
    assert doubled(home) == []
    buckets(home)
    inverted = home.one(
        "SELECT count(*) FROM dispatches d JOIN dispatches e USING (document_id) "
        "WHERE e.dispatch_id > d.dispatch_id AND e.record_version < d.record_version"
    )
    assert inverted == 0
