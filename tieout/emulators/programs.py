"""Runs a real system as one process for as long as a landscape needs it.

`python -m tieout.emulators.programs tryton …` installs and starts it, says `ready`, and on SIGTERM
stops everything it started. The books begin anew when the landscape has no state of them, as those
of an emulated system do.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from tieout.emulators.tryton_home import TrytonUnfit
from tieout.emulators.tryton_server import tryton_server
from tieout.store.embedded import EmbeddedPostgresError

READY = "ready"


class NotStarted(Exception):
    """The system cannot run as the environment describes it. Says what to change."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the environment says of the system, and where its state is remembered."""

    landscape: Path
    state: Path
    settings: Mapping[str, str]
    options: Mapping[str, str]


@contextlib.contextmanager
def _tryton(wanted: Wanted) -> Iterator[None]:
    """A real Tryton. Option `folder`: where it is installed and keeps its books, seen from the
    landscape's folder; it is kept, so that the next start takes seconds."""
    if set(wanted.options) != {"folder"}:
        raise NotStarted("start of tryton takes one option, folder; see environments/*.yaml")
    address = wanted.settings["base_url"]
    _, _, port = address.rpartition(":")
    with tryton_server(
        (wanted.landscape / wanted.options["folder"]).resolve(),
        database=wanted.settings["database"],
        fresh=not wanted.state.exists(),
        port=int(port),
        say=_say,
    ) as server:
        for name, value in server.settings().items():
            if wanted.settings[name] != value:
                raise NotStarted(
                    f"environments/*.yaml says {name} '{wanted.settings[name]}'; the Tryton that "
                    f"is started here has '{value}'"
                )
        yield


PROGRAMS: Mapping[str, Callable[[Wanted], contextlib.AbstractContextManager[None]]] = {
    "tryton": _tryton
}


def _say(words: str) -> None:
    print(words, flush=True)


def _stop(*_: object) -> NoReturn:
    """One request to stop is enough; a second must not interrupt the stopping."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise SystemExit(0)


def main() -> None:
    parser = argparse.ArgumentParser(prog="tieout.emulators.programs")
    parser.add_argument("program", choices=sorted(PROGRAMS))
    parser.add_argument("--landscape", type=Path, required=True)
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--settings", type=json.loads, required=True)
    parser.add_argument("--options", type=json.loads, default={})
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, _stop)
    wanted = Wanted(given.landscape, given.state, given.settings, given.options)
    try:
        with PROGRAMS[given.program](wanted):
            wanted.state.parent.mkdir(parents=True, exist_ok=True)
            wanted.state.touch()
            _say(READY)
            while True:
                signal.pause()
    except (NotStarted, TrytonUnfit, EmbeddedPostgresError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
