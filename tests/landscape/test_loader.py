"""A landscape loads whole, or says everything that is wrong with file, line and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.landscape.conftest import Break
from tieout.landscape.examples import NoSuchExample, example, examples
from tieout.landscape.loader import content_hash, governed_files, load
from tieout.landscape.template import CannotMake, new
from tieout.rules.place import BadLandscape, Place
from tieout.rules.spec import Each, Group, Leaf


def test_the_template_loads(folder: Path) -> None:
    landscape = load(folder)
    assert landscape.name == "acme"
    assert landscape.flows["customers"].steps[0].system == "netsuite.customer"
    assert landscape.flows["customers"].record_type == "customer"
    assert landscape.environments["local"]["netsuite"].poll_seconds == 2.0
    assert landscape.records["sales_order"].owned == {}


def test_the_demo_loads_typed() -> None:
    landscape = load(example("quote_to_cash"))
    order = landscape.mappings["opportunity_to_sales_order"]
    lines = order.fields["lines"]
    assert isinstance(lines, Each)
    assert lines.over == "OpportunityLineItems.records"
    assert isinstance(lines.fields["quantity"], Leaf)
    assert isinstance(landscape.mappings["sales_order_to_netsuite"].fields["entity"], Group)
    flow = landscape.flows["quote_to_cash"]
    assert [step.system for step in flow.steps] == [
        "netsuite.customer",
        "netsuite.inventoryItem",
        "netsuite.salesOrder",
        "netsuite.invoice",
        "anaplan.bookings",
        "salesforce.Opportunity",
    ]
    assert flow.steps[0].within_seconds == 6.0
    assert flow.steps[3].on_change == "reverse_and_repost"
    assert flow.steps[4].batch_seconds == 1.0
    assert flow.fresh_within_seconds == 1800.0
    invoices = landscape.reconciliations["bookings_to_orders_to_plan"].sides[2]
    assert [(one.stream, one.sign) for one in invoices.also] == [("creditMemo", -1)]
    assert landscape.people["bram"].legal_entities == ("NWEU",)
    assert landscape.legal_entities["NWSA"].time_zone == "America/Sao_Paulo"


def test_the_hash_covers_every_governed_file_and_no_environment(folder: Path) -> None:
    before = content_hash(folder)
    assert load(folder).content_hash == before
    (folder / "environments/local.yaml").write_text("environment: local\nsystems: {}\n")
    (folder / "notes.txt").write_text("not governed")
    assert content_hash(folder) == before
    for file in governed_files(folder):
        path = folder / file
        kept = path.read_bytes()
        path.write_bytes(kept + b"\n# one more line\n")
        assert content_hash(folder) != before, file
        path.write_bytes(kept)
    (folder / "crosswalks/country_entity.csv").rename(folder / "crosswalks/country_entities.csv")
    assert content_hash(folder) != before


def test_a_folder_that_is_no_landscape(tmp_path: Path) -> None:
    with pytest.raises(BadLandscape) as caught:
        load(tmp_path)
    assert "tieout new" in str(caught.value)


@pytest.mark.parametrize(
    ("file", "old", "new", "line", "words", "advice"),
    [
        ("flows/customers.yaml", "steward:", "stewart:", 2, "'stewart' is not", "'steward'"),
        ("flows/customers.yaml", "as: customer_", "az: customer_", 5, "'az' is not a key", "as"),
        ("flows/customers.yaml", "on_change: update", "on_change: yes", 5, "'yes'", "update"),
        ("flows/customers.yaml", "- {write: customer", "- {aprove: x", 5, "has none of", "write"),
        ("flows/customers.yaml", "to: netsuite", "to: salesforce", 5, "its mapping", "netsuite"),
        ("systems/systems.yaml", "steward: finance-systems", "", 7, "no 'steward'", "Add"),
        ("mappings/customer.yaml", "version: 1", "version: one", 4, "'version'", "whole number"),
        ("mappings/customer.yaml", "to: customer", "to: a.b", 3, "from 'salesforce.Acc", "side"),
        ("mappings/customer.yaml", "name: Name", "name: [Name]", 7, "is a list", "each:"),
        ("mappings/customer.yaml", "name: Name", "name:", 7, "no expression", "Write one"),
        ("records/customer.yaml", "must:", "mast:", 7, "'mast' is not a key", "must"),
        ("records/customer.yaml", "[name, number", "[nam, number", 4, "'nam', owned", "'name'"),
        ("policies/people.yaml", "controller]", "comptroller]", 4, "'comptroller'", "controller"),
        ("policies/legal_entities.yaml", "Amsterdam", "Amsterdm", 2, "time zone", "Amsterdam"),
        ("policies/legal_entities.yaml", "EUR", "euro", 2, "not an ISO 4217", "EUR"),
        ("environments/local.yaml", "poll: 2 seconds", "poll: 2s", 9, "not a duration", "seconds"),
        ("environments/local.yaml", "    emulate: netsuite\n", "\n", 14, "is real", "env:NAME"),
        ("environments/local.yaml", "literal:local-token\n", "hunter2\n", 16, "reference", "env:"),
        ("environments/local.yaml", "http://127.0.0.1:18182", "http://erp", 12, "https", "https"),
        (
            "environments/local.yaml",
            "http://127.0.0.1:18182",
            "http://127.0.0.1:18182@evil.example",
            12,
            "user name",
            "secrets",
        ),
        (
            "environments/local.yaml",
            "http://127.0.0.1:18182",
            "https://user:pw@erp.example",
            12,
            "user name",
            "secrets",
        ),
        ("crosswalks/country_entity.csv", "Germany,MAIN,,,", "G,M,1/2/24,,", 3, "date", "YYYY"),
        ("crosswalks/country_entity.csv", "Germany,MAIN,,,", "G,M,20240102,,", 3, "date", "YYYY"),
        ("crosswalks/country_entity.csv", "Germany,MAIN,,,", "G,M,2024-W01-2,,", 3, "date", "YYYY"),
        ("crosswalks/country_entity.csv", "Germany", "Netherlands", 3, "valid then", "End one"),
        ("crosswalks/country_entity.csv", "Germany,MAIN", "Germany,", 3, "is empty", "Fill"),
    ],
)
def test_what_cannot_be_loaded_is_placed_and_advised(
    problems_of: Break, file: str, old: str, new: str, line: int, words: str, advice: str
) -> None:
    found = problems_of(file, old, new or "\n")
    match = [one for one in found if words in one.what]
    assert match, found
    assert match[0].place == Place(file, line)
    assert advice in match[0].next_action


def test_a_secret_is_never_shown(problems_of: Break) -> None:
    found = problems_of("environments/local.yaml", "literal:local-token\n", "hunter2\n")
    assert found
    assert not any("hunter2" in str(one) for one in found)


def test_problems_of_many_files_come_together(folder: Path, problems_of: Break) -> None:
    (folder / "mappings/customer.yaml").write_text("mapping: a\nmapping: b\n")
    (folder / "crosswalks/country_entity.csv").write_text("code\n")
    found = problems_of("flows/customers.yaml", "steward:", "stewart:")
    assert {one.place.file for one in found} == {
        "mappings/customer.yaml",
        "crosswalks/country_entity.csv",
        "flows/customers.yaml",
    }


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("mapping/a.yaml", "mapping: a\n", "folder 'mapping' is not read"),
        ("mappings/a.yml", "mapping: a\n", "holds *.yaml"),
        ("extra.yaml", "a: b\n", "it is in no folder"),
        ("policies/peoples.yaml", "people: []\n", "is not a policy"),
        ("mappings/again.yaml", "- a\n", "is not a table"),
        ("systems/again.yaml", "system: netsuite\nsteward: x\n", "'netsuite' is there twice"),
    ],
)
def test_nothing_is_skipped_in_silence(
    problems_of: Break, file: str, content: str, words: str
) -> None:
    assert any(words in one.what for one in problems_of(file, content))


def test_new_never_overwrites(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(CannotMake, match="not empty"):
        new(folder, "acme")
    with pytest.raises(CannotMake, match="is not a name"):
        new(tmp_path / "x", "../x")


def test_examples_are_found_by_name() -> None:
    assert "quote_to_cash" in examples()
    assert (example("quote_to_cash") / "data/README.md").is_file()
    with pytest.raises(NoSuchExample, match="quote_to_cash"):
        example("quote_to_csh")
