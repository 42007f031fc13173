"""sync, show, cases, replay, reconcile, doctor: on a landscape that has really sold something."""

from __future__ import annotations

import simplejson

from tests.processes.shop import DEALS, Shop
from tieout.cli.telling import FORBIDDEN, NO

RECONCILIATION = "bookings_to_orders_to_plan"


def good_deal(shop: Shop) -> str:
    """A deal that met no trouble: its order number."""
    met = shop.troubles
    bad = {met.unknown_currency, met.wrong_total, met.closed_period, *met.late_deals}
    return next(number for number in shop.deals if number not in bad)


def test_sync_again_finds_nothing_new(shop: Shop) -> None:
    before = shop.ask("SELECT count(*) FROM dispatches")
    done = shop("sync", "--as", "omar", "--json")
    assert done.code == 0, done.err
    assert done.json["at_rest"] is True
    assert done.json["proofs"] == before[0][0] > DEALS
    assert shop.ask("SELECT count(*) FROM dispatches") == before


def test_sync_is_for_those_who_operate(shop: Shop) -> None:
    done = shop.inside("sync", "--as", "yuki")
    assert done.code == FORBIDDEN
    assert "Ask: " in done.err
    assert "omar" in done.err
    assert shop.inside("sync", "--as", "nobody-of-that-name").code == FORBIDDEN


def test_show_finds_one_record_by_any_id(shop: Shop) -> None:
    number = good_deal(shop)
    key = str(
        shop.ask(f"SELECT record_key FROM xrefs WHERE external_id = '{shop.deals[number]}'")[0][0]
    )
    documents = shop.ask(
        "SELECT target_id, number, reference FROM documents "
        f"WHERE record_key = '{key}' AND system = 'netsuite' ORDER BY stream"
    )
    assert len(documents) == 2, "an order and an invoice"
    ids = [shop.deals[number], key, number]
    for target_id, erp_number, reference in documents:
        ids += [str(target_id), str(erp_number), str(reference)]
    assert any(one.startswith("SO") for one in ids)
    for any_id in ids:
        done = shop.inside("show", any_id, "--as", "omar", "--json")
        assert done.code == 0, f"{any_id}: {done.err}"
        assert key in [life["record_key"] for life in done.json["lives"]], any_id
    told = shop("show", number, "--as", "omar")
    assert told.code == 0
    for word in ("arrival:", "record version 1", "dispatch:", "proof agrees", number):
        assert word in told.out


def test_show_of_a_case_tells_the_record_it_stopped(shop: Shop) -> None:
    case_id = shop.ask("SELECT case_id FROM cases WHERE state = 'open' ORDER BY 1")[0][0]
    done = shop.inside("show", f"case:{case_id}", "--as", "omar", "--json")
    assert done.code == 0, done.err
    assert case_id in [case["case_id"] for life in done.json["lives"] for case in life["cases"]]


def test_show_of_an_unknown_id_is_no(shop: Shop) -> None:
    done = shop("show", "SO-never-seen", "--as", "omar")
    assert done.code == NO
    assert "SO-never-seen" in done.err
    assert shop.inside("show", "SO-never-seen", "--as", "omar", "--json").json["lives"] == []


def test_cases_say_what_where_and_what_to_do(shop: Shop) -> None:
    done = shop.inside("cases", "--as", "omar", "--json")
    assert done.code == 0, done.err
    found = done.json["cases"]
    assert {one["reason"] for one in found} >= {"mapping", "control", "period_closed"}
    for one in found:
        assert one["words"]
        assert one["next_action"]
        assert one["owner"]
        assert one["state"] == "open"
    mapping = next(one for one in found if one["reason"] == "mapping")
    assert (mapping["field"], mapping["value"]) == ("currency", "UKP")
    assert mapping["place"].startswith("mappings/opportunity_to_sales_order.yaml:")
    told = shop.inside("cases", "--as", "omar").out
    assert mapping["next_action"][:40] in told
    assert f"{len(found)} open case(s)." in told


def test_replay_dry_run_changes_nothing(shop: Shop) -> None:
    open_cases = "SELECT case_id, state, times FROM cases ORDER BY 1"
    before = shop.ask(open_cases)
    done = shop("replay", "--dry-run", "--as", "omar", "--json")
    assert done.code == 0, done.err
    assert done.json["dry_run"] is True
    assert done.json["replayed"] == [case_id for case_id, state, _ in before if state == "open"]
    assert shop.ask(open_cases) == before
    assert shop.ask("SELECT count(*) FROM arrivals WHERE state = 'new'") == [(0,)]


def test_replay_of_nothing_is_no(shop: Shop) -> None:
    done = shop.inside("replay", "SO-never-seen", "--as", "omar")
    assert done.code == NO
    assert "SO-never-seen" in done.err
    assert "tieout cases" in done.err


def test_replay_without_the_role_names_who_may(shop: Shop) -> None:
    done = shop.inside("replay", "--as", "ada")
    assert done.code == FORBIDDEN
    assert "omar" in done.err
    assert "elena" in done.err


def test_replay_of_what_is_not_mended_leaves_the_case_open(shop: Shop) -> None:
    done = shop("replay", "--reason", "control", "--as", "omar", "--json")
    assert done.code == NO, done.out
    assert set(done.json["replayed"]) <= set(done.json["open"])
    assert done.json["closed"] == []


def test_reconcile_explains_every_cent(shop: Shop) -> None:
    done = shop("reconcile", RECONCILIATION, "--as", "elena", "--json")
    assert done.code == 0, done.err
    tie_outs = done.json["tie_outs"]
    assert len(tie_outs) == 3
    for one in tie_outs:
        assert set(one) >= {"name", "sides", "agrees", "difference", "explained"}
        assert isinstance(one["difference"], str)
        assert one["agrees"] or one["explained"]
    told = shop("reconcile", "--as", "elena").out
    assert "explained by open cases" in told
    assert "case:" in told


def test_a_cent_that_no_case_explains_is_no(shop: Shop) -> None:
    """Somebody changes a total in the CRM, where nobody can have seen it yet."""
    number = good_deal(shop)
    asked = f"SELECT Amount FROM Opportunity WHERE Id = '{shop.deals[number]}'"
    amount = shop.crm.query(asked)[0]["Amount"]
    shop.crm.behind("Opportunity", shop.deals[number], {"Amount": exactly(amount, "0.01")})
    try:
        done = shop("reconcile", "--as", "elena", "--json")
        assert done.code == NO
        assert not all(one["agrees"] or one["explained"] for one in done.json["tie_outs"])
    finally:
        shop.crm.behind("Opportunity", shop.deals[number], {"Amount": amount})


def exactly(amount: object, more: str) -> object:
    return simplejson.loads(str(amount), use_decimal=True) + simplejson.loads(
        more, use_decimal=True
    )


def test_an_unknown_reconciliation_lists_the_known(shop: Shop) -> None:
    done = shop.inside("reconcile", "balances", "--as", "elena")
    assert done.code == 2
    assert RECONCILIATION in done.err


def test_the_doctor_finds_everybody_well(shop: Shop) -> None:
    done = shop("doctor", "--json")
    assert done.code == 0, done.out
    seen = {one["what"]: one["well"] for one in done.json}
    assert set(seen) >= {
        "landscape",
        "disk",
        "database",
        "salesforce",
        "netsuite",
        "anaplan",
        "web",
    }
    assert all(seen.values())


def test_nothing_is_said_on_stderr_when_all_is_well(shop: Shop) -> None:
    for verb in (["show", good_deal(shop)], ["cases"], ["replay", "--dry-run"], ["reconcile"]):
        done = shop(*verb, "--as", "elena")
        assert (done.code, done.err) == (0, "")
