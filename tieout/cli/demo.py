"""The demo: Northwind's orders from an emulated CRM to the ERP and the plan, with real troubles."""

from __future__ import annotations

import re
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from tieout.cli.processes import CONSOLE_PORT
from tieout.cli.running import bring_down
from tieout.cli.shared import STATE_FOLDER, JsonOption, out
from tieout.cli.stage import LocalStage
from tieout.cli.telling import AnswerIsNo, say_json, told
from tieout.cli.work import print_tie_outs
from tieout.landscape.examples import example
from tieout.store import embedded

NORTHWIND = "quote_to_cash"
FIRST_MONTH = "2020-07"
DEMO_FOLDER = Path(".demo")
SEED = 7


def register(application: typer.Typer) -> None:
    """Put this verb on the command line."""
    application.command("demo")(told(demo))


def demo(
    erp: Annotated[
        str, typer.Option(help="netsuite (emulated) or tryton (a real ERP, installed beside).")
    ] = "netsuite",
    all_orders: Annotated[
        bool, typer.Option("--all", help="With tryton: every order, not one month.")
    ] = False,
    month: Annotated[str, typer.Option(help="Only this month's orders, such as 2020-07.")] = "",
    fix: Annotated[
        bool, typer.Option("--fix", help="Afterwards mend the data and replay the cases.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Draws the troubles; same seed, same troubles.")] = SEED,
    folder: Annotated[
        Path, typer.Option(help="Where the demo works; an earlier demo there is replaced.")
    ] = DEMO_FOLDER,
    port: Annotated[
        int, typer.Option(help="First of four ports on 127.0.0.1: console, CRM, ERP, plan.")
    ] = CONSOLE_PORT,
    as_json: JsonOption = False,
) -> None:
    """Run quote-to-cash on Northwind's orders and prove that it ties out."""
    from tieout.rehearsal.northwind.story import Story  # production never needs it

    if erp not in {"netsuite", "tryton"}:
        raise typer.BadParameter("--erp is netsuite or tryton")
    name = NORTHWIND if erp == "netsuite" else f"{NORTHWIND}_{erp}"
    if erp == "tryton" and not (all_orders or month):
        month = FIRST_MONTH
    landscape = fresh_copy(example(name), folder / name, port)
    story = Story(
        landscape,
        data=example(NORTHWIND) / "data",
        environment="demo",
        month=month,
        seed=seed,
        console=out(as_json),
        print_tie_outs=lambda found: print_tie_outs(out(as_json), found),
        stage=LocalStage(
            landscape,
            "demo",
            port,
            "make up" if erp == "netsuite" else f"make up ERP={erp}",
            out(as_json).print,
        ),
    )
    ending = story.tell(fix=fix)
    if as_json:
        say_json(asdict(ending))
    if not ending.as_expected:
        raise AnswerIsNo("The demo did not end as it should: see the tie-outs above.")


def fresh_copy(source: Path, target: Path, port: int) -> Path:
    """A working copy of an example landscape, on the wanted ports; replaces an earlier one.

    Refuses a folder that holds anything else than an earlier demo.
    """
    if target.exists():
        if not (target / "landscape.yaml").is_file():
            raise typer.BadParameter(f"{target} exists and is no landscape; name another --folder")
        bring_down(target)
        if (target / STATE_FOLDER).exists():
            embedded.erase(target / STATE_FOLDER)
        shutil.rmtree(target)
    shutil.copytree(source, target, ignore=shutil.ignore_patterns(".tieout", "__pycache__"))
    if port != CONSOLE_PORT:
        for path in (target / "environments").glob("*.yaml"):
            text = path.read_text(encoding="utf-8")
            moved = re.sub(
                r"(?<=127\.0\.0\.1:)\d+",
                lambda found: str(int(found[0]) - CONSOLE_PORT + port),
                text,
            )
            path.write_text(moved, encoding="utf-8")
    return target.resolve()
