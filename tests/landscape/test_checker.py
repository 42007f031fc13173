"""Every refusal names the spot and the way out; what is right passes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.landscape.conftest import Break, connectors
from tieout.landscape.checker import check
from tieout.landscape.examples import example
from tieout.landscape.functions import callables, python_functions
from tieout.landscape.loader import load
from tieout.ports.registry import connectors as installed
from tieout.rules.place import BadLandscape, Place, Problem

RECONCILIATION = """\
reconciliation: balances
steward: accounting
by: [currency]
sides:
  salesforce:
    stream: Account
    key: Id
    sum: Balance
    dimensions: {currency: CurrencyIsoCode}
  netsuite:
    stream: customer
    also: [{stream: report, sign: -1}]
    key: id
    sum: balance
    dimensions: {currency: "'EUR'"}
"""


def test_the_template_checks_clean_with_fakes_and_with_the_installed(folder: Path) -> None:
    landscape = load(folder)
    assert check(landscape, connectors()) == []
    assert check(landscape, installed()) == []


def test_the_demo_checks_clean() -> None:
    assert check(load(example("quote_to_cash")), installed()) == []


def one(found: list[Problem], words: str) -> Problem:
    match = [problem for problem in found if words in problem.what]
    assert match, [str(problem) for problem in found]
    return match[0]


MAPPING = "mappings/customer.yaml"
FLOW = "flows/customers.yaml"


@pytest.mark.parametrize(
    ("file", "old", "new", "line", "words", "advice"),
    [
        # names that are not there
        (MAPPING, "from: salesforce.Account", "from: salesfore.Account", 1, "'salesfore'", "'sale"),
        (
            MAPPING,
            "from: salesforce.Account",
            "from: salesforce.Acount",
            1,
            "'Acount'",
            "'Account'",
        ),
        (MAPPING, "to: customer", "to: custmer", 1, "record type 'custmer'", "'customer'"),
        (MAPPING, "key: Id", "key: ID", 1, "the key ID", "Id"),
        (MAPPING, "country_entity", "contry_entity", 9, "crosswalk 'contry_entity'", "country_e"),
        (MAPPING, "  name: Name", "  nmae: Name", 7, "no field nmae", "name"),
        (MAPPING, "  name: Name\n", "", 1, "required field name", "name:"),
        (MAPPING, "  name: Name", "  name: Nmae", 7, "Nmae", "Name"),
        (
            FLOW,
            "as: customer_to_netsuite",
            "as: customer_to_netsute",
            5,
            "unknown mapping",
            "'cust",
        ),
        (FLOW, "salesforce.Account", "salesforce.Contact", 3, "'Contact'", "Account"),
        (FLOW, "write: customer", "write: product", 5, "is about 'product'", "write: customer"),
        (FLOW, "write: customer", "ensure: product", 5, "'to' is not a key", "in"),
        (
            "systems/systems.yaml",
            "connector: netsuite",
            "connector: netsweet",
            7,
            "'netsw",
            "'nets",
        ),
        ("systems/systems.yaml", "[Account]", "[Accounts]", 1, "'Accounts' is not", "'Account'"),
        ("systems/systems.yaml", "[Account]", "[Account, mailbox]", 1, "neither read", "Remove"),
        (
            "records/customer.yaml",
            "  salesforce:",
            "  salesfarce:",
            1,
            "unknown system 'salesf",
            "'sales",
        ),
        ("crosswalks/country_entity.csv", "y,MAIN", "y,MIAN", 3, "entity 'MIAN'", "'MAIN'"),
        (
            "policies/legal_entities.yaml",
            "calendar: calendar",
            "calendar: fiscal",
            1,
            "'fiscal'",
            "",
        ),
        (
            "environments/local.yaml",
            "account: 123",
            "acount: 123",
            11,
            "no setting 'account'",
            "it",
        ),
        ("environments/local.yaml", "token_id:", "tokenid:", 11, "secret 'tokenid'", "'token_id'"),
        ("environments/local.yaml", "  netsuite:", "  netsuit:", 11, "system 'netsuit'", "'netsu"),
        # SQL
        (
            MAPPING,
            "number: AccountNumber",
            "number: read_csv('/etc/passwd')",
            8,
            "read_csv",
            "cross",
        ),
        (MAPPING, "number: AccountNumber", 'number: "(SELECT 1)"', 8, "SELECT", "crosswalk"),
        ("records/customer.yaml", "len(number) > 0", "len(number) / 2 > 0", 7, "'/'", "divide("),
        (
            "records/customer.yaml",
            "len(number) > 0",
            "len(number)",
            7,
            "not a condition",
            "comparison",
        ),
        ("records/customer.yaml", "len(number)", "len(numbr)", 7, "no field numbr", "number"),
        (FLOW, "AccountNumber IS", "AcountNumber IS", 3, "AcountNumber", "AccountNumber"),
        (FLOW, "AccountNumber IS NOT NULL", "now() > Name", 3, "now()", "date field"),
    ],
)
def test_a_broken_landscape_is_refused_at_the_spot(
    problems_of: Break, file: str, old: str, new: str, line: int, words: str, advice: str
) -> None:
    problem = one(problems_of(file, old, new or "\n"), words)
    assert problem.place == Place(file, line)
    assert advice in problem.next_action


@pytest.mark.parametrize(
    ("old", "new", "whose", "advice"),
    [
        ("[name, number,", "[name,", "owned by no system", "owned: salesforce:"),
        ("force: [name, number", "force: [name]\n  netsuite: [number", "by netsuite, not", "owner"),
    ],
)
def test_an_unowned_field(problems_of: Break, old: str, new: str, whose: str, advice: str) -> None:
    problem = one(problems_of("records/customer.yaml", old, new), whose)
    assert problem.place == Place(MAPPING, 8)
    assert advice in problem.next_action


def test_a_dead_mapping(problems_of: Break) -> None:
    dead = "mapping: spare\nfrom: customer\nto: netsuite.customer\nversion: 1\nfields: {id: name}\n"
    problem = one(problems_of("mappings/spare.yaml", dead), "'spare' is dead")
    assert problem.place == Place("mappings/spare.yaml", 1)
    assert "as: spare" in problem.next_action


def test_a_mapping_of_a_stream_that_is_not_collected_is_dead_too(problems_of: Break) -> None:
    found = problems_of("systems/systems.yaml", "streams: [Account]", "streams: []")
    assert one(found, "'account_to_customer' is dead").place.line == 1
    assert one(found, "which is not collected").place == Place(FLOW, 3)


def test_a_write_that_cannot_be_found_or_made(folder: Path) -> None:
    from tests.landscape.conftest import CUSTOMER, BlindConnector

    blind = connectors()
    blind["netsuite"] = BlindConnector("netsuite", {"customer": CUSTOMER})
    problem = one(check(load(folder), blind), "cannot find what it wrote")
    assert problem.place == Place(FLOW, 5)
    assert "never proved" in problem.next_action


def test_a_write_to_a_stream_that_does_not_write(problems_of: Break) -> None:
    problem = one(problems_of(MAPPING, "to: netsuite.customer", "to: netsuite.report"), "cannot wr")
    assert problem.place == Place(FLOW, 5)
    assert "customer" in problem.next_action


def test_an_id_that_no_earlier_step_makes(problems_of: Break) -> None:
    found = problems_of(
        MAPPING,
        "entityId: number",
        "entityId: \"id_in('netsuite.customer', 'product', record_key)\"",
    )
    problem = one(found, "no earlier step makes it")
    assert problem.place == Place(FLOW, 5)
    assert "mappings/customer.yaml:18" in problem.what
    assert "ensures 'product'" in problem.next_action


def test_a_step_that_comes_too_late(tmp_path: Path) -> None:
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(example("quote_to_cash"), copy)
    path = copy / "flows/quote_to_cash.yaml"
    lines = path.read_text().splitlines()
    first = next(n for n, line in enumerate(lines) if "ensure: customer" in line)
    lines.append(lines.pop(first))
    path.write_text("\n".join(lines) + "\n")
    problem = one(check(load(copy), installed()), "no earlier step makes it")
    assert problem.next_action == "Move step 'customer_to_netsuite' before it"


def test_id_in_must_say_the_stream(problems_of: Break) -> None:
    found = problems_of(
        MAPPING, "entityId: number", "entityId: \"id_in('netsuite', 'customer', record_key)\""
    )
    assert one(found, "does not say the stream").place == Place(MAPPING, 18)


@pytest.mark.parametrize(
    ("old", "new", "line", "words", "advice"),
    [
        ("stream: Account", "stream: Acount", 6, "'Acount'", "'Account'"),
        ("  netsuite:", "  netsweet:", 11, "'netsweet'", "'netsuite'"),
        ("stream: customer", "stream: mailbox", 11, "cannot be read", "read afresh"),
        ("stream: report", "stream: reports", 12, "'reports'", "'report'"),
        ("sum: Balance", "sum: Balence", 8, "Balence", "Balance"),
        ("sum: Balance", "sum: Balance / 2", 8, "'/'", "divide("),
        ("sum: Balance", "sum: Name", 8, "is not an amount", "CAST"),
        ("key: id", "key: id\n    where: id", 14, "is not a boolean", "comparison"),
        ("key: id", "key: companyname", 13, "report: there is no field companyname", "id"),
        ("dimensions: {currency: \"'EUR'\"}", "each: lines", 11, "does not say its 'curr", "Add"),
        ("by: [currency]", "by: []", 9, "gives 'currency'", "by"),
        ("sign: -1", "sign: minus", 12, "'minus'", "-1"),
    ],
)
def test_a_broken_reconciliation(
    problems_of: Break, old: str, new: str, line: int, words: str, advice: str
) -> None:
    text = RECONCILIATION.replace(old, new, 1)
    assert text != RECONCILIATION
    problem = one(problems_of("reconciliations/balances.yaml", text), words)
    assert problem.place == Place("reconciliations/balances.yaml", line)
    assert advice in problem.next_action


def test_an_emulator_may_have_settings_of_its_own(problems_of: Break) -> None:
    more = "{closed_periods: 2020-06, base_url: http://127.0.0.1:18182"
    line = '{base_url: "http://127.0.0.1:18182"'
    assert problems_of("environments/local.yaml", line, more) == []


def test_a_good_reconciliation_passes(problems_of: Break) -> None:
    assert problems_of("reconciliations/balances.yaml", RECONCILIATION) == []


FUNCTIONS = "from decimal import Decimal\n\n\ndef half(x: Decimal) -> Decimal:\n    return x\n"


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ("from decimal", "import socket\nfrom decimal", 1, "imports 'socket'"),
        ("from decimal", "from os import path\nfrom decimal", 1, "imports 'os'"),
        ("from decimal", "import time\nfrom decimal", 1, "imports 'time'"),
        ("return x", "return open('/etc/passwd')", 5, "calls 'open'"),
        ("return x", "return x.__class__", 5, "calls '__class__'"),
        ("x: Decimal", "x: float", 4, "'float'"),
        ("x: Decimal", "x", 4, "has no type"),
        (" -> Decimal", "", 4, "the result of function 'half' has no type"),
        ("x: Decimal", "*x: Decimal", 4, "starred"),
        ("return x", "return (", 5, "is not Python"),
        ("x: Decimal", "x: Decimal | str", 4, "'Decimal | str'"),
        ("half", "round", 4, "the name of a function of expressions"),
        ("half", "lower", 4, "the name of a function of expressions"),
        ("half", "sqrt", 4, "the name of a function of SQL"),
        ("half", "Half", 4, "has capitals"),
        ("\n\ndef", "\nassert 1 > 2\ndef", 3, "fails to load"),
        ("\n\ndef", "\nraise SystemExit(0)\ndef", 3, "fails to load"),
        ("\n\ndef", "\nbe = open\ndef", 3, "calls 'open'"),
        ("\n\ndef", "\nbe = getattr\ndef", 3, "calls 'getattr'"),
        ("return x", "return x if hash('a') else x", 5, "calls 'hash'"),
        ("\n\ndef", "\nbe = __builtins__\ndef", 3, "calls '__builtins__'"),
        ("\n\ndef", "\nimport dataclasses as d; s = d.sys\ndef", 3, "'dataclasses.sys'"),
        ("\n\ndef", "\nfrom dataclasses import sys\ndef", 3, "'dataclasses.sys'"),
        ("\n\ndef", "\nimport collections.abc; c = collections._sys\ndef", 3, "_sys'"),
        ("\n\ndef", "\nimport datetime; n = datetime.datetime.now\ndef", 3, "calls 'now'"),
        ("\n\ndef", "\nfrom decimal import getcontext\ndef", 3, "calls 'getcontext'"),
        ("\n\ndef", "\nimport decimal; decimal.getcontext().prec = 3\ndef", 3, "'getcontext'"),
        ("    return x", "    global z; z = x\n    return x", 5, "keeps 'z'"),
        ("\n\ndef", "\ns = '{0.__globals__}'\ndef", 3, "calls '__'"),
        ("return x", "return " + "-" * 100_000 + "x", 1, "is not Python"),
    ],
)
def test_functions_are_typed_and_pure(
    problems_of: Break, old: str, new: str, line: int, words: str
) -> None:
    problem = one(problems_of("functions.py", FUNCTIONS.replace(old, new, 1)), words)
    assert problem.place == Place("functions.py", line)


def test_functions_are_loaded_by_path(folder: Path) -> None:
    from decimal import Decimal

    (folder / "functions.py").write_text(FUNCTIONS.replace("return x", "return x * 2"))
    assert load(folder).functions["half"].parameters == (("x", "Decimal"),)
    assert callables(folder)["half"](Decimal("1.10")) == Decimal("2.20")
    assert check(load(folder), connectors()) == []


def test_functions_may_use_all_of_what_they_may_import(folder: Path) -> None:
    source = (
        "import collections.abc\nimport datetime as dt\nimport re\n"
        "from decimal import ROUND_HALF_UP, Decimal, localcontext\n\n"
        "def cents(x: Decimal) -> Decimal:\n"
        "    with localcontext() as context:\n        context.prec = 50\n"
        "        return x.quantize(Decimal('0.01'), rounding=ROUND_HALF_UP)\n\n"
        "def quarter_of(day: dt.date) -> str:\n"
        "    assert isinstance((), collections.abc.Sequence)\n"
        "    return re.sub('Q0', 'Q4', f'Q{(day.month - 1) // 3}')\n"
    )
    (folder / "functions.py").write_text(source)
    assert set(load(folder).functions) == {"cents", "quarter_of"}


def test_functions_that_changed_after_the_landscape_was_read_do_not_run(folder: Path) -> None:
    """An approval covers the bytes that were read, not whatever stands there by now."""
    (folder / "functions.py").write_text(FUNCTIONS)
    landscape = load(folder)
    assert set(python_functions(landscape)) == {"half"}
    (folder / "functions.py").write_text(FUNCTIONS.replace("return x", "return x * 2"))
    with pytest.raises(BadLandscape, match="has changed"):
        python_functions(landscape)


def test_functions_of_another_file_are_not_linked_in(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere.py").write_text(FUNCTIONS)
    (folder / "functions.py").symlink_to(tmp_path / "elsewhere.py")
    with pytest.raises(BadLandscape, match="link"):
        callables(folder)


def test_expressions_call_functions_and_are_judged_by_their_types(
    folder: Path, problems_of: Break
) -> None:
    functions = "def tidy(name: str, city: str | None) -> str:\n    return name.strip()\n"
    (folder / "functions.py").write_text(functions)
    found = problems_of(MAPPING, "  name: Name", "  name: tidy(Name)")
    assert "tidy() takes 2 values, not 1" in one(found, "tidy").what
    assert problems_of(MAPPING, "tidy(Name)", "tidy(Name, NULL)") == []
    wrong = problems_of(MAPPING, "tidy(Name, NULL)", "tidy(Name, Balance)")
    assert "city is str | None, and is given DECIMAL(22,6)" in one(wrong, "tidy").what
