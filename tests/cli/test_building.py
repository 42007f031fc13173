"""new, check and test: what an integration engineer types first."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from tests.processes.commands import tieout
from tieout import __version__
from tieout.cli.app import application
from tieout.cli.telling import LANDSCAPE, NO, USAGE
from tieout.landscape.examples import example

ORDERS = "mappings/opportunity_to_sales_order.yaml"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(application, [str(one) for one in arguments])


def last_json(done: Result) -> Any:
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture
def demo(tmp_path: Path) -> Path:
    """A copy of the demo's landscape, to break."""
    folder = tmp_path / "quote_to_cash"
    shutil.copytree(example("quote_to_cash"), folder, ignore=shutil.ignore_patterns(".tieout"))
    return folder


def replace(folder: Path, file: str, old: str, new: str) -> int:
    """Write `new` over `old`; returns the line it stands on."""
    path = folder / file
    text = path.read_text(encoding="utf-8")
    assert old in text, f"{file} does not hold {old!r}"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    return text[: text.index(old)].count("\n") + 1


def test_the_version_is_told() -> None:
    done = tieout("--version")
    assert (done.code, done.out.strip()) == (0, f"tieout {__version__}")


def test_help_names_every_verb() -> None:
    told = run("--help").stdout
    verbs = ("new", "check", "test", "up", "down", "sync", "show", "cases", "replay", "worker")
    for verb in verbs:
        assert f" {verb} " in told


def test_a_new_landscape_checks_clean_and_its_tests_pass(tmp_path: Path) -> None:
    folder = tmp_path / "acme"
    made = run("new", folder, "--json")
    assert made.exit_code == 0, made.output
    assert str(folder / "landscape.yaml") in last_json(made)["files"]
    checked = run("check", "--landscape", folder, "--json")
    assert (checked.exit_code, last_json(checked)["passes"]) == (0, True)
    assert run("test", "--landscape", folder).exit_code == 0


def test_a_new_landscape_never_overwrites(tmp_path: Path) -> None:
    (tmp_path / "precious.txt").write_text("mine")
    done = run("new", tmp_path)
    assert done.exit_code == USAGE
    assert "choose another folder" in done.stderr.replace("\n", " ")
    assert [path.name for path in tmp_path.iterdir()] == ["precious.txt"]


def test_a_name_that_is_none_is_refused(tmp_path: Path) -> None:
    done = run("new", tmp_path / "x", "--name", "9 lives")
    assert done.exit_code == USAGE
    assert "letters, digits and underscores" in done.stderr.replace("\n", " ")
    assert not (tmp_path / "x").exists()


def test_no_landscape_says_how_to_make_one(tmp_path: Path) -> None:
    done = run("check", "--landscape", tmp_path)
    assert done.exit_code == USAGE
    assert "tieout new" in done.stderr


def test_the_demo_checks_clean_and_passes_its_tests(demo: Path) -> None:
    checked = run("check", "--landscape", demo)
    assert (checked.exit_code, "no problems found" in checked.stdout) == (0, True)
    tested = run("test", "--landscape", demo, "--json")
    assert tested.exit_code == 0, tested.output
    assert last_json(tested)["failed"] == 0 < last_json(tested)["passed"]


def test_a_failing_landscape_test_is_told_with_its_place(demo: Path) -> None:
    replace(demo, ORDERS, "round_to(Amount, 2)", "round_to(Amount, 2) + 1")
    done = run("test", "--landscape", demo, "--json")
    assert done.exit_code == NO
    failed = [one for one in last_json(done)["tests"] if not one["passed"]]
    assert failed
    assert all(one["problems"] and one["place"].startswith("tests/") for one in failed)


BROKEN = {
    "unknown field": (ORDERS, "UnitPrice, 4", "UnitPrise, 4", "UnitPrise", "UnitPrice"),
    "unowned field": (
        "records/records.yaml",
        "[name, number, legal_entity, currency, country, city]",
        "[name, number, legal_entity, currency, country]",
        "city",
        "own",
    ),
    "duplicate key": (
        ORDERS,
        "  total: ",
        "  number: Order_Number__c\n  total: ",
        "number",
        "",
    ),
    "a file read by SQL": (
        ORDERS,
        "round_to(Amount, 2)",
        "(SELECT 1 FROM read_csv('/etc/passwd'))",
        "",
        "",
    ),
    "a bare / on money": (ORDERS, "round_to(Amount, 2)", "Amount / 2", "/", "divide("),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_landscape_is_refused_with_place_and_advice(name: str, demo: Path) -> None:
    file, old, new, what, advice = BROKEN[name]
    line = replace(demo, file, old, new)
    if name == "unowned field":  # told where it is set: that line must change, or an owner be named
        file = "mappings/account_to_customer.yaml"
        line = replace(demo, file, "  city:", "  city:")
    done = run("check", "--landscape", demo, "--json")
    assert done.exit_code == NO, done.output
    problems = last_json(done)["problems"]
    here = [one for one in problems if one["file"] == file and abs(one["line"] - line) <= 1]
    assert here, problems
    assert any(what in one["what"] for one in here)
    assert all(one["next_action"] for one in here)
    assert any(advice in one["next_action"] + one["what"] for one in here)
    for_people = run("check", "--landscape", demo)
    assert for_people.exit_code == NO
    assert f"{file}:{here[0]['line']}" in for_people.stdout


def test_a_dead_mapping_is_refused(demo: Path) -> None:
    (demo / "mappings" / "unused.yaml").write_text(
        (demo / "mappings" / "product_to_netsuite.yaml")
        .read_text(encoding="utf-8")
        .replace("mapping: product_to_netsuite", "mapping: nobody_asks_for_it", 1)
    )
    done = run("check", "--landscape", demo, "--json")
    assert done.exit_code == NO
    dead = [one for one in last_json(done)["problems"] if one["file"] == "mappings/unused.yaml"]
    assert dead
    assert "nobody_asks_for_it" in dead[0]["what"]
    assert dead[0]["next_action"]


def test_a_write_to_a_system_without_find_is_refused(demo: Path, tmp_path: Path) -> None:
    """With a connector that is really installed, beside the others, and cannot read back."""
    (tmp_path / "blind.py").write_text(
        "from tieout.connectors.netsuite import CONNECTOR as SEEING\n\n\n"
        "class Blind:\n"
        "    name = 'blind'\n    title = 'Blind ERP'\n"
        "    streams = SEEING.streams\n    errors = SEEING.errors\n"
        "    settings = SEEING.settings\n    secrets = SEEING.secrets\n"
        "    check = SEEING.check\n    write = SEEING.write\n    read = SEEING.read\n\n\n"
        "CONNECTOR = Blind()\n"
    )
    info = tmp_path / "blind-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: blind\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[tieout.connectors]\nblind = blind:CONNECTOR\n")
    replace(demo, "systems/systems.yaml", "connector: netsuite", "connector: blind")
    path = os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    done = tieout("check", "--json", folder=demo, PYTHONPATH=path)
    assert done.code == NO, done.err
    said = [one for one in done.json["problems"] if "find what it wrote" in one["what"]]
    assert said, done.json["problems"]
    assert said[0]["file"].startswith("flows/")
    assert said[0]["line"] > 0


def test_a_broken_landscape_stops_every_other_verb_with_its_own_code(demo: Path) -> None:
    replace(demo, ORDERS, "round_to(Amount, 2)", "Amount / 2")
    done = run("sync", "--landscape", demo)
    assert done.exit_code == LANDSCAPE
    assert f"{ORDERS}:" in done.stderr
    assert "nothing was changed" in done.stderr


def test_an_environment_that_is_not_there_lists_those_that_are(demo: Path) -> None:
    done = run("up", "--landscape", demo, "--environment", "production")
    assert done.exit_code == LANDSCAPE
    assert "it has: demo" in done.stderr
