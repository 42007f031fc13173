"""Verbs for running a landscape: up, down, sync, doctor."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from tieout.cli import processes as children
from tieout.cli.doors import doors
from tieout.cli.processes import CONSOLE_PORT, Processes
from tieout.cli.programs import start_programs
from tieout.cli.shared import (
    STATE_FOLDER,
    ActorOption,
    EnvironmentOption,
    FolderOption,
    JsonOption,
    chosen_environment,
    database_url,
    landscape_folder,
    opened,
    operating_user,
    out,
    person,
)
from tieout.cli.telling import AnswerIsNo, NotAvailable, say_json, told, undisturbed
from tieout.cli.watching import RestAwaiter
from tieout.engine import trouble
from tieout.engine.context import Context
from tieout.engine.opening import load_checked
from tieout.engine.rest import progress
from tieout.store import audit, database, embedded

MOST_WORKERS = 64
LEAST_FREE_BYTES = 512 * 1024 * 1024
OPERATORS = ("operator", "administrator", "integration developer", "controller")


def register(application: typer.Typer) -> None:
    """Put these verbs on the command line."""
    application.command("up")(told(up))
    application.command("down")(told(down))
    application.command("sync")(told(sync))
    application.command("doctor")(told(doctor))


def up(
    folder: FolderOption = None,
    environment: EnvironmentOption = "",
    port: Annotated[int, typer.Option(help="Port of the console on 127.0.0.1.")] = CONSOLE_PORT,
    workers: Annotated[
        int, typer.Option(min=1, max=MOST_WORKERS, help="How many workers on this machine.")
    ] = 1,
    as_json: JsonOption = False,
) -> None:
    """Start everything: database, emulated systems, console, workers, watchdog, supervisor."""
    found = landscape_folder(folder)
    before = {one.name for one in Processes(found).all() if one.running}
    names = bring_up(found, environment, port, workers=workers, say=out(as_json).print)
    said = "Running already" if set(names) <= before else "Running"
    out(as_json).print(f"{said}: {', '.join(names)}")
    out(as_json).print(f"Console: http://127.0.0.1:{port}")
    out(as_json).print("`tieout down` stops it all; nothing is lost.")
    if as_json:
        say_json({"running": names, "console": f"http://127.0.0.1:{port}"})


def bring_up(
    folder: Path,
    environment: str,
    port: int,
    *,
    with_worker: bool = True,
    workers: int = 1,
    say: Callable[[str], None] = lambda words: None,
) -> list[str]:
    """Start the processes of a landscape; `say` hears what takes long. Raises BadLandscape,
    DatabaseUnfit, NotAvailable."""
    landscape, _ = load_checked(folder)
    environment = chosen_environment(landscape, environment)
    _refuse_full_disk(folder)
    running = Processes(folder)
    before = {one.name for one in running.all() if one.running}
    database_ran = _database_runs(folder)
    try:
        url = database_url(folder)
        database.prepare(url, landscape.name)
        with (
            database.Database(url, most_connections=1) as opened_database,
            opened_database.transaction() as connection,
        ):
            audit.action(connection, operating_user(), "up", {"environment": environment})
        children.start_emulators(running, landscape, environment)
        start_programs(running, landscape, environment, say)
        children.start_web(running, folder, environment, url, port)
        if with_worker:
            for number in range(1, workers + 1):
                name = children.worker_name(number)
                children.start_worker(running, folder, environment, url, name)
            children.start_watchdog(running, folder, environment, url)
            ours = not os.environ.get("TIEOUT_DATABASE_URL")
            children.start_supervisor(running, folder, url, embedded=ours)
    except BaseException:  # halfway up is worse than down: what this call started, it stops
        with undisturbed():
            running.stop_all(but=before)
            if not database_ran:
                _stop_database(folder)
        raise
    return [one.name for one in running.all() if one.running]


def down(folder: FolderOption = None, as_json: JsonOption = False) -> None:
    """Stop everything that `up` started on this machine."""
    found = landscape_folder(folder)
    stopped = bring_down(found)
    out(as_json).print(f"Stopped: {', '.join(stopped) or 'nothing was running'}")
    if as_json:
        say_json({"stopped": stopped})


def bring_down(folder: Path) -> list[str]:
    """Stop the processes, then the embedded database; returns what was stopped."""
    stopped = Processes(folder).stop_all()
    if _stop_database(folder):
        stopped.append("postgres")
    return stopped


def _database_runs(folder: Path) -> bool:
    state = folder / STATE_FOLDER
    return state.exists() and embedded.running(state) is not None


def _stop_database(folder: Path) -> bool:
    """Stop the embedded server; False when none ran or the database is not ours to stop."""
    state = folder / STATE_FOLDER
    return not os.environ.get("TIEOUT_DATABASE_URL") and state.exists() and embedded.stop(state)


def sync(
    folder: FolderOption = None,
    environment: EnvironmentOption = "",
    actor: ActorOption = "",
    wait: Annotated[float, typer.Option(help="Seconds to wait for rest at most.")] = 600.0,
    as_json: JsonOption = False,
) -> None:
    """Read every stream now and work until nothing is left but what waits for people.

    Works beside a running worker, or does the work itself when there is none.
    """
    found = landscape_folder(folder)
    with opened(found, environment, actor or operating_user()) as context:
        who = person(context.landscape, actor, OPERATORS)
        context.actor = who.name
        with context.database.transaction() as connection:
            audit.action(connection, who.name, "sync", {"environment": context.environment})
            trouble.ask_again(connection)
        awaiter = RestAwaiter(context, wait)
        rested = awaiter.work_until_rest(poll_first=True)
        with context.database.transaction() as connection:
            end = progress(connection)
            troubled = trouble.not_working(connection)
    out(as_json).print(
        f"{end.arrivals} arrivals, {end.records} record versions, {end.proofs} proofs, "
        f"{end.cases_open} open case(s)."
    )
    if as_json:
        say_json({**asdict(end), "at_rest": rested, "troubled_systems": troubled})
    if not rested or troubled:
        left = end.dispatches_open + end.arrivals_new + end.runs_moving
        raise AnswerIsNo(
            "\n".join(troubled)
            + f"\nnot finished after {wait:.0f} s: {left} piece(s) of work wait and are kept. "
            "`tieout doctor` looks at every system, `tieout cases` says who must act; "
            "then `tieout sync` again goes on."
        )


def doctor(
    folder: FolderOption = None,
    environment: EnvironmentOption = "",
    as_json: JsonOption = False,
) -> None:
    """Look at everything the landscape needs, and say what to mend."""
    found = landscape_folder(folder)
    findings: list[tuple[str, bool, str]] = []
    landscape, _ = load_checked(found)
    findings.append(("landscape", True, f"{landscape.name}, {landscape.content_hash[:12]}"))
    free = shutil.disk_usage(found).free
    findings.append(("disk", free >= LEAST_FREE_BYTES, f"{free // 1024**2:,} MiB free"))
    with opened(found, environment, operating_user()) as context:
        findings.append(("database", True, database.redacted(context.database.url)))
        for system in landscape.systems:
            health = _health(context, system)
            findings.append((system, health[0], health[1]))
        with context.database.transaction() as connection:
            findings += doors(context, connection)
    for one in Processes(found).all():
        findings.append((one.name, one.running, f"pid {one.pid}, log {one.log}"))
    for name, well, words in findings:
        out(as_json).print(f"{'[green]well[/]' if well else '[red]ILL [/]'}  {name}: {words}")
    if as_json:
        say_json([{"what": n, "well": w, "words": t} for n, w, t in findings])
    if not all(well for _, well, _ in findings):
        raise AnswerIsNo


def _health(context: Context, system: str) -> tuple[bool, str]:
    connector = context.connector(system)
    health = connector.check(context.session(system))
    words = health.words if health.well else f"{health.words}. {health.next_action}"
    return health.well, words


def _refuse_full_disk(folder: Path) -> None:
    free = shutil.disk_usage(folder).free
    if free < LEAST_FREE_BYTES:
        raise NotAvailable(
            f"only {free // 1024**2} MiB are free on the disk of {folder}; Tieout needs "
            f"{LEAST_FREE_BYTES // 1024**2} MiB to start. Free some and start again."
        )
