"""A landscape that is broken on purpose is told in words that people who run finance understand.

Somebody has declared that the plan recognises a repeated write (grade B, nothing under way for
long), so that writes without an answer are looked for and sent again. It does not: it shows a
document only by the id it answered with (grade C). Money is planned twice.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import pytest

from tests.rehearsal.connector import CONNECTORS, LANDSCAPE
from tieout.ports import registry
from tieout.ports.connector import Connector, Idempotency, Stream
from tieout.rehearsal import cast as casts
from tieout.rehearsal.cast import Cast, open_cast
from tieout.rehearsal.playing import verdict
from tieout.rehearsal.report import Asked, failure
from tieout.rehearsal.script import draw
from tieout.rehearsal.server import private_server
from tieout.rehearsal.shrink import shrink
from tieout.rehearsal.twins.casting import twin_of

FAULTS = frozenset({"lost_reply", "duplicate", "poison"})
MOST_SEEDS = 10


class Overstated:
    """A connector whose streams of grade C are declared to be of grade B."""

    def __init__(self, true: Connector) -> None:
        self._true = true
        self.streams: Mapping[str, Stream] = {
            name: replace(one, idempotency=Idempotency("B"))
            if one.idempotency is not None and one.idempotency.grade == "C"
            else one
            for name, one in true.streams.items()
        }

    def __getattr__(self, name: str) -> Any:
        return getattr(self._true, name)


def true_twin(system: str, spec: Any, connector: Connector, *rest: Any, **more: Any) -> Any:
    """What really answers is as it always was; only what is said of it has changed."""
    twin, _ = twin_of(system, spec, CONNECTORS[connector.name], *rest, **more)
    return twin, twin_of(system, spec, connector, *rest, **more)[1]


@pytest.fixture(scope="module")
def cast() -> Iterator[Cast]:
    told = {name: Overstated(one) if _grade_c(one) else one for name, one in CONNECTORS.items()}
    known = {**registry.connectors(), **told}
    with contextlib.ExitStack() as stack:
        stack.enter_context(patch.object(registry, "connectors", lambda: known))
        stack.enter_context(patch.object(casts, "twin_of", true_twin))
        server = stack.enter_context(private_server("corner"))
        yield stack.enter_context(open_cast(LANDSCAPE, "rehearsal", server, "broken"))


def _grade_c(one: Connector) -> bool:
    return any(
        stream.idempotency is not None and stream.idempotency.grade == "C"
        for stream in one.streams.values()
    )


@pytest.mark.timeout(300)
def test_it_is_found_shrunk_and_told(cast: Cast) -> None:
    for seed in range(MOST_SEEDS):
        failed = verdict(cast, draw(seed, FAULTS))
        if not failed.held:
            break
    assert failed.failures[0] == "P2", failed.broken
    least = shrink(lambda script: verdict(cast, script), failed, most_plays=20)
    assert "poison" not in least.script.rates
    assert len(least.script.rates) < len(FAULTS)
    asked = Asked("corner", cast.landscape.content_hash, FAULTS, 1)
    told = "\n".join(failure(asked, failed, least))
    assert "twice" in told
    assert "plan" in told
    assert "the request was carried out, its answer was lost" in told
    assert f"--seed {seed}" in told
