"""Opens a context: a landscape folder and a database become something that can work."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from tieout import clock
from tieout.engine.compiled import Compiled, compile_landscape
from tieout.engine.context import Context
from tieout.landscape.checker import check
from tieout.landscape.loader import load
from tieout.landscape.schema import Landscape
from tieout.ports.connector import Connector
from tieout.ports.declared import speaking
from tieout.ports.http import Transport
from tieout.ports.registry import connector as connector_named
from tieout.rules.place import BadLandscape
from tieout.rules.runner import Runner
from tieout.store.database import Database


class UnknownEnvironment(Exception):
    """The landscape has no environment of this name. Lists the ones it has."""


def connectors_of(landscape: Landscape) -> Mapping[str, Connector]:
    """The connector of every system, with the streams that the landscape declares for it. Raises
    UnknownConnector, BadLandscape."""
    return {
        name: speaking(connector_named(spec.connector), spec.interfaces)
        for name, spec in landscape.systems.items()
    }


def by_connector(landscape: Landscape) -> Mapping[str, Connector]:
    """The connectors that a landscape uses, under their own names, as `check` asks for them.
    Raises UnknownConnector."""
    names = sorted({spec.connector for spec in landscape.systems.values()})
    return {name: connector_named(name) for name in names}


def load_checked(folder: Path) -> tuple[Landscape, Compiled]:
    """Load, check and compile a landscape. Raises BadLandscape with every problem."""
    landscape = load(folder)
    problems = check(landscape, by_connector(landscape))
    if problems:
        raise BadLandscape(problems)
    return landscape, compile_landscape(landscape, connectors_of(landscape))


@contextlib.contextmanager
def open_context(
    folder: Path,
    environment: str,
    database_url: str,
    *,
    actor: str,
    transports: Mapping[str, Transport] | None = None,
    most_connections: int = 4,
) -> Iterator[Context]:
    """A context over a prepared database; closed on leaving.

    Raises BadLandscape, UnknownEnvironment, DatabaseUnfit.
    """
    landscape, compiled = load_checked(folder)
    known_environment(landscape, environment)
    with (
        Database(database_url, most_connections=most_connections) as database,
        Runner() as runner,
    ):
        keep_version(database, landscape, actor)
        context = Context(
            landscape=landscape,
            environment=environment,
            database=database,
            compiled=compiled,
            runner=runner,
            actor=actor,
            transports=transports or {},
        )
        with contextlib.closing(context):
            yield context


def known_environment(landscape: Landscape, name: str) -> str:
    """The environment's name, if the landscape has it. Raises UnknownEnvironment."""
    if name not in landscape.environments:
        raise UnknownEnvironment(
            f"the landscape '{landscape.name}' has no environment '{name}'; it has: "
            f"{', '.join(sorted(landscape.environments)) or 'none'}"
        )
    return name


def keep_version(database: Database, landscape: Landscape, actor: str) -> None:
    """Remember this state of the landscape, whole, under its content hash."""
    files = {
        str(path.relative_to(landscape.folder)): path.read_text(encoding="utf-8")
        for path in sorted(landscape.folder.rglob("*"))
        if path.is_file()
        and path.suffix in {".yaml", ".py"} | {".csv"}
        and not {".tieout", "environments", "data"} & set(path.relative_to(landscape.folder).parts)
    }
    with database.transaction() as connection:
        connection.execute(
            "INSERT INTO landscape_versions (content_hash, first_seen_at, first_seen_by, files) "
            "VALUES (%s, %s, %s, %s) ON CONFLICT (content_hash) DO NOTHING",
            (landscape.content_hash, clock.now(), actor, json.dumps(files, sort_keys=True)),
        )


def renew(context: Context) -> bool:
    """Take up a landscape whose files have changed; False when they have not.

    Called between ticks, never inside one. Raises BadLandscape: then the old state stays in force.
    """
    if load(context.landscape.folder).content_hash == context.landscape.content_hash:
        return False
    landscape, compiled = load_checked(context.landscape.folder)
    keep_version(context.database, landscape, context.actor)
    context.landscape, context.compiled = landscape, compiled
    return True
