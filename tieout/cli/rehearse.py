"""The verb that rehearses a landscape: its own flows and mappings, in a world that lies, crashes
and repeats itself, on a database of its own that is gone afterwards."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)

from tieout import clock
from tieout.cli.shared import EnvironmentOption, FolderOption, JsonOption, landscape_folder, out
from tieout.cli.telling import AnswerIsNo, NotAvailable, NotUsable, say_json, told
from tieout.engine.opening import known_environment, load_checked
from tieout.store.embedded import EmbeddedPostgresError

if TYPE_CHECKING:  # production never needs the rehearsal: the verb loads it when it runs
    from tieout.rehearsal.many import Players
    from tieout.rehearsal.report import Asked
    from tieout.rehearsal.script import Script
    from tieout.rehearsal.shrink import Shrunk
    from tieout.rehearsal.verdict import Verdict

SEEDS = 200
HOURS = 24.0
MOST_SEEDS = 1_000_000
MOST_HOURS = 24.0 * 366
MOST_JOBS = 64
MOST_HALVINGS = 16


def register(application: typer.Typer) -> None:
    """Put this verb on the command line."""
    application.command("rehearse")(told(rehearse))


def rehearse(
    folder: FolderOption = None,
    environment: EnvironmentOption = "",
    seed: Annotated[
        int | None,
        typer.Option(
            min=0,
            show_default=False,
            help="Play this seed alone, or begin with it when --seeds is given as well.",
        ),
    ] = None,
    seeds: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=MOST_SEEDS,
            show_default=False,
            help=f"How many seeds to play; default: {SEEDS}.",
        ),
    ] = None,
    hours: Annotated[
        float, typer.Option(min=1.0, max=MOST_HOURS, help="How long the world of one seed lasts.")
    ] = HOURS,
    faults: Annotated[
        str,
        typer.Option(
            show_default=False,
            help="Only these kinds of trouble, separated by commas; none for a good day. "
            "Default: all; --list-faults shows them.",
        ),
    ] = "",
    halved: Annotated[
        int,
        typer.Option(
            min=0, max=MOST_HALVINGS, help="Halve each seed's events so often, as a report says it."
        ),
    ] = 0,
    jobs: Annotated[
        int, typer.Option(min=1, max=MOST_JOBS, help="How many processes play at once.")
    ] = 2,
    most_failures: Annotated[
        int, typer.Option(min=1, help="Stop when so many seeds have failed.")
    ] = 1,
    list_faults: Annotated[
        bool, typer.Option("--list-faults", help="Show every kind of trouble, and play nothing.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Play the landscape's flows on a private database against stand-ins for its systems while all
    sorts of trouble happen, and look at every promise. Touches no real system."""
    from tieout.rehearsal import report
    from tieout.rehearsal.script import draw

    if list_faults:
        _tell_faults(as_json)
        return
    chosen = _chosen(faults, report.NO_FAULTS)
    found = landscape_folder(folder)
    landscape, _ = load_checked(found)
    if environment:
        known_environment(landscape, environment)
    first = seed if seed is not None else 1
    count = seeds or (1 if seed is not None else SEEDS)
    asked = report.Asked(
        landscape=landscape.name,
        content_hash=landscape.content_hash,
        faults=chosen,
        seeds=count,
        hours=hours,
        halved=halved,
        options=_options(folder, environment),
    )

    def scripts() -> Iterator[Script]:
        for number in range(first, first + count):
            script = draw(number, chosen, hours)
            for _ in range(halved):
                script = script.halved()
            yield script

    console = out(as_json)
    with _players(found, environment, landscape.name, min(jobs, count)) as players:
        asked = replace(asked, described=players.described, left_out=players.left_out)
        with _bars(console) as bars:
            began = clock.monotonic()
            verdicts = _play_all(players, scripts(), asked, most_failures, bars)
            seconds = clock.monotonic() - began
            shrunk = _shrunk(players, verdicts, bars)
    ending = report.Told(asked, verdicts, shrunk, seconds)
    for line in report.words(ending):
        console.print(line, markup=False, soft_wrap=True)
    if as_json:
        say_json(report.as_json(ending))
    if ending.failed:
        raise AnswerIsNo


@contextlib.contextmanager
def _players(folder: Path, environment: str, name: str, jobs: int) -> Iterator[Players]:
    """Processes that are ready to play, over a server of their own. Raises NotUsable for what
    cannot be rehearsed, NotAvailable without a server."""
    from tieout.rehearsal import playing, server
    from tieout.rehearsal.many import CannotRehearse, Players

    try:
        with (
            server.private_server(name) as database,
            Players(playing.Playing(folder, environment, database), jobs) as players,
        ):
            yield players
    except CannotRehearse as reason:
        raise NotUsable(f"this landscape cannot be rehearsed: {reason}") from None
    except EmbeddedPostgresError as reason:
        raise NotAvailable(
            f"{reason}\nA rehearsal always starts a PostgreSQL of its own; it never uses the one "
            "that TIEOUT_DATABASE_URL names."
        ) from None


def _play_all(
    players: Players, scripts: Iterator[Script], asked: Asked, most_failures: int, bars: Progress
) -> tuple[Verdict, ...]:
    bar = bars.add_task("seeds", total=asked.seeds)
    return players.play_all(scripts, most_failures, lambda verdict: bars.advance(bar))


def _shrunk(players: Players, verdicts: tuple[Verdict, ...], bars: Progress) -> dict[int, Shrunk]:
    """The least that still fails, of every seed that failed. A seed that took its process with it
    is left as it is."""
    from tieout.rehearsal.shrink import MOST_PLAYS, shrink

    found = {}
    for verdict in verdicts:
        if verdict.held or verdict.died:
            continue
        bar = bars.add_task(f"shrinking {verdict.script.seed}", total=MOST_PLAYS)

        def play(script: Script, bar: TaskID = bar) -> Verdict:
            bars.advance(bar)
            return players.play(script)

        found[verdict.script.seed] = shrink(play, verdict)
    return found


def _bars(console: Console) -> Progress:
    """Progress on a terminal, nothing elsewhere."""
    return Progress(
        TextColumn("  {task.description:<18}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=console.quiet or not console.is_terminal,
    )


def _chosen(faults: str, none: str) -> frozenset[str]:
    """The kinds of trouble that may happen. Raises typer.BadParameter, which names them all."""
    from tieout.rehearsal.faults import chosen

    if faults.strip() == none:
        return frozenset()
    try:
        return chosen(faults)
    except ValueError as unknown:
        raise typer.BadParameter(f"--faults: {unknown}; or {none}") from None


def _options(folder: Path | None, environment: str) -> str:
    """What says which landscape, to be typed again."""
    parts = []
    if folder is not None:
        parts.append(f"--landscape {shlex.quote(str(folder))}")
    if environment:
        parts.append(f"--environment {shlex.quote(environment)}")
    return " ".join(parts)


def _tell_faults(as_json: bool) -> None:
    from tieout.rehearsal.coverage import aligned
    from tieout.rehearsal.faults import MENU

    for line in aligned([(one.name, one.words) for one in MENU.values()]):
        out(as_json).print(line, markup=False, soft_wrap=True)
    if as_json:
        say_json(
            {
                "faults": [
                    {"name": one.name, "where": one.where, "words": one.words}
                    for one in MENU.values()
                ]
            }
        )
