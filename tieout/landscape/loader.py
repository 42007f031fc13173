"""Loads a landscape folder into one typed, immutable value, or says everything that is wrong.

The folder is code: reviewed, approved by content hash, promoted unchanged from one environment
to the next. Environments hold endpoints, secret references and limits, and are not hashed.
"""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Protocol, TypeVar

from tieout.landscape import functions
from tieout.landscape.load_flows import load_flow
from tieout.landscape.load_mappings import CROSSWALK_COLUMNS, load_crosswalk, load_mapping
from tieout.landscape.load_policies import load_calendar, load_legal_entities, load_people
from tieout.landscape.load_reconciliations import load_reconciliation
from tieout.landscape.load_records import load_record
from tieout.landscape.load_retention import load_retention
from tieout.landscape.load_service_levels import load_alerts
from tieout.landscape.load_systems import load_environment, load_root, load_system
from tieout.landscape.reader import Node, Table, read_bytes, read_csv, read_yaml
from tieout.landscape.record_types import canonical_record_types
from tieout.landscape.retention import RETENTION_FILE, RetentionSpec
from tieout.landscape.schema import (
    CalendarSpec,
    EnvironmentSpec,
    FunctionSpec,
    Landscape,
    LegalEntity,
    Person,
    RatesSpec,
)
from tieout.landscape.service_levels import ALERTS_FILE, AlertPolicy
from tieout.rules.place import BadLandscape, Place, Problem
from tieout.rules.spec import Crosswalk

ROOT_FILE = "landscape.yaml"
FUNCTIONS_FILE = "functions.py"
FOLDERS = (
    "environments",
    "systems",
    "records",
    "mappings",
    "crosswalks",
    "flows",
    "reconciliations",
    "calendars",
    "policies",
    "tests",
)
POLICY_FILES = ("people.yaml", "legal_entities.yaml", "alerts.yaml", RETENTION_FILE)
MOST_FILES = 5_000
DEFAULT_CALENDAR = CalendarSpec("calendar", "calendar", "01-01")


class Named(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def place(self) -> Place: ...


N = TypeVar("N", bound=Named)


def load(folder: Path) -> Landscape:
    """The landscape in `folder`. Raises BadLandscape with every problem found in any file."""
    return _Loading(folder).landscape()


def governed_files(folder: Path) -> tuple[str, ...]:
    """Every file that an approval covers, relative, sorted; never the environments."""
    return tuple(file for file in _files(folder) if not file.startswith("environments/"))


def content_hash(folder: Path) -> str:
    """SHA-256 over the names and bytes of every governed file."""
    digest = hashlib.sha256()
    for file in governed_files(folder):
        content = read_bytes(folder, file)
        for part in (file.encode(), content):
            # Lengths keep two files from reading like one file with another border.
            digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()


def _files(folder: Path) -> Iterator[str]:
    found = [ROOT_FILE, FUNCTIONS_FILE]
    for name in FOLDERS:
        suffix = "*.csv" if name == "crosswalks" else "*.yaml"
        found += [path.relative_to(folder).as_posix() for path in (folder / name).glob(suffix)]
    for file in sorted(found):
        if (folder / file).is_file():
            yield file


class _Loading:
    """One load: the problems met so far, and a reader per kind of file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.problems: list[Problem] = []

    def landscape(self) -> Landscape:
        if not (self.folder / ROOT_FILE).is_file():
            raise BadLandscape(
                [
                    Problem(
                        Place(ROOT_FILE, 1),
                        f"'{self.folder}' is not a landscape: it has no {ROOT_FILE}",
                        "Go to the landscape's folder, or make one with 'tieout new NAME'",
                    )
                ]
            )
        self._strangers()
        name, title, rates = self._root()
        canonical = canonical_record_types()
        records = dict(canonical)
        records.update(self._named("records", lambda t, p: load_record(t, canonical, p)))
        mappings = self._named("mappings", load_mapping)
        calendars = self._named_calendars()
        result = Landscape(
            name=name,
            title=title,
            folder=self.folder,
            content_hash="" if self.problems else content_hash(self.folder),
            systems=self._named("systems", load_system),
            records=records,
            mappings=mappings,
            crosswalks=self._crosswalks(),
            flows=self._named("flows", lambda t, p: load_flow(t, mappings, p)),
            reconciliations=self._named("reconciliations", load_reconciliation),
            people=self._people(),
            legal_entities=self._legal_entities(),
            calendars=calendars,
            environments=self._environments(),
            rates=rates,
            functions=self._functions(),
            alerts=self._alerts(),
            retention=self._retention(),
        )
        if self.problems:
            raise BadLandscape(self.problems)
        return result

    def _strangers(self) -> None:
        """A misspelt folder or a file of another kind would be skipped in silence."""
        count = 0
        for path in sorted(self.folder.iterdir()):
            if path.is_dir() and path.name not in FOLDERS:
                near = difflib.get_close_matches(path.name, FOLDERS, n=1, cutoff=0.8)
                if near:
                    self._complain(path.name, f"folder '{path.name}' is not read", near[0])
            elif path.suffix in (".yaml", ".yml") and path.name != ROOT_FILE:
                self._complain(path.name, "is not read: it is in no folder", ", ".join(FOLDERS))
        for name in FOLDERS:
            kind = ".csv" if name == "crosswalks" else ".yaml"
            for path in (self.folder / name).glob("*"):
                count += 1
                file = path.relative_to(self.folder).as_posix()
                if path.is_dir() or (
                    path.suffix in (".yml", ".yaml", ".csv", ".json") and (path.suffix != kind)
                ):
                    self._complain(file, f"is not read: '{name}' holds *{kind} files", kind)
                elif name == "policies" and kind == path.suffix and path.name not in POLICY_FILES:
                    self._complain(file, "is not a policy", ", ".join(POLICY_FILES))
        if count > MOST_FILES:
            self._complain(ROOT_FILE, f"the landscape has more than {MOST_FILES} files", "fewer")

    def _complain(self, file: str, what: str, meant: str) -> None:
        self.problems.append(Problem(Place(file, 1), what, f"Rename or move it: {meant}"))

    def _documents(self, file: str) -> Iterator[Table]:
        for node in self._read(file):
            if isinstance(node, Table):
                yield node
            else:
                self.problems.append(
                    Problem(
                        node.place,
                        "is not a table of keys and values",
                        "Write 'key: value' lines; separate documents with ---",
                    )
                )

    def _read(self, file: str) -> tuple[Node, ...]:
        try:
            return read_yaml(self.folder, file)
        except BadLandscape as bad:
            self.problems += bad.problems
            return ()

    def _in(self, name: str) -> Iterator[Table]:
        for file in _files(self.folder):
            if file.startswith(f"{name}/"):
                yield from self._documents(file)

    def _root(self) -> tuple[str, str, RatesSpec]:
        documents = list(self._documents(ROOT_FILE))
        if len(documents) != 1:
            self.problems.append(
                Problem(
                    Place(ROOT_FILE, 1),
                    f"{ROOT_FILE} has {len(documents)} documents",
                    "Write one, beginning with 'landscape: NAME'",
                )
            )
            return "", "", RatesSpec()
        return load_root(documents[0], self.problems)

    def _named(self, kind: str, make: Callable[[Table, list[Problem]], N]) -> dict[str, N]:
        found: dict[str, N] = {}
        for table in self._in(kind):
            one = make(table, self.problems)
            if one.name in found:
                self._twice(f"{kind[:-1]} '{one.name}'", one.place, found[one.name].place)
            found[one.name] = one
        return found

    def _twice(self, what: str, place: Place, first: Place) -> None:
        self.problems.append(
            Problem(place, f"{what} is there twice (first at {first})", "Keep one of them")
        )

    def _crosswalks(self) -> Mapping[str, Crosswalk]:
        found: dict[str, Crosswalk] = {}
        for file in _files(self.folder):
            if not file.startswith("crosswalks/"):
                continue
            name = Path(file).stem
            try:
                rows = read_csv(self.folder, file, CROSSWALK_COLUMNS, ("note",))
            except BadLandscape as bad:
                self.problems += bad.problems
                continue
            found[name] = load_crosswalk(name, rows, self.problems)
        return found

    def _named_calendars(self) -> dict[str, CalendarSpec]:
        found = {DEFAULT_CALENDAR.name: DEFAULT_CALENDAR}
        for table in self._in("calendars"):
            one = load_calendar(table, self.problems)
            found[one.name] = one
        return found

    def _people(self) -> dict[str, Person]:
        found: dict[str, Person] = {}
        for table in self._policy("people.yaml"):
            found.update(load_people(table, self.problems))
        return found

    def _legal_entities(self) -> dict[str, LegalEntity]:
        found: dict[str, LegalEntity] = {}
        for table in self._policy("legal_entities.yaml"):
            found.update(load_legal_entities(table, self.problems))
        return found

    def _alerts(self) -> AlertPolicy:
        found = [load_alerts(table, self.problems) for table in self._policy("alerts.yaml")]
        if len(found) > 1:
            self._complain(ALERTS_FILE, "has more than one document", "keep one")
        return found[0] if found else AlertPolicy()

    def _retention(self) -> RetentionSpec:
        found = RetentionSpec()
        for table in self._policy(RETENTION_FILE):
            found = load_retention(table, self.problems)
        return found

    def _policy(self, name: str) -> Iterator[Table]:
        file = f"policies/{name}"
        if (self.folder / file).is_file():
            yield from self._documents(file)

    def _environments(self) -> Mapping[str, Mapping[str, EnvironmentSpec]]:
        found: dict[str, Mapping[str, EnvironmentSpec]] = {}
        for table in self._in("environments"):
            name, systems = load_environment(table, self.problems)
            if name in found:
                self._twice(f"environment '{name}'", table.place, table.place)
            found[name] = systems
        return found

    def _functions(self) -> Mapping[str, FunctionSpec]:
        if not (self.folder / FUNCTIONS_FILE).is_file():
            return {}
        try:
            source = read_bytes(self.folder, FUNCTIONS_FILE)
        except BadLandscape as bad:
            self.problems += bad.problems
            return {}
        return functions.declared(source, FUNCTIONS_FILE, self.problems)
