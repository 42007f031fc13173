"""What there is to look at in a rehearsed world: record plane, twins, and what people did."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from tieout.engine.compiled import Compiled
from tieout.landscape.schema import Landscape
from tieout.ports.connector import Received
from tieout.rehearsal.twins.base import Twin
from tieout.rules.runner import Runner
from tieout.store.database import Connection


@dataclass(frozen=True, slots=True)
class Deed:
    """One thing that people did in a source system. `row` is None when they deleted it; `broken`
    names the people's fault that the row carries on purpose (drift, unknown_code, poison), "" for a
    good row. `at` is the rehearsal's true time. Deeds about one row are in their order."""

    system: str
    stream: str
    key: str
    at: dt.datetime
    row: Mapping[str, object] | None
    broken: str = ""


@dataclass(frozen=True, slots=True)
class Told:
    """One webhook that we acknowledged: from then on it is ours to keep. `received` is what its
    connector made of it, before anything was stored."""

    system: str
    stream: str
    body: bytes
    at: dt.datetime
    received: Received


@dataclass
class Scene:
    """A world at one moment. `connection` sees all legal entities and must only read.

    `phase`: `during` while faults happen or work is under way, `rest` when nothing moves any more.
    `struck` are the names of the faults that have happened so far, with how often. `runner` runs
    mappings anew. `worked_out` is what one promise has found out and the next need not: make a new
    scene for every moment.
    """

    landscape: Landscape
    compiled: Compiled
    connection: Connection
    twins: Mapping[str, Twin]
    deeds: Sequence[Deed]
    told: Sequence[Told]
    phase: Literal["during", "rest"]
    struck: Mapping[str, int] = field(default_factory=dict)
    runner: Runner = field(kw_only=True, repr=False)
    worked_out: dict[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Broken:
    """A promise that did not hold. `words` say what is wrong to somebody who runs finance systems,
    `keys` are the business keys (record keys or references) that it happened to."""

    promise: str  # P1 … P10
    words: str
    keys: tuple[str, ...] = ()
