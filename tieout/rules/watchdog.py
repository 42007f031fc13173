"""Stops a query that runs too long: one thread for all queries of a connection.

A timer per query would start a thread per query, which costs more than a small query itself.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

LOOKS = 4  # within the limit; a query is stopped at most a quarter of the limit late


class Watchdog:
    """Calls `stop` when what was begun is not ended within `most_seconds`.

    This is real time even in a rehearsed world: it bounds the machine's work, and a rehearsed clock
    does not move while a query runs. The thread starts with the first query, sleeps while nothing
    runs, and never calls `stop` after `end`.
    """

    def __init__(self, most_seconds: float, stop: Callable[[], None]) -> None:
        self._look_seconds = most_seconds / LOOKS
        self._stop = stop
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._running = 0  # the number of what runs; 0: nothing
        self._begun = 0
        self._asleep = False
        self._closed = False

    def begin(self) -> None:
        with self._changed:
            self._begun += 1
            self._running = self._begun
            if self._thread is None:
                self._thread = threading.Thread(target=self._watch, name="rules", daemon=True)
                self._thread.start()
            elif self._asleep:
                self._changed.notify()

    def end(self) -> None:
        with self._changed:
            self._running = 0

    def close(self) -> None:
        """End the thread. Nothing may be begun afterwards."""
        with self._changed:
            self._closed = True
            self._running = 0
            self._changed.notify()
        if self._thread is not None:
            self._thread.join()

    def _watch(self) -> None:
        seen, looks = 0, 0
        with self._changed:
            while not self._closed:
                if self._running == 0:
                    self._asleep = True
                    self._changed.wait()
                    self._asleep = False
                    continue
                if self._running != seen:
                    seen, looks = self._running, 0
                self._changed.wait(self._look_seconds)
                if self._running == seen:
                    looks += 1
                    if looks >= LOOKS:
                        self._stop()
                        looks = 0
