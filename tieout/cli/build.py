"""Verbs for building a landscape: new, check, test."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tieout.cli.shared import FolderOption, JsonOption, landscape_folder, out
from tieout.cli.telling import AnswerIsNo, say_json, told
from tieout.engine.opening import by_connector
from tieout.landscape import template
from tieout.landscape.checker import check as check_landscape
from tieout.landscape.given_expected import run_tests
from tieout.landscape.loader import load
from tieout.rules.place import BadLandscape


def register(application: typer.Typer) -> None:
    """Put these verbs on the command line."""
    application.command("new")(told(new))
    application.command("check")(told(check))
    application.command("test")(told(run_landscape_tests))


def new(
    folder: Annotated[Path, typer.Argument(help="Folder to make; it must not hold files yet.")],
    name: Annotated[
        str, typer.Option(help="Name of the landscape; default: the folder's name.")
    ] = "",
    as_json: JsonOption = False,
) -> None:
    """Make a minimal landscape that passes `tieout check`."""
    written = template.new(folder, name or folder.resolve().name)
    out(as_json).print(f"A landscape in {folder}:")
    for path in written:
        out(as_json).print(f"  {path}", markup=False)
    out(as_json).print(f"Next: cd {folder} && tieout check")
    if as_json:
        say_json({"folder": str(folder), "files": [str(path) for path in written]})


def check(folder: FolderOption = None, as_json: JsonOption = False) -> None:
    """Judge the landscape: every mistake with file, line and what to do. Changes nothing."""
    found = landscape_folder(folder)
    try:
        landscape = load(found)
        problems = check_landscape(landscape, by_connector(landscape))
    except BadLandscape as bad:
        problems = list(bad.problems)
    for problem in problems:
        out(as_json).print(str(problem), markup=False, soft_wrap=True)
    if as_json:
        say_json(
            {
                "landscape": str(found),
                "passes": not problems,
                "problems": [
                    {
                        "file": one.place.file,
                        "line": one.place.line,
                        "what": one.what,
                        "next_action": one.next_action,
                    }
                    for one in problems
                ],
            }
        )
    if problems:
        raise AnswerIsNo("" if as_json else f"{len(problems)} problem(s).")
    out(as_json).print(f"{found.name}: no problems found.", style="green")


def run_landscape_tests(folder: FolderOption = None, as_json: JsonOption = False) -> None:
    """Run the landscape's own tests (tests/*.yaml): given records, expected documents."""
    landscape = load(landscape_folder(folder))
    results = run_tests(landscape, by_connector(landscape))
    for result in results:
        mark = "[green]passed[/]" if result.passed else "[red]FAILED[/]"
        out(as_json).print(f"{mark} {result.place}  {result.name}")
        for problem in result.problems:
            out(as_json).print(f"       {problem}", markup=False, soft_wrap=True)
    failed = [one for one in results if not one.passed]
    if as_json:
        say_json(
            {
                "passed": len(results) - len(failed),
                "failed": len(failed),
                "tests": [
                    {
                        "name": one.name,
                        "place": str(one.place),
                        "passed": one.passed,
                        "problems": [str(problem) for problem in one.problems],
                    }
                    for one in results
                ],
            }
        )
    if failed:
        raise AnswerIsNo("" if as_json else f"{len(failed)} of {len(results)} failed.")
    out(as_json).print(
        f"{len(results)} passed."
        if results
        else "This landscape has no tests yet: write tests/*.yaml."
    )
