"""The menu: every kind of trouble that a rehearsed world can make, in plain words.

Each seed draws which of them happen, and how often. `where` says who makes it: the `line` to a
system, the system itself (`twin`), the `people` who work in it, the `house` that we run in, or the
`desk` of those who operate and govern us.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Where = Literal["line", "twin", "people", "house", "desk"]


@dataclass(frozen=True, slots=True)
class Fault:
    """One kind of trouble. `most_rate` is the highest share of occasions that a seed may draw."""

    name: str
    where: Where
    words: str
    most_rate: float = 0.1


MENU: dict[str, Fault] = {
    one.name: one
    for one in (
        # --- what comes in ---
        Fault("duplicate", "people", "an event was delivered twice", 0.5),
        Fault("delay", "people", "an event came late", 0.3),
        Fault("reorder", "people", "events came in another order than they happened", 0.5),
        Fault("lost_event", "people", "an event was dropped on the way and sent again later", 0.3),
        Fault("drift", "people", "the rows of a stream changed their form", 0.05),
        Fault("unknown_code", "people", "a row carried a code that nobody has mapped", 0.1),
        Fault("poison", "people", "a row could not be read at all", 0.05),
        Fault("moving_pages", "people", "rows changed while they were read page by page", 0.2),
        Fault("late_commit", "twin", "a row was stored after a reading had passed its place", 0.5),
        # --- the line ---
        Fault("busy", "line", "the system said 'slow down' and for how long"),
        Fault("busy_without_wait", "line", "the system said 'slow down' and not for how long"),
        Fault("server_error", "line", "the system answered with an error of its own", 0.06),
        Fault("slow", "line", "the answer took longer than anybody waits", 0.05),
        Fault("cut_reply", "line", "the connection broke in the middle of the answer", 0.06),
        Fault("lost_request", "line", "the request was lost, no answer came"),
        Fault("lost_reply", "line", "the request was carried out, its answer was lost"),
        Fault("late_apply", "line", "the request was carried out after we had given up", 0.08),
        # --- the system ---
        Fault("partial", "twin", "a part of a batch was refused in a good answer", 0.3),
        Fault("forgotten_key", "twin", "the system forgot our idempotency keys", 0.2),
        Fault("restore", "twin", "the system was restored to an older state", 0.1),
        Fault("period_close", "twin", "an accounting period was closed meanwhile", 0.5),
        # --- our house ---
        Fault("crash", "house", "a worker died", 0.02),
        Fault("zombie", "house", "a worker stood still until its lease was over", 0.01),
        Fault("database_restart", "house", "the database was restarted", 0.02),
        Fault("disk_full", "house", "the database's disk was full", 0.01),
        Fault("clock_jump", "house", "a clock jumped or went wrong", 0.2),
        # --- our desk ---
        Fault("mapping_change", "desk", "a mapping was changed while records were under way", 0.2),
        Fault("approval_revoked", "desk", "an approval was taken back", 0.3),
        Fault("replay_again", "desk", "an operator replayed what had been replayed", 0.3),
    )
}  # fmt: skip


def chosen(names: str) -> frozenset[str]:
    """The faults that a user names, separated by commas; "" means all. Raises ValueError with the
    names that there are."""
    wanted = frozenset(one.strip() for one in names.split(",") if one.strip())
    unknown = sorted(wanted - set(MENU))
    if unknown:
        raise ValueError(f"no fault is called {', '.join(unknown)}; there are: {', '.join(MENU)}")
    return wanted or frozenset(MENU)
