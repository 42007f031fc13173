"""Sealing as the worker goes: new batches into the audit log, a signed checkpoint now and then."""

from __future__ import annotations

import datetime as dt

from tieout import clock
from tieout.engine.context import Context
from tieout.engine.logs import event
from tieout.store import audit_checkpoints
from tieout.store.audit_keys import KeyUnfit
from tieout.store.audit_log import AuditBroken

SEAL_SECONDS = 30.0
CHECKPOINT_SECONDS = 600.0  # at least every 15 minutes (DESIGN D9b), with room for a slow turn


class Sealer:
    """Seals when it is time. What stands in its way is said once and never stops the worker."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._sealed_at = float("-inf")
        self._said = ""

    def __call__(self, *, at_once: bool = False) -> None:
        """Seal if SEAL_SECONDS have gone by; sign if nobody has for CHECKPOINT_SECONDS.

        `at_once` does both now: before the worker ends.
        """
        if not at_once and clock.monotonic() - self._sealed_at < SEAL_SECONDS:
            return
        self._sealed_at = clock.monotonic()
        landscape = self._context.landscape
        try:
            audit_checkpoints.seal_all(
                self._context.database,
                landscape.folder / ".tieout",
                landscape.name,
                self._context.worker,
                sign=at_once or self._unsigned(),
            )
        except (AuditBroken, KeyUnfit, OSError) as trouble:
            if str(trouble) != self._said:
                event("the audit log is not sealed", level="error", why=str(trouble))
            self._said = str(trouble)
        else:
            self._said = ""

    def _unsigned(self) -> bool:
        with self._context.database.transaction() as connection:
            row = connection.execute("SELECT max(signed_at) FROM audit_checkpoints").fetchone()
        late = dt.timedelta(seconds=CHECKPOINT_SECONDS)
        return row is None or row[0] is None or clock.now() - row[0] >= late
