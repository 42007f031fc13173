"""Judges every expression of a landscape, by the rules that will run it."""

from __future__ import annotations

from collections.abc import Iterator

from tieout.landscape.interfaces import Systems
from tieout.landscape.schema import Landscape
from tieout.rules.place import Problem


def check_expressions(landscape: Landscape, systems: Systems) -> Iterator[Problem]:
    return iter(())
