"""Batches of rows become documents; what cannot be mapped is named field by field."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.rules.shapes import PLACE, Engine, crosswalk, inbound, leaf, outbound, row
from tieout.rules.compile import compile_mapping
from tieout.rules.mapping import CompiledMapping, Row
from tieout.rules.own_functions import record_key
from tieout.rules.place import BadLandscape
from tieout.rules.runner import Runner
from tieout.rules.spec import Each, FieldType, Group

REGION = crosswalk(
    "region", ("EU", "NWEU", "2020-01-01", "2020-12-31"), ("EU", "NWE2", "2021-01-01", "9999-12-31")
)
TAGS = FieldType("tags", "list", fields=(FieldType("t", "text"),))
ITEM = (FieldType("Product", "text"), FieldType("Total", "number"), TAGS)
SOURCE = (
    FieldType("Id", "text"),
    FieldType("Region", "text"),
    FieldType("Account", "text"),
    FieldType("CloseDate", "date"),
    FieldType("Amount", "number"),
    FieldType("Currency", "text"),
    FieldType("Stage", "text"),
    FieldType("Note", "text"),
    FieldType("Lines", "object", fields=(FieldType("records", "list", fields=ITEM),)),
)
TARGET = (
    FieldType("legal_entity", "text"),
    FieldType("customer", "ref", to="customer"),
    FieldType("total", "amount", money_in="currency"),
    FieldType("group_total", "amount", required=False),
    FieldType("note", "text", required=False),
    FieldType(
        "lines",
        "list",
        fields=(
            FieldType("product", "ref"),
            FieldType("amount", "amount"),
            FieldType("group_amount", "amount", required=False),
            FieldType("tags", "list", required=False, fields=(FieldType("path", "text"),)),
        ),
    ),
)
FIELDS = {
    "legal_entity": leaf("crosswalk('region', Region)", 3),
    "customer": leaf("xref('customer', Account)", 4),
    "total": leaf("Amount", 5),
    "note": leaf("Note", 6),
    "lines": Each(
        "Lines.records",
        {
            "product": leaf("xref('product', Product)", 9),
            "amount": leaf("round_to(Total, 2)", 10),
            "group_amount": leaf(
                "round_to(convert(round_to(Total, 2), parent.Currency, 'EUR', "
                "parent.CloseDate), 2)",
                11,
            ),
            "tags": Each("tags", {"path": leaf("concat_ws('/', parent.parent.Id, t)", 13)}, PLACE),
        },
        PLACE,
    ),
}


FACTS = ("legal_entity", "total", "group_total", "lines", "no_such_field", "note")


def mapping() -> CompiledMapping:
    return compile_mapping(
        inbound(FIELDS, dated="CloseDate"),
        SOURCE,
        TARGET,
        system="crm",
        crosswalks={"region": REGION},
        conditions={"won": ("Stage = 'Closed Won'", PLACE)},
        facts=FACTS,
    )


def deal(number: int, **changes: object) -> Row:
    fields = {
        "Region": "EU",
        "Account": "001A",
        "CloseDate": "2020-07-04",
        "Amount": 440.0,
        "Currency": "USD",
        "Stage": "Closed Won",
        "Lines": {
            "records": [
                {"Product": "p1", "Total": 342.00000000000006, "tags": [{"t": "x"}, {"t": "y"}]},
                {"Product": "p2", "Total": "98"},
            ]
        },
    }
    return row(number, f"006{number}", **{**fields, **changes})


@pytest.fixture(scope="module")
def runner() -> Iterator[Runner]:
    with Runner() as one:
        yield one


@pytest.fixture(scope="module")
def compiled() -> CompiledMapping:
    return mapping()


def test_a_deal_becomes_canonical_text(runner: Runner, compiled: CompiledMapping) -> None:
    result = compiled.run(runner, [deal(1)], Engine())
    assert result.errors == []
    one = result.mapped[0]
    customer = record_key("customer", "crm", "001A")
    first, second = (record_key("product", "crm", name) for name in ("p1", "p2"))
    assert (one.row_id, one.key) == (1, "0061")
    assert one.body == (
        f'{{"customer":"{customer}","legal_entity":"NWEU","lines":['
        f'{{"amount":"342.00","group_amount":"376.20","product":"{first}",'
        '"tags":[{"path":"0061/x"},{"path":"0061/y"}]},'
        f'{{"amount":"98.00","group_amount":"107.80","product":"{second}"}}],'
        '"total":"440.00"}'
    )
    assert one.conditions == {"won": True}
    assert one.rate_ids == ("USD-EUR 2020-07-04 spot",)
    assert one.waits_for == ()
    assert one.facts == ("NWEU", "440.00", None, None, None, None)


def test_a_row_with_errors_hands_out_the_facts_it_has(
    runner: Runner, compiled: CompiledMapping
) -> None:
    rows = [deal(1), deal(2, Region="XX", Amount="0.5", Note='a "note"'), deal(3, Amount=None)]
    result = compiled.run(runner, rows, Engine())
    assert [one.facts[:2] for one in result.mapped] == [("NWEU", "440.00")]
    assert {row: one.facts for row, one in result.partial.items()} == {
        2: (None, "0.50", None, None, None, 'a "note"'),
        3: ("NWEU", None, None, None, None, None),
    }


def test_without_a_wish_no_facts_are_handed_out(runner: Runner) -> None:
    made = outward().run(runner, [order(1)], Engine())
    assert [one.facts for one in made.mapped] == [()]


def test_a_crosswalk_answers_by_the_date_of_the_row(
    runner: Runner, compiled: CompiledMapping
) -> None:
    result = compiled.run(runner, [deal(1, CloseDate="2021-01-01")], Engine())
    assert json.loads(result.mapped[0].body)["legal_entity"] == "NWE2"


@pytest.mark.parametrize(
    ("changes", "field", "value", "why", "line"),
    [
        ({"Region": "XX"}, "legal_entity", "XX", "not in crosswalk region on 2020-07-04 (cross", 3),
        ({"CloseDate": "2019-01-01"}, "legal_entity", "EU", "'EU' is not in crosswalk region", 3),
        ({"CloseDate": None, "Currency": None}, "legal_entity", "EU", "needs a date", 3),
        ({"Region": None}, "legal_entity", "", "it is required, and Region is empty", 3),
        ({"Amount": "abc"}, "Amount", "abc", "Amount: 'abc' is not a number", 7),
        ({"Amount": 1.12345678}, "total", "1.12345678", "more than 6 decimals", 5),
        ({"Amount": 10**19}, "total", str(10**19), "too many digits", 5),
        ({"Lines": None}, "lines", "", "Lines.records has no list", 7),
        (
            {"Lines": {"records": [{"Product": "p", "Total": 1}, {"Product": "q"}]}},
            "lines[1].amount",
            "",
            "it is required, and Lines.records.Total is empty",
            10,
        ),
        (
            {"Currency": "XXX", "Lines": {"records": [{"Product": "p", "Total": 5}]}},
            "lines[0].group_amount",
            "XXX, EUR, 2020-07-04, 5",
            "no spot rate from XXX to EUR on 2020-07-04",
            11,
        ),
        (
            {"Lines": {"records": [{"Product": "p", "Total": "9" * 19}]}},
            "lines[0].amount",
            "9" * 19,
            "cannot be computed",
            10,
        ),
    ],
)
def test_one_bad_field_is_named_and_the_batch_goes_on(
    runner: Runner,
    compiled: CompiledMapping,
    changes: dict[str, object],
    field: str,
    value: str,
    why: str,
    line: int,
) -> None:
    result = compiled.run(runner, [deal(1), deal(2, **changes), deal(3)], Engine())
    assert [one.row_id for one in result.mapped] == [1, 3]
    assert {one.row_id for one in result.errors} == {2}
    error = next(one for one in result.errors if one.field == field)
    assert (error.key, error.value, error.control) == ("0062", value, "mapping")
    assert why in error.why
    assert error.place.line == line
    assert "replay" in error.next_action


def test_the_keys_of_a_record_are_seen_at_every_level(runner: Runner) -> None:
    item = {"key": leaf("record_key"), "id": leaf("source_key")}
    spec = inbound({"lines": Each("Lines.records", item, PLACE)})
    compiled = compile_mapping(spec, SOURCE, None, system="crm")
    lines = json.loads(compiled.run(runner, [deal(1)]).mapped[0].body)["lines"]
    assert lines == [{"key": record_key("order", "crm", "0061"), "id": "0061"}] * 2


def test_an_empty_list_is_a_list(runner: Runner, compiled: CompiledMapping) -> None:
    result = compiled.run(runner, [deal(1, Lines={"records": []})], Engine())
    assert json.loads(result.mapped[0].body)["lines"] == []


def test_a_condition_that_is_null_says_so(runner: Runner, compiled: CompiledMapping) -> None:
    rows = [deal(1, Stage=None), deal(2, Stage="Lost")]
    result = compiled.run(runner, rows, Engine())
    assert [one.conditions["won"] for one in result.mapped] == [None, False]


def test_questions_are_asked_once_per_batch(runner: Runner, compiled: CompiledMapping) -> None:
    engine = Engine()
    compiled.run(runner, [deal(number) for number in range(50)], engine)
    assert engine.calls == [("convert", 2)]


def test_lineage_names_the_source_of_every_field(compiled: CompiledMapping) -> None:
    assert compiled.lineage["total"] == ("Amount",)
    assert compiled.lineage["lines"] == ("Lines.records",)
    assert compiled.lineage["lines.group_amount"] == (
        "Lines.records.Total",
        "Currency",
        "CloseDate",
    )
    assert compiled.lineage["lines.tags.path"] == ("Id", "Lines.records.tags.t")
    assert compiled.crosswalks_used == ("region",)


ORDER = (
    FieldType("legal_entity", "text"),
    FieldType("customer", "ref", to="customer"),
    FieldType("closed_on", "date"),
    FieldType("status", "text"),
    FieldType("lines", "list", fields=(FieldType("product", "ref"), FieldType("amount", "amount"))),
)


def outward() -> CompiledMapping:
    fields = {
        "entity": Group({"id": leaf("id_in('erp', 'customer', customer)")}, PLACE),
        "externalId": leaf("'order-' || source_key"),
        "period": leaf("period(closed_on)"),
        "memo": leaf("number_in('erp', 'customer', customer)"),
        "item": Group(
            {
                "items": Each(
                    "lines",
                    {
                        "item": Group({"id": leaf("id_in('erp', 'product', product)")}, PLACE),
                        "amount": leaf("amount"),
                    },
                    PLACE,
                )
            },
            PLACE,
        ),
    }
    return compile_mapping(outbound(fields), ORDER, None, system="")


def order(number: int, **changes: object) -> Row:
    fields = {
        "legal_entity": "NWEU",
        "customer": "c1",
        "closed_on": "2020-07-04",
        "status": "won",
        "lines": [{"product": "p1", "amount": "98.00"}, {"product": "p2", "amount": "342"}],
    }
    return Row(number, f"rec{number}", json.dumps({**fields, **changes}), f"006{number}")


def test_an_outbound_document_carries_the_ids_of_the_target(runner: Runner) -> None:
    known = {
        ("erp", "customer", "c1"): ("17", "CUST17"),
        ("erp", "product", "p1"): ("31", ""),
        ("erp", "product", "p2"): ("32", ""),
    }
    engine = Engine(known)
    result = outward().run(runner, [order(1), order(2)], engine)
    assert result.errors == []
    assert json.loads(result.mapped[0].body) == {
        "entity": {"id": "17"},
        "externalId": "order-0061",
        "item": {
            "items": [
                {"amount": "98.00", "item": {"id": "31"}},
                {"amount": "342.00", "item": {"id": "32"}},
            ]
        },
        "memo": "CUST17",
        "period": "NWEU Jul 2020",
    }
    assert sorted(engine.calls) == [("ids erp customer", 1), ("ids erp product", 2), ("periods", 1)]


def test_a_parent_without_a_proof_makes_the_step_wait(runner: Runner) -> None:
    known = {("erp", "product", "p1"): ("31", "")}
    result = outward().run(runner, [order(1)], Engine(known))
    assert result.errors == []
    assert result.mapped[0].waits_for == (("erp", "customer", "c1"), ("erp", "product", "p2"))


def test_a_date_in_no_period_is_an_error(runner: Runner) -> None:
    result = outward().run(runner, [order(1, legal_entity="NOBODY")], Engine())
    assert [one.field for one in result.errors] == ["period"]
    assert "no accounting period of NOBODY holds 2020-07-04" in result.errors[0].why


def test_a_lookup_in_a_branch_not_taken_is_not_asked(runner: Runner) -> None:
    sql = "CASE WHEN status = 'won' THEN crosswalk('region', legal_entity, closed_on) ELSE 'x' END"
    compiled = compile_mapping(
        outbound({"v": leaf(sql), "w": leaf(f"coalesce(customer, {sql})")}),
        ORDER,
        None,
        system="",
        crosswalks={"region": REGION},
    )
    result = compiled.run(runner, [order(1, legal_entity="XX", status="lost"), order(2)])
    assert [one.body for one in result.mapped] == ['{"v":"x","w":"c1"}']
    assert [(one.row_id, one.field) for one in result.errors] == [(2, "v")]


def test_an_optional_group_is_left_out_or_complete(runner: Runner) -> None:
    inner = (FieldType("city", "text"), FieldType("zip", "text"))
    target = (FieldType("address", "object", required=False, fields=inner),)
    source = (FieldType("City", "text"), FieldType("Zip", "text"))
    spec = outbound({"address": Group({"city": leaf("City"), "zip": leaf("Zip")}, PLACE)})
    compiled = compile_mapping(spec, source, target, system="")
    result = compiled.run(runner, [row(1), row(2, City="Reims"), row(3, City="Reims", Zip="51")])
    assert [one.body for one in result.mapped] == ["{}", '{"address":{"city":"Reims","zip":"51"}}']
    assert [(one.row_id, one.field) for one in result.errors] == [(2, "address.zip")]


@pytest.mark.parametrize(
    ("fields", "what"),
    [
        ({**FIELDS, "totle": leaf("Amount", 4)}, "order has no field totle"),
        ({k: v for k, v in FIELDS.items() if k != "total"}, "required field total of order"),
        ({**FIELDS, "total": leaf("Stage", 4)}, "it compiles to text, which is not an amount"),
        ({**FIELDS, "total": leaf("CloseDate", 4)}, "date, which is not an amount"),
        ({**FIELDS, "note": leaf("Amount", 4)}, "number, which is not a text"),
        ({**FIELDS, "lines": leaf("Stage", 4)}, "lines is a list, not one value"),
        ({**FIELDS, "lines": Each("Stage", {"product": leaf("Id")}, PLACE)}, "not a list of objec"),
        ({**FIELDS, "total": Group({"x": leaf("Id")}, PLACE)}, "total is not an object"),
        ({**FIELDS, "lines": Each("Lines.records", {}, PLACE)}, "lines has no fields"),
        ({}, "the mapping has no fields"),
    ],
)
def test_a_mapping_that_cannot_fit_is_refused(fields: dict[str, object], what: str) -> None:
    with pytest.raises(BadLandscape, match=what):
        compile_mapping(
            inbound(fields, dated="CloseDate"),  # type: ignore[arg-type]
            SOURCE,
            TARGET,
            system="crm",
            crosswalks={"region": REGION},
        )


def test_an_unknown_key_is_refused() -> None:
    with pytest.raises(
        BadLandscape, match=r"the key Idd is no field of crm\.Deal.*Did you mean Id"
    ):
        compile_mapping(inbound({"v": leaf("Id")}, key="Idd"), SOURCE, None, system="crm")


CHANGES = st.fixed_dictionaries(
    {},
    optional={
        "Region": st.sampled_from(["EU", "XX", None]),
        "CloseDate": st.sampled_from(["2020-07-04", "2021-05-01", "2019-01-01", "x", None]),
        "Amount": st.sampled_from([440, "440.10", 1.12345678, "abc", None, -0.5]),
        "Currency": st.sampled_from(["USD", "XXX", None]),
        "Note": st.text(max_size=4),
        "Stage": st.sampled_from(["Closed Won", "Lost", None]),
        "Lines": st.sampled_from(
            [
                None,
                {"records": []},
                {"records": [{"Product": "p", "Total": 1.5}, {"Product": None, "Total": "2"}]},
                {"records": [{"Product": "p", "Total": "z"}]},
                {"records": [{"Product": "p", "Total": 1, "tags": [{"t": "é"}]}, None]},
            ]
        ),
    },
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(changes=st.lists(CHANGES, max_size=6))
def test_mapping_a_batch_is_mapping_its_rows_one_by_one(
    runner: Runner, compiled: CompiledMapping, changes: list[dict[str, object]]
) -> None:
    rows = [deal(number, **change) for number, change in enumerate(changes)]
    whole = compiled.run(runner, rows, Engine())
    alone = [compiled.run(runner, [one], Engine()) for one in rows]
    assert whole.mapped == [one for result in alone for one in result.mapped]
    assert sorted(whole.errors, key=_order) == sorted(
        [one for result in alone for one in result.errors], key=_order
    )
    for one in whole.mapped:
        again = json.dumps(
            json.loads(one.body), sort_keys=True, separators=(",", ":"), ensure_ascii=False
        )
        assert one.body == again
    for one in [*whole.mapped, *whole.partial.values()]:
        body = json.loads(one.body)
        assert one.facts == tuple(body.get(name) if name != "lines" else None for name in FACTS)
    assert {one.row_id for one in whole.mapped} | {one.row_id for one in whole.errors} == {
        one.row_id for one in rows
    }


def _order(error: object) -> str:
    return repr(dataclasses.astuple(error))  # type: ignore[call-overload]
