"""The tests of a landscape run with the real rules, pass when right and say what differs."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.landscape.conftest import connectors
from tieout.landscape import given_expected
from tieout.landscape.examples import example
from tieout.landscape.given_expected import run_tests
from tieout.landscape.loader import load
from tieout.ports.registry import connectors as installed
from tieout.rules.place import BadLandscape

TEST = """\
test: an account
mapping: account_to_customer
given: {Id: "1", Name: Acme, AccountNumber: "00123", BillingCountry: Germany, CurrencyIsoCode: EUR}
expect: {name: Acme, number: "00123", legal_entity: MAIN, currency: EUR}
"""


def run(folder: Path, text: str) -> given_expected.TestResult:
    (folder / "tests/customer.yaml").write_text(text)
    (result,) = run_tests(load(folder), connectors())
    return result


def test_every_test_of_the_demo_passes_and_every_mapping_has_one() -> None:
    landscape = load(example("quote_to_cash"))
    results = run_tests(landscape, installed())
    assert [str(one) for result in results for one in result.problems] == []
    assert {result.mapping for result in results} == set(landscape.mappings)


def test_the_tests_of_a_new_landscape_pass(folder: Path) -> None:
    results = run_tests(load(folder), connectors())
    assert len(results) == 2
    assert all(result.passed for result in results)


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ("{name: Acme", "{name: Acne", 4, "'name' is 'Acme', expected 'Acne'"),
        ('number: "00123"', 'number: "123"', 4, "'number' is '00123', expected '123'"),
        ("currency: EUR}", "currency: EUR, city: Berlin}", 4, "'city' is absent"),
        ("BillingCountry: Germany", "BillingCountry: Atlantis", 1, "'legal_entity' failed"),
        ('"00123", Bill', "'', Bill", 1, "'number' failed"),
        ("legal_entity: MAIN", "legal_entity: [MAIN]", 4, "expected a table or list"),
    ],
)
def test_what_differs_is_said(folder: Path, old: str, new: str, line: int, words: str) -> None:
    result = run(folder, TEST.replace(old, new, 1))
    assert not result.passed
    match = [one for one in result.problems if words in one.what]
    assert match, result.problems
    assert (match[0].place.file, match[0].place.line) == ("tests/customer.yaml", line)


def test_an_error_that_does_not_come_fails_the_test(folder: Path) -> None:
    result = run(folder, TEST + "errors: [currency]\n")
    assert [one.what for one in result.problems] == [
        "field 'currency' should have failed and did not"
    ]


def test_controls_are_run_and_named(folder: Path) -> None:
    record = folder / "records/customer.yaml"
    record.write_text(record.read_text().replace("len(number) > 0", "len(number) > 10"))
    result = run(folder, TEST)
    assert "control 'has_number' failed: The ERP finds" in result.problems[0].what
    assert run(folder, TEST + "controls: [has_number]\n").passed


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (TEST.replace("account_to_customer", "acount_to_customer"), "unknown mapping"),
        (TEST.replace("expect:", "expekt:"), "'expekt' is not a key"),
        ("test: a\nmapping: account_to_customer\ngiven: {Id: a}\n", "expects nothing"),
        ("- a\n", "is not a test"),
        (TEST + "rates: {USD/EUR: x}\n", "rate 'x'"),
    ],
)
def test_a_bad_test_file_is_refused(folder: Path, text: str, words: str) -> None:
    (folder / "tests/customer.yaml").write_text(text)
    with pytest.raises(BadLandscape) as caught:
        run_tests(load(folder), connectors())
    assert any(words in one.what for one in caught.value.problems)
