"""Processes that rehearse the corner landscape, whose connectors only tests know."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from unittest.mock import patch

from tests.rehearsal.connector import CONNECTORS, LANDSCAPE
from tieout.ports import registry
from tieout.rehearsal.many import Players, Ready
from tieout.rehearsal.playing import Playing
from tieout.rehearsal.server import private_server
from tieout.store.embedded import Embedded


@dataclass(frozen=True)
class CornerPlaying:
    """`Playing`, with the corner's connectors installed."""

    server: Embedded

    @contextlib.contextmanager
    def open(self, number: int) -> Iterator[Ready]:
        known = {**registry.connectors(), **CONNECTORS}
        with (
            patch.object(registry, "connectors", lambda: known),
            Playing(LANDSCAPE, "rehearsal", self.server).open(number) as ready,
        ):
            yield ready


@contextlib.contextmanager
def corner_players(jobs: int = 2) -> Iterator[Players]:
    """So many processes over one private server."""
    with (
        private_server("corner") as server,
        Players(CornerPlaying(server), jobs) as players,
    ):
        yield players
