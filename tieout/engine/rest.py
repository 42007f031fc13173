"""Is there anything left to do? What a person waits for after `sync`, `replay` or a demo."""

from __future__ import annotations

from dataclasses import dataclass

from tieout.store.database import Connection


@dataclass(frozen=True, slots=True)
class Progress:
    """Counts of the record plane at one moment."""

    arrivals: int
    arrivals_new: int
    hints: int
    records: int
    dispatches: int
    dispatches_open: int
    proofs: int
    runs: int
    runs_moving: int
    runs_held: int
    runs_ended: int
    cases_open: int
    repeats: int

    @property
    def at_rest(self) -> bool:
        """Nothing new, nothing under way: what is left waits for a person."""
        return not (self.arrivals_new or self.hints or self.dispatches_open or self.runs_moving)


def progress(connection: Connection) -> Progress:
    """Count everything once."""
    row = connection.execute(
        "SELECT (SELECT count(*) FROM arrivals), "
        "(SELECT count(*) FROM arrivals WHERE state = 'new'), (SELECT count(*) FROM hints), "
        "(SELECT count(*) FROM records), (SELECT count(*) FROM intents), "
        "(SELECT count(*) FROM dispatch_states WHERE state IN "
        "  ('planned', 'sending', 'accepted', 'unknown', 'written')), "
        "(SELECT count(*) FROM proofs WHERE verdict = 'agrees'), (SELECT count(*) FROM runs), "
        "(SELECT count(*) FROM runs WHERE state IN ('ready', 'waiting')), "
        "(SELECT count(*) FROM runs WHERE state = 'held'), "
        "(SELECT count(*) FROM runs WHERE state IN ('complete', 'undone')), "
        "(SELECT count(*) FROM cases WHERE state = 'open'), "
        "(SELECT coalesce(sum(times - 1), 0) FROM arrival_keys)"
    ).fetchone()
    if row is None:
        raise RuntimeError("the database returned no counts")
    return Progress(*(int(value) for value in row))
