"""Lanes in motion: two flows write into one stream, and share what may leave."""

from __future__ import annotations

from dataclasses import replace

from tests.engine.house import House
from tieout.engine import pacing
from tieout.store import backlog


def test_what_leaves_is_shared_by_lane(home: House) -> None:
    """The demo's deals all go in one lane; here half of the waiting invoices become bulk."""
    account, product = home.seller.account(), home.seller.product()
    for number in range(16):
        home.seller.deal(str(number), account, product)
    home.run()
    stream = ("netsuite", "invoice")
    with home.connection() as connection:
        alone = pacing.lane_shares(home.engine, connection, *stream, 8)
    assert alone == {"": 8}, "one lane: no choice to make, no question to ask"
    flows = dict(home.landscape.flows)
    flow = next(
        flow
        for flow in flows.values()
        if any(s.mapping and home.compiled.target_of(s) == stream for s in flow.steps)
    )
    flows["again"] = replace(flow, name="again", lane="bulk")
    home.engine.landscape = replace(home.landscape, flows=flows)
    with home.connection() as connection:
        connection.execute(
            "UPDATE dispatch_states SET state = 'planned', due_at = %s, "
            "lane = CASE WHEN dispatch_id %% 2 = 0 THEN 'bulk' ELSE lane END "
            "WHERE stream = 'invoice'",
            (home.clock.at,),
        )
        partitions = home.engine.partitions()
        waiting = backlog.due_by_lane(connection, *stream, partitions, 99)
        assert sum(waiting.values()) == 16
        assert 4 <= waiting["bulk"] <= 12
        shared = pacing.lane_shares(home.engine, connection, *stream, 4)
        assert shared == {flow.lane: 3, "bulk": 1}
        rest = pacing.lane_shares(home.engine, connection, *stream, 99)
        assert sum(rest.values()) == 16, "an empty lane gives its share away"
