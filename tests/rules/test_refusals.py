"""What an expression may not do, each refused with file, line and what to do instead."""

from __future__ import annotations

import pytest

from tests.rules.shapes import crosswalk, inbound, leaf
from tieout.rules.compile import compile_mapping
from tieout.rules.place import BadLandscape, Problem
from tieout.rules.spec import FieldType

FIELDS = (
    FieldType("Id", "text"),
    FieldType("CloseDate", "date"),
    FieldType("total", "amount", money_in="currency"),
    FieldType("fee", "amount"),
    FieldType("currency", "text"),
    FieldType("n", "number"),
    FieldType("m", "number"),
    FieldType("quantity", "quantity"),
    FieldType("i", "integer"),
    FieldType("t", "text"),
    FieldType("lines", "list", fields=(FieldType("amount", "amount", money_in="parent.currency"),)),
)
DATED = crosswalk("region", ("EU", "A", "2020-01-01", "2020-12-31"))


def problems(sql: str) -> list[Problem]:
    with pytest.raises(BadLandscape) as caught:
        compile_mapping(
            inbound({"v": leaf(sql, 12)}),
            FIELDS,
            None,
            system="crm",
            crosswalks={"region": DATED},
        )
    return list(caught.value.problems)


@pytest.mark.parametrize(
    ("sql", "what", "next_action"),
    [
        ("read_csv('/etc/passwd')", "read_csv() is not allowed", "crosswalk()"),
        ("read_parquet('x')", "read_parquet() is not allowed", "crosswalk()"),
        ("read_text('x')", "read_text() is not allowed", "crosswalk()"),
        ("glob('/*')", "glob() is not allowed", "crosswalk()"),
        ("SELECT 1", "cannot SELECT", "Use a crosswalk"),
        ("(SELECT t FROM other)", "cannot SELECT", "Use a crosswalk"),
        ("t IN (SELECT t FROM other)", "not a query", "IN ('a', 'b')"),
        ("EXISTS (SELECT 1)", "cannot SELECT", "Use a crosswalk"),
        ("t; DROP TABLE x", "without ';'", "one SQL scalar expression"),
        (";", "without ';'", "one SQL scalar expression"),
        ("PRAGMA database_list", "PRAGMA is not allowed", "one SQL scalar expression"),
        ("ATTACH 'x.db'", "ATTACH is not allowed", "one SQL scalar expression"),
        ("SET threads = 8", "SET is not allowed", "one SQL scalar expression"),
        ("COPY t TO 'x'", "COPY is not allowed", "one SQL scalar expression"),
        ("getenv('HOME')", "getenv() is not allowed", "nothing of the machine"),
        ("random()", "random() is not allowed", "same answer every time"),
        ("uuid()", "uuid() is not allowed", "record_key"),
        ("now()", "now() is not allowed", "a date field of the row"),
        ("current_date", "current_date() is not allowed", "a date field of the row"),
        ("today()", "is not allowed", "a date field of the row"),
        ("$1", "no parameters", "a field's name"),
        ("?", "no parameters", "a field's name"),
        ("nextval('s')", "there is no function nextval()", "expressions.md"),
        ("crosswlk('region', t)", "there is no function crosswlk()", "Did you mean crosswalk()?"),
        ("total / quantity", "'/' on decimals gives a binary number", "divide(a, b, places)"),
        ("1 / 2", "'/' on decimals", "divide(a, b, places)"),
        ("avg(n)", "avg() is not allowed", "divide(list_sum(list), len(list), 2)"),
        ("list_avg([x.amount for x in lines])", "list_avg() is not allowed", "divide("),
        ("round(n, 2)", "round() is not allowed", "round_to(x, places)"),
        ("n * 1e3", "1e3 is a binary number", "plain digits"),
        ("CAST(n AS DOUBLE)", "CAST to DOUBLE", "DECIMAL(22,6)"),
        ("t::JSON", "CAST to JSON is not allowed", "DECIMAL(width,scale)"),
        ("n ** 2", "powers give binary numbers", "Multiply"),
        ("n * m", "would need 36 decimals", "round_to(x, 6)"),
        ("sum(n)", "sum() is not allowed", "list_sum"),
        ("sum(n) OVER ()", "WINDOW is not allowed", "one SQL scalar expression"),
        ("COLUMNS('*')", "columns()", "expressions.md"),
        ("*", "STAR is not allowed", "one SQL scalar expression"),
        ("{'a': 1}", "not an object", "Nest the fields"),
        ("t AS u", "not from AS", "Remove the AS"),
        ("unnest(lines)", "there is no function", "expressions.md"),
        ("list_transform(lines, lambda x: x.amount)", "comprehension", "[x.amount for x in lines]"),
        ("", "the expression is empty", "or remove the field"),
        ("t +", "cannot read 't +' as SQL", "one SQL scalar expression"),
        ("(" * 5000 + "t" + ")" * 5000, "nested too deeply", "Split it"),
        ("t || '" + "x" * 70_000 + "'", "longer than 64 KB", "crosswalk"),
        # names
        ("Closedate", "there is no field Closedate in the source", "Did you mean CloseDate?"),
        ("Amuont", "there is no field Amuont", "The fields here are"),
        ("lines.amount", "there is no field amount in lines", "[x.amount for x in …]"),
        ("parent.t", "there is no field parent.t", "The fields here are"),
        ("[t.amount for t in lines]", "'t' already means something here", "Name the item x"),
        ("[x.amount for x in t]", "t is not a list", "Name a list"),
        # money
        ("total > 250000", "compared with the bare number 250000", "money(250000, 'EUR')"),
        ("250000 < total", "bare number 250000", "money(250000, 'EUR')"),
        ("total BETWEEN 1 AND 2", "bare number 1", "money(1, 'EUR')"),
        ("total IN (1, 2)", "bare number 1", "money(1, 'EUR')"),
        ("list_sum([x.amount for x in lines]) = 10 * 10", "bare number 10 * 10", "money("),
        ("CASE total WHEN 5 THEN 1 ELSE 2 END", "bare number 5", "money(5, 'EUR')"),
        ("greatest(total, 5)", "bare number 5", "money(5, 'EUR')"),
        ("fee > money(5, 'EUR')", "in which currency", "state money_in"),
        ("total > money(5, 'EURO')", "'EURO' is not a currency", "Did you mean 'EUR'?"),
        ("total * fee", "an amount is multiplied by an amount", "a quantity or a rate"),
        # our own functions
        ("divide(total, quantity)", "takes 3 values, not 2", "divide(a, b, places)"),
        ("divide(total, quantity, i)", "plain number of places from 0 to 10", "divide(total"),
        ("round_to(n, 9)", "plain number of places from 0 to 6", "round_to("),
        ("round_to(t, 2)", "not a number", "CAST(x AS DECIMAL(22,6))"),
        ("crosswalk(t, t)", "the name of a crosswalk in quotes", "crosswalk('region_entity'"),
        ("crosswalk('regoin', t)", "there is no crosswalk 'regoin'", "Did you mean 'region'?"),
        ("crosswalk('region', t)", "nothing says which date counts", "State `dated:`"),
        ("[xref('a', x.amount) || id_in('e', 'a', t) for x in lines]", "cannot stand", "`each`"),
        ("period(CloseDate)", "needs a legal entity", "period(date, legal_entity)"),
        # types
        ("t + n", "in 't + n'", "Cast one side"),
        ("year(t)", "in 'year(t)'", "Cast one side"),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else None,
)
def test_is_refused_with_place_and_advice(sql: str, what: str, next_action: str) -> None:
    found = problems(sql)
    assert all(str(one.place) == "mappings/test.yaml:12" for one in found)
    matching = [one for one in found if what in one.what]
    assert matching, [str(one) for one in found]
    assert any(next_action in one.next_action for one in matching), matching


@pytest.mark.parametrize(
    "sql",
    [
        "total > 0",
        "0 <= total",
        "total > money(250000, 'EUR')",
        "total = list_sum([x.amount for x in lines])",
        "n > 1000",
        "total - fee > 0",
        "total BETWEEN 0 AND money(5, 'EUR')",
    ],
)
def test_money_meets_money_and_zero_has_no_unit(sql: str) -> None:
    compile_mapping(inbound({"v": leaf(sql)}), FIELDS, None, system="crm")


def test_names_that_differ_only_in_case_are_refused() -> None:
    fields = (FieldType("Id", "text"), FieldType("Total", "amount"), FieldType("total", "amount"))
    with pytest.raises(BadLandscape, match="Total and total, which differ only in case"):
        compile_mapping(inbound({"v": leaf("Total")}), fields, None, system="crm")


def test_every_problem_is_reported_at_once() -> None:
    spec = inbound({"a": leaf("now()", 3), "b": leaf("nothing_here", 4), "c": leaf("1 / 2", 5)})
    with pytest.raises(BadLandscape) as caught:
        compile_mapping(spec, FIELDS, None, system="crm")
    assert [one.place.line for one in caught.value.problems] == [3, 4, 5]
