"""How a rehearsal passes the time when nobody has anything to do: it sleeps until something is due.

Idle ticks are left out. What a worker cannot see of the others it need not look for: one statement
says whether anything is left, and when the next thing is due.
"""

from __future__ import annotations

import random
from typing import Any

import psycopg

from tieout.rehearsal.world import SeededWorld

NAP_SLACK = 60.0  # seconds by which a sleeper may oversleep
SHORTEST_NAP, LONGEST_NAP = 8.0, 21_600.0
SHORT_NAPS = (0.3, 2.0, 11.0)
_NEXT_DUE = """
SELECT extract(epoch FROM min(due) FILTER (WHERE due > %(now)s)), bool_or(due <= %(now)s),
  EXISTS (SELECT FROM arrivals WHERE state = 'new') OR EXISTS (SELECT FROM hints)
  OR EXISTS (SELECT FROM runs WHERE state = 'ready')
FROM (
  SELECT due_at AS due FROM dispatch_states
   WHERE state IN ('planned', 'accepted', 'unknown', 'written')
  UNION ALL SELECT due_at FROM runs WHERE due_at IS NOT NULL
  UNION ALL SELECT until FROM system_states WHERE until > %(now)s
) AS all_of_them
"""


class Pace:
    """When workers turn again. `moved` is set by whoever did something."""

    def __init__(
        self, world: SeededWorld, admin: psycopg.Connection[Any], dice: random.Random
    ) -> None:
        self.moved = False
        self._world = world
        self._admin = admin
        self._dice = dice
        self._nap = SHORTEST_NAP
        self._waits = 0

    def left_for_others(self) -> bool:
        """Whether what one worker did since all were looked at last has made work for others, who
        had nothing to do before: they turn again. What is left after that waits for time."""
        moved, self.moved = self.moved, False
        if not moved:
            return False
        _, due_now, new = self._next_due()
        return due_now or new

    def _next_due(self) -> tuple[float | None, bool, bool]:
        """When something will be due, whether something is by now, and whether anything is new."""
        now = self._world.true_time
        row = self._admin.execute(_NEXT_DUE, {"now": now}).fetchone()
        if row is None:
            return None, False, False
        due = float(row[0]) - now.timestamp() if row[0] is not None else None
        return due, bool(row[1]), bool(row[2])

    def sleep(self, most: float) -> bool:
        """Sleep until something is due, or for a while that grows; False when `most` is over."""
        due, due_now, _ = self._next_due()
        if due_now and self._waits < len(SHORT_NAPS):
            # What is due waits for something that workers agree on tick by tick, such as shares of
            # a system's calls: they tick on.
            wanted = SHORT_NAPS[self._waits]
            self._waits += 1
        elif due is not None:
            wanted, self._nap, self._waits = due, SHORTEST_NAP, 0
            wanted += self._dice.uniform(0.01, NAP_SLACK)
        else:
            wanted = self._nap = min(self._nap * 4, LONGEST_NAP)
            self._waits = 0
        self._world.sleep(min(wanted, max(most, 0.01)))
        return wanted < most
