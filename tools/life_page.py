"""Writes the blocks of docs/life_of_a_record.md from a demo that has run.

`python tools/life_page.py .demo/quote_to_cash` after `tieout demo` (default seed). The prose is
written by hand; each block below a `<!-- demo: name -->` line comes from the demo's database, read
through the product's own functions. A test makes the blocks again from a fresh demo and compares
them, with everything that a second run may number differently put out of the way (`plain`).
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path

from tieout.cli.life import print_life
from tieout.cli.shared import out
from tieout.store.database import Connection, Database
from tieout.store.life import Life, life_of
from tieout.store.life_seen import DispatchSeen

PAGE = Path(__file__).resolve().parents[1] / "docs" / "life_of_a_record.md"
ORDER = "10770"
COMMAND = f"tieout show {ORDER} --as omar"
BLOCK = re.compile(r"(<!-- demo: (\w+) -->\n```\w+\n)(.*?)(^```$)", re.MULTILINE | re.DOTALL)
ARRIVAL_FIELDS = (
    "Id",
    "AccountId",
    "StageName",
    "CloseDate",
    "Amount",
    "CurrencyIsoCode",
    "Region__c",
    "Order_Number__c",
    "SystemModstamp",
)
LINE_FIELDS = ("Product2Id", "Quantity", "UnitPrice", "Discount", "TotalPrice", "SortOrder")

# What two runs of the same demo may number differently: instants, our own row numbers, and the
# numbers NetSuite gives in the order in which concurrent calls reach it. All else must agree.
_VARIES = (
    (re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d+)?(\+0000)?"), "<instant>"),
    (re.compile(r"\b(arrival|case|run|dispatch):\d+"), r"\1:<number>"),
    (re.compile(r"\b(SO|INV)\d+"), r"\1<number>"),
    (re.compile(r"(netsuite\.\w+) \d+"), r"\1 <id>"),
    (re.compile(r'("(?:entity|item|createdFrom)": \{\s*"id": )"\d+"'), r'\1"<id>"'),
    (re.compile(r"\bentity(\s+meant)?(\s+)\d+(\s+found \d+)?"), "entity <id>"),
    (re.compile(r"127\.0\.0\.1:\d+"), "127.0.0.1:<port>"),
    (re.compile(r"by (poll|webhook)(, \d+ times)?"), "by <door>"),
    (re.compile(r"[ \n]+"), " "),
)


def plain(text: str) -> str:
    """The text without what may differ between two runs of the same demo."""
    for pattern, instead in _VARIES:
        text = pattern.sub(instead, text)
    return text.strip()


def blocks(connection: Connection) -> dict[str, str]:
    """Every block of the page, by name, from a demo's database."""
    (life,) = life_of(connection, ORDER)
    order, *_ = life.dispatches
    return {
        "arrival": _arrival(connection, life),
        "record": _json(json.loads(life.versions[0].body)),
        "order": _json(json.loads(order.body)),
        "booking": _json(json.loads(_to(life, "anaplan").body)),
        "dispatches": "\n".join(f"{one.action:7} {one.write_key}" for one in life.dispatches),
        "attempts": "\n".join(
            f"attempt {one.attempt_no}  {one.kind:5} {one.outcome:8} {one.words}".rstrip()
            for one in order.attempts
        ),
        "proof": "\n".join(
            f"{fact.name:9} meant {fact.meant:11} found {fact.found}"
            for fact in order.proofs[-1].facts
        ),
        "rate": _rate(connection, _to(life, "anaplan")),
        "tie_outs": _tie_outs(connection, life),
        "show": f"$ {COMMAND}\n{_shown(life)}",
    }


def written(page: str, made: Mapping[str, str]) -> str:
    """The page with its blocks made anew. Raises KeyError for a block that nobody makes."""
    return BLOCK.sub(lambda found: f"{found[1]}{made[found[2]]}\n{found[4]}", page)


def _arrival(connection: Connection, life: Life) -> str:
    found = connection.execute(
        "SELECT payload FROM payloads WHERE arrival_id = %s", (life.arrivals[0].arrival_id,)
    ).fetchone()
    said = json.loads(found[0], parse_float=_Literal, parse_int=_Literal) if found else {}
    rows = said["OpportunityLineItems"]["records"]
    lines = [{name: one[name] for name in LINE_FIELDS} for one in rows]
    text = _json({name: said[name] for name in ARRIVAL_FIELDS} | {"OpportunityLineItems": lines})
    return re.sub(r'"\\u0000([^"]*)"', r"\1", text)


class _Literal(str):
    """A number exactly as it was sent: printed without quotes, never as a float."""

    __slots__ = ()

    def __new__(cls, literal: str) -> _Literal:
        return super().__new__(cls, f"\x00{literal}")


def _json(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


def _to(life: Life, system: str) -> DispatchSeen:
    return next(one for one in life.dispatches if one.system == system)


def _rate(connection: Connection, dispatch: DispatchSeen) -> str:
    rows = connection.execute(
        "SELECT rate_id, value FROM rates_used WHERE rate_id = ANY(%s) ORDER BY rate_id",
        (list(dispatch.rate_ids),),
    ).fetchall()
    return "\n".join(f"{rate_id} = {value}" for rate_id, value in rows)


def _tie_outs(connection: Connection, life: Life) -> str:
    """The group of each tie-out that the record is in."""
    newest = life.versions[-1]
    wanted = (newest.legal_entity, newest.period, newest.currency)
    lines = [" ".join(wanted)]
    for name, result in connection.execute(
        "SELECT DISTINCT ON (name) name, result FROM tie_outs ORDER BY name, tie_out_id DESC"
    ).fetchall():
        told = json.loads(result)
        for group in told["groups"]:
            if tuple(group[name] for name in told["by"]) == wanted:
                sides = "   ".join(
                    f"{side} {group['counts'][side]} records {Decimal(total):,.2f}"
                    for side, total in group["sums"].items()
                )
                lines.append(f"  {str(name).partition(': ')[2]:32}  {sides}")
    return "\n".join(lines)


def _shown(life: Life) -> str:
    console = out(as_json=False)
    with console.capture() as said:
        print_life(console, life)
    return said.get().strip()


def read(folder: Path) -> dict[str, str]:
    """The blocks from the demo in `folder`, whose database is started if need be."""
    from tieout.cli.shared import STATE_FOLDER, database_url
    from tieout.store import embedded

    ran_before = embedded.running(folder / STATE_FOLDER) is not None
    try:
        with Database(database_url(folder)) as database, database.transaction() as connection:
            return blocks(connection)
    finally:
        if not ran_before:
            embedded.stop(folder / STATE_FOLDER)


def main() -> int:
    if len(sys.argv) != 2 or not (Path(sys.argv[1]) / "landscape.yaml").is_file():
        print("usage: python tools/life_page.py DEMO_LANDSCAPE (after `tieout demo`)")
        return 2
    made = read(Path(sys.argv[1]).resolve())
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8"), made), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
