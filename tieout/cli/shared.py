"""What the verbs share: options, the landscape folder, the database, who is acting."""

from __future__ import annotations

import contextlib
import getpass
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import psycopg
import typer
from psycopg import sql
from rich.console import Console

from tieout.cli.telling import NotPermitted
from tieout.engine.context import Context
from tieout.engine.opening import known_environment, open_context
from tieout.landscape.loader import load
from tieout.landscape.schema import Landscape, Person
from tieout.store import database, embedded

DATABASE = "tieout"
PLAIN_WIDTH = 120
STATE_FOLDER = ".tieout"

FolderOption = Annotated[
    Path | None,
    typer.Option(
        "--landscape",
        "-l",
        envvar="TIEOUT_LANDSCAPE",
        show_default=False,
        help="Folder of the landscape; default: the nearest one above.",
    ),
]
EnvironmentOption = Annotated[
    str,
    typer.Option(
        "--environment",
        "-e",
        envvar="TIEOUT_ENVIRONMENT",
        show_default=False,
        help="Environment of the landscape; default: the only one, else demo.",
    ),
]
ActorOption = Annotated[
    str,
    typer.Option(
        "--as",
        envvar="TIEOUT_ACTOR",
        show_default=False,
        help="Who acts: a person of policies/people.yaml.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Answer with one JSON object.")]


def out(as_json: bool) -> Console:
    """Where words for people go; nowhere when a machine listens. A pipe or file is 120 wide."""
    return Console(
        highlight=False, quiet=as_json, width=None if sys.stdout.isatty() else PLAIN_WIDTH
    )


def landscape_folder(given: Path | None) -> Path:
    """The landscape's folder: as given, else the nearest folder above with a landscape.yaml."""
    if given is not None:
        if not (given / "landscape.yaml").is_file():
            raise typer.BadParameter(
                f"{given} holds no landscape.yaml; `tieout new {given}` makes a landscape"
            )
        return given.resolve()
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / "landscape.yaml").is_file():
            return folder
    raise typer.BadParameter(
        "no landscape.yaml here or above; go into a landscape's folder, name one with "
        "--landscape, or make one with `tieout new FOLDER`"
    )


def database_url(folder: Path) -> str:
    """The landscape's database: TIEOUT_DATABASE_URL, else the embedded server, started if needed.

    Raises DatabaseUnfit, EmbeddedPostgresError.
    """
    given = os.environ.get("TIEOUT_DATABASE_URL")
    if given:
        return given
    state = folder / STATE_FOLDER
    state.mkdir(exist_ok=True)
    server = embedded.start(state)
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        row = connection.execute(
            "SELECT EXISTS (SELECT FROM pg_database WHERE datname = %s)", (DATABASE,)
        ).fetchone()
        if not row or not row[0]:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))
    return server.url(DATABASE)


@contextlib.contextmanager
def opened(folder: Path, environment: str, actor: str) -> Iterator[Context]:
    """A context over the landscape's prepared database; stops an embedded server it started."""
    state = folder / STATE_FOLDER
    ran_before = embedded.running(state) is not None if state.exists() else False
    url = database_url(folder)
    try:
        landscape = load(folder)
        database.prepare(url, landscape.name)
        chosen = chosen_environment(landscape, environment)
        with open_context(folder, chosen, url, actor=actor) as context:
            yield context
    finally:
        if not ran_before and not os.environ.get("TIEOUT_DATABASE_URL"):
            embedded.stop(state)


def chosen_environment(landscape: Landscape, given: str) -> str:
    """The environment to work in: as given, else the only one, else the demo's.

    Raises UnknownEnvironment, which lists the ones there are.
    """
    name = given or (next(iter(landscape.environments)) if len(landscape.environments) == 1 else "")
    return known_environment(landscape, name or "demo")


def person(landscape: Landscape, given: str, roles: tuple[str, ...]) -> Person:
    """Who acts, if that person may: `roles` empty means every person may. Raises NotPermitted.

    Without --as the login name counts, when it is one of the landscape's people.
    """
    name = given or getpass.getuser()
    found = landscape.people.get(name)
    if found is None:
        people = ", ".join(
            f"{one.name} ({', '.join(one.roles)})" for one in landscape.people.values()
        )
        raise NotPermitted(
            f"'{name}' is not among the people of this landscape (policies/people.yaml); "
            f"say who acts with --as. There are: {people or 'none yet'}"
        )
    if roles and not set(roles) & set(found.roles):
        may = ", ".join(
            one.name for one in landscape.people.values() if set(roles) & set(one.roles)
        )
        raise NotPermitted(
            f"{found.title} is {', '.join(found.roles)}; this needs {' or '.join(roles)}. "
            f"Ask: {may or 'nobody has that role yet'}"
        )
    return found


def operating_user() -> str:
    """Who runs the machine's processes, for verbs that touch no finance data."""
    return f"os:{getpass.getuser()}"
