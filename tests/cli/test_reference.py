"""The published pages of the command line say what the command line does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from tieout.cli import telling
from tieout.cli.app import application
from tieout.cli.reference import commands, document, exit_codes, main
from tieout.cli.telling import EXIT_CODES, AnswerIsNo, NotAvailable, NotPermitted, told
from tieout.rules.place import BadLandscape

PUBLISHED = Path(__file__).parents[2] / "docs" / "reference"
AGAIN = "run: python -m tieout.cli.reference docs/reference"


def test_the_published_pages_are_current() -> None:
    assert (PUBLISHED / "cli.md").read_text(encoding="utf-8") == document(), AGAIN
    assert (PUBLISHED / "exit_codes.md").read_text(encoding="utf-8") == exit_codes(), AGAIN


def test_a_changed_page_would_be_noticed(tmp_path: Path) -> None:
    main([str(tmp_path)])
    assert (tmp_path / "cli.md").read_text(encoding="utf-8") == document()
    (tmp_path / "cli.md").write_text(document().replace("--json", "--yaml"), encoding="utf-8")
    assert (tmp_path / "cli.md").read_text(encoding="utf-8") != document()


def test_every_verb_and_option_is_on_the_page() -> None:
    page = document()
    wanted = {"new", "check", "test", "up", "down", "sync", "show", "cases", "replay", "reconcile"}
    assert wanted | {"demo", "doctor"} <= set(commands())
    for name, command in commands().items():
        assert f"## tieout {name}\n" in page
        assert command.help, f"{name} says nothing about itself"
        for parameter in command.params:
            if parameter.param_type_name == "option":
                assert getattr(parameter, "help", ""), f"{name} {parameter.name} has no help"


def test_every_verb_answers_in_json() -> None:
    for name, command in commands().items():
        options = {option for one in command.params for option in one.opts}
        assert "--json" in options, name


def test_the_codes_of_the_docstring_are_the_codes() -> None:
    written = {int(code) for code in re.findall(r"(?:^|· )(\d+) ", telling.__doc__ or "", re.M)}
    assert written == set(EXIT_CODES)


@pytest.mark.parametrize(
    ("trouble", "code"),
    [
        (AnswerIsNo("no"), 1),
        (NotPermitted("ask omar"), 4),
        (NotAvailable("gone"), 5),
        (BadLandscape(()), 3),
        (OSError(28, "No space left on device", "/data/x"), 5),
        (TimeoutError("the demo did not come to rest"), 5),
        (KeyboardInterrupt(), 130),
    ],
)
def test_each_trouble_has_its_code_and_words(
    trouble: BaseException, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails() -> None:
        raise trouble

    with pytest.raises(typer.Exit) as ended:
        told(fails)()
    assert ended.value.exit_code == code
    said = capsys.readouterr().err
    assert said.strip()
    assert "Traceback" not in said
    if isinstance(trouble, TimeoutError):
        assert "the machine refused" not in said


def test_a_defect_is_not_dressed_up() -> None:
    def broken() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        told(broken)()


def test_wrong_usage_is_two() -> None:
    assert CliRunner().invoke(application, ["replay", "--no-such-option"]).exit_code == 2
