"""Finds connectors (and, for rehearsal, emulators) by entry point: nobody imports one by name."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.metadata import entry_points
from typing import cast

from tieout.ports.connector import Connector


class UnknownConnector(Exception):
    """No installed package offers this connector. Lists the ones that are there."""


@cache
def connectors() -> Mapping[str, Connector]:
    """Every installed connector by name (entry point group `tieout.connectors`)."""
    return {
        point.name: cast(Connector, point.load())
        for point in entry_points(group="tieout.connectors")
    }


def connector(name: str) -> Connector:
    """The connector of this name. Raises UnknownConnector."""
    found = connectors().get(name)
    if found is None:
        there = ", ".join(sorted(connectors()))
        raise UnknownConnector(f"no connector named '{name}' is installed; there are: {there}")
    return found
