"""Plays seeds in the corner landscape, one after the other, as it is told on its standard input.

    {"seed": 7, "faults": ["crash", "lost_reply"]}  one line in: play this
    {"P2": "a document is in effect twice …"}       one line out: what broke, by promise

It is started in a copy of the house, planted bug and all, and plays the code that lies there; a
seed goes no further than the first promise that breaks. Before the first one it says
`{"ready": "…"}` with the folder of the package that it plays.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from unittest.mock import patch

import tieout
from tests.rehearsal.connector import CONNECTORS, LANDSCAPE
from tieout import clock
from tieout.engine import logs
from tieout.ports import registry
from tieout.rehearsal.cast import Cast, open_cast
from tieout.rehearsal.invariants.base import Phase
from tieout.rehearsal.scene import Broken
from tieout.rehearsal.script import Script, draw
from tieout.rehearsal.server import private_server
from tieout.rehearsal.trial import STARTS_AT, Trial
from tieout.rehearsal.verdict import NOT_ENDED
from tieout.rehearsal.world import SeededWorld

MOST_CHARACTERS = 300


class _Enough(Exception):
    """A promise is broken; there is nothing more to find out."""


class _Impatient(Trial):
    """A trial that ends where the first promise breaks."""

    def _look(self, phase: Phase) -> None:
        super()._look(phase)
        if self.result.broken:
            raise _Enough


def main() -> None:
    """Play until nobody asks any more."""
    logs.silent()
    known = {**registry.connectors(), **CONNECTORS}
    with (
        patch.object(registry, "connectors", lambda: known),
        private_server("corner") as server,
        open_cast(LANDSCAPE, "", server, "mutant") as cast,
    ):
        _say({"ready": str(Path(tieout.__file__).parent)})
        for line in sys.stdin:
            asked = json.loads(line)
            words: dict[str, str] = {}
            for one in _played(cast, draw(int(asked["seed"]), asked["faults"])):
                words.setdefault(one.promise, _words(one))
            _say(words)


def _played(cast: Cast, script: Script) -> list[Broken]:
    """What broke first. An exception that ends the seed is what is said of it."""
    world = SeededWorld(str(script.seed), STARTS_AT)
    with clock.world(world):
        trial = _Impatient(cast, script, world)
        try:
            trial.play()
        except _Enough:
            return trial.result.broken
        except Exception as error:  # noqa: BLE001 - told as the failure of its seed
            return [*trial.result.broken, Broken(NOT_ENDED, f"{type(error).__name__}: {error}")]
        finally:
            trial.close()
    return trial.result.broken


def _words(one: Broken) -> str:
    keys = f": {', '.join(one.keys[:2])}" if one.keys else ""
    return f"{one.words}{keys}"[:MOST_CHARACTERS]


def _say(words: Mapping[str, str]) -> None:
    print(json.dumps(words), flush=True)


if __name__ == "__main__":
    main()
