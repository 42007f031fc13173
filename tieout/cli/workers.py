"""Worker processes: the one that runs here, and a rolling restart of those on this machine."""

from __future__ import annotations

import gc
import os
import signal

import psycopg
import typer

from tieout import clock
from tieout.cli import processes as children
from tieout.cli.processes import Processes, log_tail
from tieout.cli.shared import (
    EnvironmentOption,
    FolderOption,
    JsonOption,
    chosen_environment,
    database_url,
    landscape_folder,
    operating_user,
    out,
)
from tieout.cli.supervisor import LEAVING
from tieout.cli.telling import AnswerIsNo, NotAvailable, say_json, told
from tieout.engine.context import Context
from tieout.engine.logs import BadLogLevel, event, start_logs
from tieout.engine.opening import open_context, renew
from tieout.engine.telemetry import start_tracing
from tieout.engine.worker import Tick, Worker
from tieout.landscape.loader import load
from tieout.landscape.stamp import stamp
from tieout.rules.place import BadLandscape
from tieout.store import audit, database
from tieout.store import workers as rows

RENEW_SECONDS = 1.0
START_SECONDS = 60.0
LOOK_SECONDS = 0.1
GARBAGE = (50_000, 10, 10)  # a batch makes many objects and few cycles: looking cost a fifth


def register(application: typer.Typer) -> None:
    """Put these verbs on the command line."""
    application.command("worker")(told(worker))
    application.command("restart")(told(restart))


def worker(
    folder: FolderOption = None,
    environment: EnvironmentOption = "",
    as_json: JsonOption = False,
) -> None:
    """Run one worker here until SIGTERM: on another host, or under your own service manager.

    Needs the landscape's folder and TIEOUT_DATABASE_URL; `tieout up` starts its own workers.
    """
    url = os.environ.get("TIEOUT_DATABASE_URL")
    if not url:
        raise NotAvailable("a worker needs TIEOUT_DATABASE_URL; start it with `tieout up`")
    stopping = False

    def stop(*_: object) -> None:
        nonlocal stopping
        stopping = True

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    try:
        start_logs("worker")
    except BadLogLevel as error:
        raise NotAvailable(str(error)) from None
    start_tracing("worker")
    found = landscape_folder(folder)
    chosen = chosen_environment(load(found), environment)
    with open_context(found, chosen, url, actor="worker") as context:
        look = _Renewer(context)
        gc.freeze()  # what is there by now stays: nobody looks through it again
        gc.set_threshold(*GARBAGE)
        Worker(context).run(lambda: stopping, look)
    if as_json:
        say_json({"stopped": os.getpid()})


def restart(
    folder: FolderOption = None,
    environment: EnvironmentOption = "",
    as_json: JsonOption = False,
) -> None:
    """Restart the workers of this machine one by one, without a gap: a new program, say.

    Each successor turns before its predecessor is told to go; that one finishes its tick and gives
    back its leases.
    """
    found = landscape_folder(folder)
    processes = Processes(found)
    names = [
        one.name
        for one in processes.all()
        if one.running and one.name.startswith("worker") and not one.name.endswith(LEAVING)
    ]
    if not names:
        raise AnswerIsNo("no worker runs on this machine; `tieout up` starts them")
    url = database_url(found)
    landscape = load(found)
    chosen = chosen_environment(landscape, environment)
    with (
        database.Database(url, most_connections=1) as opened,
        opened.transaction() as connection,
    ):
        audit.action(connection, operating_user(), "restart", {"workers": names})
    for name in names:
        succeed(processes, name, chosen, url)
        out(as_json).print(f"{name}: restarted")
    if as_json:
        say_json({"restarted": names})


def succeed(processes: Processes, name: str, environment: str, url: str) -> None:
    """Start a successor of one worker, wait until it turns, then stop the predecessor.

    Raises NotAvailable when the successor does not come up: the predecessor goes on then.
    """
    leaving = name + LEAVING
    processes.rename(name, leaving)
    new = children.start_worker(processes, processes.folder, environment, url, name)
    deadline = clock.monotonic() + START_SECONDS
    while not _turns(url, new.pid):
        if clock.monotonic() > deadline or processes.running(name) is None:
            tail = log_tail(processes.folder, name)
            processes.stop(name)
            processes.rename(leaving, name)
            raise NotAvailable(f"the successor of {name} did not come up; {tail}")
        clock.sleep(LOOK_SECONDS)
    processes.stop(leaving)


def _turns(url: str, pid: int) -> bool:
    """Whether the worker with this pid on this machine has finished a tick."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET ROLE tieout_app")
        return any(
            one.pid == pid and one.lives and one.stopped_at is None and one.ticks > 0
            for one in rows.seen(connection)
        )


class _Renewer:
    """Takes up a changed landscape between ticks; a broken one is refused and said once."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._looked_at = clock.monotonic()
        self._stamp = stamp(context.landscape.folder)

    def __call__(self, _: Tick) -> None:
        if clock.monotonic() - self._looked_at < RENEW_SECONDS:
            return
        self._looked_at = clock.monotonic()
        now = stamp(self._context.landscape.folder)
        if now == self._stamp:
            return
        self._stamp = now
        try:
            if renew(self._context):
                event("landscape in force", landscape=self._context.landscape.content_hash[:12])
        except BadLandscape as bad:
            for problem in bad.problems:
                event("changed landscape refused", level="error", why=str(problem))
