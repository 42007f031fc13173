"""How fast a mapping runs: `python -m benchmarks.mapping [--json] [--records N] [--batch N]`.

One mapping (fields, a crosswalk, cross-references, three nested lines with rounding, a condition)
over generated orders, in batches, beside a plain Python loop that does the same to the same rows in
the same run. The two are checked to give the same documents before anything is timed. `ratio` is
our records per second divided by the loop's. Then two controls over the records that were mapped,
one of which adds up the lines. The figures that end in `processor_milliseconds` are processor time
of the thread that works, which other work on the machine disturbs less than the clock's time.
"""

from __future__ import annotations

import argparse
import datetime as dt
import functools
import hashlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from decimal import ROUND_HALF_UP, Decimal

from tieout import clock
from tieout.rules.compile import compile_mapping
from tieout.rules.control import CompiledControls, compile_controls
from tieout.rules.mapping import CompiledMapping, Row
from tieout.rules.place import Place
from tieout.rules.runner import Runner
from tieout.rules.spec import (
    ControlSpec,
    Crosswalk,
    CrosswalkRow,
    Each,
    FieldType,
    Leaf,
    MappingSpec,
    RecordTypeSpec,
)

PLACE = Place("benchmarks/mapping.py", 1)
REGIONS = {f"R{number}": f"NW{number % 5}" for number in range(40)}
LINES = 3
CENT = Decimal("0.01")
ALONE = 50  # batches of one record that are timed; the figure is their median
FACTS = ("legal_entity", "currency", "total", "closed_on")
LINE = (FieldType("Product", "text"), FieldType("Quantity", "number"), FieldType("Total", "number"))
SOURCE = (
    FieldType("Id", "text"),
    FieldType("Account", "text"),
    FieldType("Region", "text"),
    FieldType("CloseDate", "date"),
    FieldType("Currency", "text"),
    FieldType("Stage", "text"),
    FieldType("Amount", "number"),
    FieldType("Lines", "object", fields=(FieldType("records", "list", fields=LINE),)),
)
TARGET = (
    FieldType("legal_entity", "text"),
    FieldType("customer", "ref", to="customer"),
    FieldType("currency", "text"),
    FieldType("closed_on", "date"),
    FieldType("total", "amount", money_in="currency"),
    FieldType(
        "lines",
        "list",
        fields=(
            FieldType("product", "ref", to="product"),
            FieldType("quantity", "quantity"),
            FieldType("amount", "amount", money_in="parent.currency"),
        ),
    ),
)


def orders(count: int) -> list[Row]:
    """Generated orders with float noise, the same ones every time."""
    rows = []
    first = dt.date(2020, 7, 1)
    for number in range(count):
        totals = [9.8 * (1 + (number + line) % 40) for line in range(LINES)]
        lines = [
            {
                "Product": f"01t{(number * 7 + line) % 77:03}",
                "Quantity": 1 + (number + line) % 40,
                "Total": totals[line],
            }
            for line in range(LINES)
        ]
        fields = {
            "Id": f"006{number:09}",
            "Account": f"001{number % 91:03}",
            "Region": f"R{number % 40}",
            "CloseDate": (first + dt.timedelta(days=number % 600)).isoformat(),
            "Currency": "EUR",
            "Stage": "Closed Won",
            "Amount": sum(totals),
            "Lines": {"records": lines},
        }
        rows.append(Row(number, str(fields["Id"]), json.dumps(fields)))
    return rows


def compiled() -> CompiledMapping:
    """The mapping under test."""

    def leaf(sql: str) -> Leaf:
        return Leaf(sql, PLACE)

    always = (dt.date.min, dt.date.max)
    codes = tuple(CrosswalkRow(code, value, *always, PLACE) for code, value in REGIONS.items())
    spec = MappingSpec(
        "benchmark",
        "crm.Opportunity",
        "sales_order",
        1,
        "Id",
        {
            "legal_entity": leaf("crosswalk('region', Region)"),
            "customer": leaf("xref('customer', Account)"),
            "currency": leaf("Currency"),
            "closed_on": leaf("CloseDate"),
            "total": leaf("round_to(Amount, 2)"),
            "lines": Each(
                "Lines.records",
                {
                    "product": leaf("xref('product', Product)"),
                    "quantity": leaf("Quantity"),
                    "amount": leaf("round_to(Total, 2)"),
                },
                PLACE,
            ),
        },
        PLACE,
    )
    return compile_mapping(
        spec,
        SOURCE,
        TARGET,
        system="crm",
        crosswalks={"region": Crosswalk("region", codes, PLACE)},
        conditions={"won": ("Stage = 'Closed Won'", PLACE)},
        facts=FACTS,
    )


def controls() -> CompiledControls:
    """The controls under test; every generated order passes them."""
    adds_up = "total = list_sum([line.amount for line in lines])"
    limit = "currency IN ('EUR', 'USD') AND total <= money(250000, currency)"
    specs = (
        ControlSpec("lines_add_up", adds_up, "Revenue is scheduled by line.", PLACE),
        ControlSpec("within_the_limit", limit, "Larger orders are signed by two.", PLACE),
    )
    record = RecordTypeSpec("sales_order", "Sales order", TARGET, controls=specs, place=PLACE)
    return compile_controls(record)


def by_hand(rows: Sequence[Row]) -> list[str]:
    """The same documents, written as a plain loop."""
    made = []
    for row in rows:
        source = json.loads(row.payload, parse_float=Decimal, parse_int=Decimal)
        if not isinstance(source["Amount"], Decimal) or source["Stage"] is None:
            raise ValueError(row.key)
        document = {
            "legal_entity": REGIONS[source["Region"]],
            "customer": _key("customer", source["Account"]),
            "currency": source["Currency"],
            "closed_on": dt.date.fromisoformat(source["CloseDate"]).isoformat(),
            "total": _amount(source["Amount"]),
            "lines": [
                {
                    "product": _key("product", line["Product"]),
                    "quantity": _plain(line["Quantity"]),
                    "amount": _amount(line["Total"]),
                }
                for line in source["Lines"]["records"]
            ],
        }
        made.append(json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False))
    return made


def _key(record_type: str, source_id: str) -> str:
    return hashlib.sha256(f"{record_type}|crm|{source_id}".encode()).hexdigest()[:32]


def _amount(value: Decimal) -> str:
    return f"{value.quantize(CENT, ROUND_HALF_UP):f}"


def _plain(value: Decimal) -> str:
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def batches(rows: Sequence[Row], size: int) -> Iterator[Sequence[Row]]:
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


def seconds(work: Callable[[], object]) -> float:
    started = clock.monotonic()
    work()
    return clock.monotonic() - started


def processor_milliseconds(work: Callable[[], object]) -> float:
    """Processor time of this thread, where the rules run."""
    started = time.thread_time()
    work()
    return (time.thread_time() - started) * 1000


def median(figures: Sequence[float]) -> float:
    return round(sorted(figures)[len(figures) // 2], 1)


def measure(records: int, batch: int) -> dict[str, object]:
    """Both ways over the same rows; raises ValueError if they do not agree."""
    rows = orders(records)
    with Runner() as runner:
        mapping = compiled()
        sample = rows[:1000]
        result = mapping.run(runner, sample)
        if result.errors or [one.body for one in result.mapped] != by_hand(sample):
            raise ValueError("the mapping and the loop do not give the same documents")
        judge = controls()
        parts = list(batches(rows, batch))
        ours = seconds(lambda: [mapping.run(runner, part) for part in parts])
        loop = seconds(lambda: [by_hand(part) for part in parts])
        whole = [
            processor_milliseconds(functools.partial(mapping.run, runner, part)) for part in parts
        ]
        bodies = [(one.row_id, one.body) for one in mapping.run(runner, parts[0]).mapped]
        if judge.run(runner, bodies):
            raise ValueError("an order does not pass the controls")
        judged = [processor_milliseconds(lambda: judge.run(runner, bodies)) for _ in parts]
        ones = [
            processor_milliseconds(functools.partial(mapping.run, runner, [row]))
            for row in rows[:ALONE]
        ]
        judged_ones = [
            processor_milliseconds(functools.partial(judge.run, runner, [body]))
            for body in bodies[:ALONE]
        ]
    return {
        "benchmark": "mapping",
        "records": records,
        "lines": records * LINES,
        "batch": batch,
        "records_per_second": round(records / ours),
        "loop_records_per_second": round(records / loop),
        "ratio": round(loop / ours, 2),
        "batch_processor_milliseconds": median(whole),
        "batch_of_one_processor_milliseconds": median(ones),
        "controls_batch_processor_milliseconds": median(judged),
        "controls_batch_of_one_processor_milliseconds": median(judged_ones),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--json", action="store_true", help="print one JSON line")
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--batch", type=int, default=10_000)
    asked = parser.parse_args()
    found = measure(asked.records, asked.batch)
    if asked.json:
        print(json.dumps(found))
    else:
        print("\n".join(f"{name:>46}  {value}" for name, value in found.items()))


if __name__ == "__main__":
    main()
