"""How the story ends: two rows that never become records, and the tie-out that finds one gap."""

from __future__ import annotations

import json
from decimal import Decimal

from tests.web.story_facts import (
    ENTITIES,
    HELD,
    SetClock,
    amount_of,
    arrive,
    key_of,
    opportunity,
)
from tieout import clock
from tieout.store import arrivals, cases
from tieout.store.arrivals import Settled
from tieout.store.cases import NewCase
from tieout.store.database import Connection

UNKNOWN_CURRENCY, NOT_ADDING_UP = 40, 41


def stop_two(connection: Connection, world: SetClock) -> None:
    """Two rows that never became records: an unknown currency, a total that does not add up."""
    for number, reason, control, field, value, words, place in (
        (
            UNKNOWN_CURRENCY,
            "crosswalk",
            "crosswalk currency",
            "currency",
            "UKP",
            "the code 'UKP' is not in the crosswalk 'currency' on 2020-07-09",
            "mappings/opportunity_to_sales_order.yaml:12",
        ),
        (
            NOT_ADDING_UP,
            "control",
            "lines_add_up",
            "total",
            "1863.40",
            "Revenue is scheduled by line, so the lines must add up to the total.",
            "records/records.yaml:44",
        ),
    ):
        world.sleep(1)
        arrival_id = arrive(connection, number, "v1", '{"x":1}', "poll")
        cases.open_cases(
            connection,
            [
                NewCase(
                    reason,
                    control,
                    words,
                    "Correct it in Salesforce; it is read again by itself.",
                    "revenue-operations",
                    field,
                    value,
                    place,
                    "salesforce",
                    "Opportunity",
                    opportunity(number),
                    arrival_id,
                    "sales_order",
                    key_of(number),
                    None,
                    None,
                    Decimal("1863.40") if reason == "control" else None,
                    "GBP" * (reason == "control"),
                    "NWUK" * (reason == "control"),
                )
            ],
        )
        arrivals.settle(connection, [Settled(arrival_id, "held")])


def tie_out(connection: Connection) -> None:
    """As the engine stores it: two sides, and the held order as the only difference."""
    totals: dict[tuple[str, str], list[Decimal]] = {}
    for number in range(1, 31):
        totals.setdefault(ENTITIES[number % 4], []).append(amount_of(number))
    missing = amount_of(HELD)
    groups = []
    sums: dict[str, dict[str, str]] = {"salesforce": {}, "netsuite_orders": {}}
    for (entity, currency), amounts in sorted(totals.items()):
        is_short = (entity, currency) == ENTITIES[HELD % 4]
        less = missing if is_short else Decimal(0)
        sums["salesforce"][currency] = str(sum(amounts))
        sums["netsuite_orders"][currency] = str(sum(amounts) - less)
        groups.append(
            {
                "legal_entity": entity,
                "period": "2020-07",
                "currency": currency,
                "counts": {"salesforce": len(amounts), "netsuite_orders": len(amounts) - is_short},
                "sums": {side: of_side[currency] for side, of_side in sums.items()},
                "difference": str(less),
            }
        )
    sides = [
        {
            "name": side,
            "count": 30 - (side != "salesforce"),
            "read_at": clock.now().isoformat(),
            "sum_by_currency": sums[side],
        }
        for side in ("salesforce", "netsuite_orders")
    ]
    result = {
        "sides": sides,
        "groups": groups,
        "by": ["legal_entity", "period", "currency"],
        "tolerance": {"each": "0.00", "total": "0.00"},
        "unexplained": 0,
    }
    row = connection.execute(
        "INSERT INTO tie_outs (name, made_at, made_by, agrees, explained, difference, result, "
        "landscape_hash) VALUES ('bookings_to_orders_to_plan', %s, 'elena', false, true, %s, %s, "
        "%s) RETURNING tie_out_id",
        (clock.now(), missing, json.dumps(result), "ab" * 32),
    ).fetchone()
    assert row is not None
    entity, currency = ENTITIES[HELD % 4]
    connection.execute(
        "INSERT INTO breaks SELECT %s, 'salesforce', 'netsuite_orders', %s, 'missing_right', %s, "
        "'2020-07', %s, %s, NULL, %s, case_id FROM cases WHERE source_key = %s",
        (row[0], opportunity(HELD), entity, currency, missing, missing, opportunity(HELD)),
    )
