"""Resolve: out-of-order, deleted, poisoned and unclear rows; totals and audit that add up."""

from __future__ import annotations

import itertools
import json

import pytest

from tests.engine.house import House
from tieout.engine import resolve
from tieout.engine.replay import replay
from tieout.finance.digest import merkle_root
from tieout.store import arrivals
from tieout.store.arrivals import Incoming


def account(
    version: str, name: str = "A", region: str = "Central Europe", **more: bool
) -> Incoming:
    body = {
        "Id": "001",
        "Name": name,
        "AccountNumber": "A1",
        "Region__c": region,
        "CurrencyIsoCode": "EUR",
        "BillingCountry": "NL",
        "BillingCity": "Goes",
    }
    return Incoming.storable("001", version, json.dumps(body), more.get("deleted", False))


def deal(version: str, stage: str, currency: str = "EUR", amount: str = "20") -> Incoming:
    line = {
        "Id": "l",
        "Product2Id": "01t",
        "Quantity": 2,
        "UnitPrice": 10,
        "Discount": 0,
        "TotalPrice": 20,
        "SortOrder": 1,
    }
    body = {
        "Id": "006",
        "Name": "O",
        "AccountId": "001",
        "StageName": stage,
        "Amount": amount,
        "CloseDate": "2020-07-15",
        "CurrencyIsoCode": currency,
        "Region__c": "Central Europe",
        "Order_Number__c": "1",
        "OpportunityLineItems": {"records": [line]},
    }
    return Incoming.storable("006", version, json.dumps(body))


def arrive(home: House, *rows: Incoming, stream: str = "Account", together: bool = True) -> None:
    """Rows arrive, in one batch or each in its own, and are resolved."""
    for batch in [rows] if together else [(row,) for row in rows]:
        with home.connection() as connection:
            arrivals.store_page(
                connection, "salesforce", stream, batch, received_by="poll", read_now=True
            )
            connection.execute(
                "INSERT INTO totals VALUES (%s, 'received', 'received', '', '', '', %s, 0) "
                "ON CONFLICT (flow, hop, bucket, legal_entity, period, currency) "
                "DO UPDATE SET count = totals.count + excluded.count",
                (f"salesforce.{stream}", len(batch)),
            )
        resolve.resolve(home.engine)


def truth(home: House) -> list[tuple[object, ...]]:
    """(name, in scope) of the newest version of every record."""
    rows = home.rows(
        "SELECT body, h.in_scope FROM record_heads h JOIN records USING (record_type, record_key, "
        "version) ORDER BY record_key"
    )
    return [(json.loads(body)["name"], in_scope) for body, in_scope in rows]


VERSIONS = (
    [account("v1", "one"), account("v2", "two"), account("v3", "three")],
    [account("v1", "one"), account("v2", "two", "Antarctica"), account("v3", "three")],
)


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("rows", VERSIONS)
def test_any_order_comes_to_the_newest_version(
    home: House, rows: list[Incoming], together: bool
) -> None:
    for number, order in enumerate(itertools.permutations(rows)):
        named = [
            Incoming(f"{number}", one.source_version, one.payload, one.deleted) for one in order
        ]
        arrive(home, *named, together=together)
    assert truth(home) == [("three", True)] * 6
    assert home.open_cases() == []


def test_an_older_version_does_not_close_the_case_of_a_newer_one(home: House) -> None:
    arrive(home, account("v2", "two", "Antarctica"), account("v1", "one"), together=False)
    assert len(home.open_cases()) == 1
    assert truth(home) == []
    assert home.rows("SELECT source_version, state FROM arrivals ORDER BY 1") == [
        ("v1", "superseded"),
        ("v2", "held"),
    ]


def test_an_older_version_does_not_win_what_a_newer_one_left(home: House) -> None:
    arrive(
        home,
        deal("v3", "Prospecting"),
        deal("v2", "Closed Won"),
        stream="Opportunity",
        together=False,
    )
    assert home.one("SELECT count(*) FROM records") == 0
    assert home.run_states() == []


def test_a_deletion_is_not_undone_by_a_version_from_before(home: House) -> None:
    arrive(
        home,
        account("v1", "one"),
        account("v3", deleted=True),
        account("v2", "two"),
        together=False,
    )
    assert truth(home) == [("one", False)]


def test_seen_gone_then_back_then_stale(home: House) -> None:
    gone = Incoming("001", "gone:2026", "{}", deleted=True)
    arrive(home, account("v2", "two"), gone, together=False)
    assert truth(home) == [("two", False)]
    arrive(home, account("v1", "one"))
    assert truth(home) == [("two", False)], "an old copy does not bring it back"
    arrive(home, account("v2", "two"))
    assert truth(home) == [("two", True)], "the row itself does"


def test_content_makes_versions_not_readings(home: House) -> None:
    arrive(home, account("v1", "one"), account("v2", "one"), account("v3", "two"), together=False)
    assert home.rows("SELECT version, source_version FROM records ORDER BY 1") == [
        (1, "v1"),
        (2, "v3"),
    ]
    assert home.one("SELECT state FROM arrivals WHERE source_version = 'v2'") == "unchanged"


def test_a_held_row_that_goes_away_closes_its_case(home: House) -> None:
    arrive(home, account("v1", "one", "Antarctica"))
    assert len(home.open_cases()) == 1
    arrive(home, account("v2", deleted=True))
    assert home.open_cases() == []


def test_a_held_deal_that_is_lost_closes_its_case(home: House) -> None:
    arrive(home, deal("v1", "Closed Won", "XXX"), stream="Opportunity")
    assert len(home.open_cases()) == 1
    arrive(home, deal("v2", "Closed Lost", "XXX"), stream="Opportunity")
    assert home.open_cases() == []
    assert home.rows("SELECT source_version, state FROM arrivals ORDER BY 1") == [
        ("v1", "superseded"),
        ("v2", "out_of_scope"),
    ]


POISON = (
    '{"Id": "p", "Name": "a\x00b"}',
    '{"Id": "p", "Name": "a\\u0000b", "AccountNumber": "P", "Region__c": "Nordics", '
    '"CurrencyIsoCode": "EUR"}',
    '{"Id": "p", "Name": "a\\ud800b", "AccountNumber": "P", "Region__c": "Nordics", '
    '"CurrencyIsoCode": "EUR"}',
    "no json at all",
    "[1, 2]",
    "",
    '{"Id": "p", "Name": {"deep": 1}}',
    '{"Id": "p", "Name": NaN}',
)


@pytest.mark.parametrize("payload", POISON)
def test_a_poisoned_row_is_a_case_and_the_rest_of_the_batch_goes_on(
    home: House, payload: str
) -> None:
    arrive(home, account("v1", "one"), Incoming.storable("p", "v1", payload))
    assert truth(home) == [("one", True)]
    assert home.one("SELECT state FROM arrivals WHERE source_key = 'p'") == "held"
    words = home.rows("SELECT words, next_action, owner FROM cases WHERE source_key = 'p'")
    assert words
    assert all(all(one) for one in words)


def test_a_backslash_is_not_taken_for_a_nul(home: House) -> None:
    arrive(home, account("v1", "C:\\u0000"))
    assert truth(home) == [("C:\\u0000", True)]


def inbound(home: House) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for flow, bucket, count in home.rows(
        "SELECT flow, bucket, sum(count)::int FROM totals WHERE hop IN ('received', 'resolved') "
        "AND bucket <> 'duplicate' GROUP BY 1, 2"
    ):
        found.setdefault(flow, {})[bucket] = count
    return found


def test_every_arrival_is_in_one_bucket_also_after_a_replay(home: House) -> None:
    arrive(
        home,
        account("v1", "one"),
        account("v2", "two", "Antarctica"),
        account("v3", "three", "Antarctica"),
        together=False,
    )
    arrive(
        home,
        deal("v1", "Prospecting"),
        deal("v2", "Closed Won", amount="21"),
        stream="Opportunity",
        together=False,
    )
    replay(home.engine, reason="control")
    resolve.resolve(home.engine)
    arrive(home, account("v4", "four"))
    by_state = home.rows(
        "SELECT 'salesforce.' || stream, state, count(*)::int FROM arrivals GROUP BY 1, 2"
    )
    for flow, buckets in inbound(home).items():
        received = buckets.pop("received")
        assert sum(buckets.values()) == received
        counted = {bucket: count for bucket, count in buckets.items() if count}
        assert counted == {state: count for name, state, count in by_state if name == flow}


def test_every_version_has_a_leaf_and_every_root_is_the_root_of_its_leaves(home: House) -> None:
    arrive(home, account("v1", "one"), account("v2", "two"), together=False)
    subjects = {row[0] for row in home.rows("SELECT subject FROM audit_leaves")}
    for kind, key, version in home.rows("SELECT record_type, record_key, version FROM records"):
        assert f"record/{kind}/{key}/{version}" in subjects
    for batch, leaves, root in home.rows("SELECT batch_id, leaves, root FROM audit_batches"):
        hashes = [
            bytes(row[0])
            for row in home.rows(
                "SELECT leaf_hash FROM audit_leaves WHERE batch_id = %s ORDER BY leaf_no", batch
            )
        ]
        assert len(hashes) == leaves
        assert merkle_root(hashes) == bytes(root)
