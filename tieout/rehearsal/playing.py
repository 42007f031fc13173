"""What each process of a rehearsal of many seeds does: it makes a cast ready once, then plays."""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tieout.engine import logs
from tieout.rehearsal.cast import Cast, open_cast
from tieout.rehearsal.many import CannotRehearse, Ready
from tieout.rehearsal.script import Script
from tieout.rehearsal.trial import rehearse
from tieout.rehearsal.twins.base import Unplayable
from tieout.rehearsal.verdict import Verdict
from tieout.store.embedded import Embedded

LAST_FRAMES = 8


@dataclass(frozen=True, slots=True)
class Playing:
    """See `many.Opens`: this landscape in this environment, over one private server."""

    folder: Path
    environment: str
    server: Embedded

    @contextlib.contextmanager
    def open(self, number: int) -> Iterator[Ready]:
        logs.silent()
        try:
            with open_cast(
                self.folder, self.environment, self.server, f"rehearsal_{number}"
            ) as cast:
                yield Ready(lambda script: verdict(cast, script), cast.described, cast.left_out)
        except Unplayable as reason:
            raise CannotRehearse(str(reason)) from None


def verdict(cast: Cast, script: Script) -> Verdict:
    """Play a seed. An exception that ends it is what is said of it, not the end of its process."""
    try:
        found = rehearse(cast, script)
    except Exception as error:  # noqa: BLE001 - told as the failure of its seed
        frames = "".join(traceback.format_exception(error, limit=-LAST_FRAMES))
        return Verdict(script, ended=frames.strip())
    return Verdict(
        script=script,
        broken=tuple(dict.fromkeys(found.broken)),
        changes=found.changes,
        deliveries=found.deliveries,
        ticks=found.ticks,
        struck=dict(found.struck),
        reached=dict(found.reached),
        died_at=dict(found.died_at),
        cases_left=found.cases_left,
        digest=found.trace.digest,
        timelines=dict(found.timelines),
    )
