"""The cast: a landscape made ready to be rehearsed by one process, seed after seed.

What costs time is done once: loading and compiling, one database, one room for rules, the corpus of
rows that people make. The systems themselves are new for every seed.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from tieout.engine.compiled import Compiled, compile_landscape
from tieout.engine.opening import by_connector, connectors_of, keep_version, known_environment
from tieout.engine.telemetry import TALLY
from tieout.landscape.checker import check
from tieout.landscape.loader import load
from tieout.landscape.schema import EnvironmentSpec, Landscape
from tieout.ports.connector import Connector
from tieout.rehearsal.corpus import Corpus, gather
from tieout.rehearsal.faults import MENU
from tieout.rehearsal.line import Line, OnExchange, most_late_seconds
from tieout.rehearsal.people import People
from tieout.rehearsal.script import Script
from tieout.rehearsal.server import RehearsedDatabase, copy_database, wipe
from tieout.rehearsal.twins.base import Twin
from tieout.rehearsal.twins.casting import twin_of
from tieout.rehearsal.world import SeededWorld
from tieout.rules.place import BadLandscape
from tieout.rules.runner import Runner
from tieout.store.embedded import Embedded

ENVIRONMENT = "rehearsal"

_VERSION = re.compile(r"^(version:\s*)(\d+)", re.MULTILINE)


@dataclass(frozen=True)
class Played:
    """The systems of one seed, the lines to them, and those who work in them."""

    twins: Mapping[str, Twin]
    lines: Mapping[str, Line]
    people: People


@dataclass
class Cast:
    """See the module. `described` says of every system how it is played, and `left_out` what
    cannot be."""

    landscape: Landscape
    compiled: Compiled
    environment: str
    database: RehearsedDatabase
    runner: Runner
    corpus: Corpus
    real: Mapping[str, Connector]
    given: Mapping[str, EnvironmentSpec]  # by system, as the landscape's environment says
    described: tuple[str, ...]
    left_out: tuple[str, ...]
    _versions: dict[str, tuple[Landscape, Compiled]] = field(default_factory=dict)

    def wipe(self) -> None:
        """Forget the last seed, also what this process has counted and not yet written down."""
        TALLY.take()
        wipe(self.database.admin)
        keep_version(self.database, self.landscape, "rehearsal")

    def play(self, script: Script, world: SeededWorld, on_exchange: OnExchange) -> Played:
        """New systems for a seed, with the troubles that it has drawn."""
        twins: dict[str, Twin] = {}
        lines: dict[str, Line] = {}
        rates = {k: v for k, v in script.rates.items() if MENU[k].where == "line"}
        for system in sorted(self.real):
            spec = self.given[system]
            twin, connector = twin_of(
                system,
                self.landscape.systems[system],
                self.real[system],
                spec,
                folder=self.landscape.folder,
            )
            twins[system] = twin
            lines[system] = Line(
                twin,
                script.dice(f"line:{system}"),
                rates,
                late_seconds=most_late_seconds(connector.streams.values(), spec),
                on_exchange=on_exchange,
                world=world,
            )
        people = People(self.corpus, twins, script.dice("people"), script.rates)
        return Played(twins, lines, people)

    def other_version(self, current: Landscape) -> tuple[Landscape, Compiled]:
        """The landscape after somebody changed a mapping: another version, another hash; or the
        first one again, when the other one is in force."""
        if not self._versions:
            other, compiled = _changed(self.landscape, self.compiled.connectors)
            self._versions = {
                self.landscape.content_hash: (other, compiled),
                other.content_hash: (self.landscape, self.compiled),
            }
        return self._versions[current.content_hash]


@contextlib.contextmanager
def open_cast(folder: Path, environment: str, server: Embedded, name: str) -> Iterator[Cast]:
    """A landscape ready to be rehearsed, in a database of this name on the private server.

    `environment` "" is the first one that emulates a system, or else the first. Raises
    BadLandscape, UnknownEnvironment, UnknownConnector.
    """
    landscape = _loaded(folder)
    given = dict(landscape.environments[_chosen(landscape, environment)])
    real = connectors_of(landscape)
    connectors: dict[str, Connector] = {}
    described = []
    specs: dict[str, EnvironmentSpec] = {}
    for system, connector in sorted(real.items()):
        spec = given.get(system) or EnvironmentSpec({}, {}, ())
        given[system] = spec
        twin, connectors[system] = twin_of(
            system, landscape.systems[system], connector, spec, folder=landscape.folder
        )
        described.append(twin.described)
        played_as_itself = connectors[system] is connector
        specs[system] = spec if played_as_itself else replace(spec, settings={}, secrets={})
    landscape = replace(landscape, environments={**landscape.environments, ENVIRONMENT: specs})
    compiled = compile_landscape(landscape, connectors)
    corpus = gather(landscape, compiled)
    url = copy_database(server, name)
    with (
        RehearsedDatabase(url) as database,
        Runner() as runner,
    ):
        yield Cast(
            landscape=landscape,
            compiled=compiled,
            environment=ENVIRONMENT,
            database=database,
            runner=runner,
            corpus=corpus,
            real=real,
            given=given,
            described=tuple(described),
            left_out=corpus.left_out,
        )


def _loaded(folder: Path) -> Landscape:
    landscape = load(folder)
    problems = check(landscape, by_connector(landscape))
    if problems:
        raise BadLandscape(problems)
    return landscape


def _chosen(landscape: Landscape, environment: str) -> str:
    if environment:
        return known_environment(landscape, environment)
    emulating = [
        name
        for name, systems in sorted(landscape.environments.items())
        if any(one.emulate for one in systems.values())
    ]
    return (emulating or sorted(landscape.environments))[0]


def _changed(
    landscape: Landscape, connectors: Mapping[str, Connector]
) -> tuple[Landscape, Compiled]:
    """The same landscape with the version of its first mapping raised by one."""
    with tempfile.TemporaryDirectory(prefix="tieout-rehearsal-") as home:
        folder = Path(home) / landscape.folder.name
        shutil.copytree(landscape.folder, folder, ignore=shutil.ignore_patterns(".tieout"))
        for path in sorted((folder / "mappings").rglob("*.yaml")):
            text = path.read_text(encoding="utf-8")
            raised, count = _VERSION.subn(lambda m: f"{m[1]}{int(m[2]) + 1}", text, count=1)
            if count:
                path.write_text(raised, encoding="utf-8")
                break
        changed = replace(load(folder), environments=landscape.environments)
        return changed, compile_landscape(changed, connectors)
