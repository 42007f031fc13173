"""What nobody owns is found; what somebody owns is not; looks are cheap by their bounds."""

from __future__ import annotations

from tests.engine.house import House
from tieout import clock
from tieout.engine.telemetry import TALLY
from tieout.store import measures


def test_every_attempt_is_counted_by_what_it_came_to(home: House) -> None:
    """The counters are those of the evidence: sends, questions after jobs, and looks; what a look
    that agreed has to say stands in its proof."""
    TALLY.take()
    account, product = home.seller.account(), home.seller.product()
    home.seller.deal("1", account, product)
    home.lines["netsuite"].plant("", "transform/invoice", "POST", status=429)
    home.run()
    _, counted = TALLY.take()
    told = home.rows(
        "SELECT d.system, d.flow, a.kind, a.outcome, count(*) FROM attempts a "
        "JOIN dispatches d USING (dispatch_id) GROUP BY 1, 2, 3, 4 UNION ALL "
        "SELECT d.system, d.flow, 'look', p.verdict, count(*) FROM proofs p "
        "JOIN dispatches d USING (dispatch_id) WHERE p.verdict = 'agrees' GROUP BY 1, 2, 4"
    )
    assert counted == {tuple(row[:4]): row[4] for row in told}
    assert {kind for _, _, kind, _ in counted} == {"send", "follow", "look"}
    assert ("netsuite", "quote_to_cash", "send", "Busy") in counted


def unowned(home: House) -> list[str]:
    with home.connection() as connection:
        return [one.kind for one in measures.unowned(connection, clock.now())]


def test_at_rest_everything_is_at_its_end_or_somebodys_case(home: House) -> None:
    """P7: deals that go through, one that a control stops, one with an unknown currency."""
    account, product = home.seller.account(), home.seller.product()
    home.seller.deal("1", account, product)
    home.seller.deal("2", account, product, CurrencyIsoCode="XXX")
    home.run()
    assert home.open_cases()
    assert unowned(home) == []


def test_what_nobody_works_on_is_found(home: House) -> None:
    account, product = home.seller.account(), home.seller.product()
    home.seller.deal("1", account, product, CurrencyIsoCode="XXX")
    home.run()
    with home.connection() as connection:  # planted: its case goes without anything being mended
        connection.execute("UPDATE cases SET state = 'closed' WHERE state = 'open'")
    assert unowned(home), "a held arrival without a case"


def test_a_flow_that_is_done_has_nothing_under_way(home: House) -> None:
    account, product = home.seller.account(), home.seller.product()
    home.seller.deal("1", account, product)
    home.run()
    with home.connection() as connection:
        fresh = measures.fresh(connection, "quote_to_cash")
        assert (fresh.moving, fresh.held, fresh.oldest) == (0, 0, None)
        assert measures.waiting(connection) == []
        received = sum(one.count for one in measures.moved(connection) if one.hop == "received")
        assert received > 0
