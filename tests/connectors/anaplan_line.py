"""A tenant of the emulated Anaplan, a session with it, and the orders its tests load."""

from __future__ import annotations

from collections.abc import Callable

from tests.connectors.test_anaplan_contract import booking, order
from tieout import clock
from tieout.connectors.anaplan import CONNECTOR
from tieout.emulators.anaplan.seed import (
    FILE_ID,
    IMPORT_ID,
    MODEL_ID,
    MODULE_ID,
    WORKSPACE_ID,
)
from tieout.emulators.host import Served
from tieout.emulators.kit import Fault, FaultKind, FaultPlan
from tieout.finance.outcome import (
    Accepted,
    Outcome,
)
from tieout.ports.connector import Job, Write
from tieout.ports.http import Request, Response
from tieout.ports.opening import open_session
from tieout.ports.session import Session

BOOKINGS = "bookings"
MOST_LOOKS = 100


ONE = order(1, booking("SO1", 1, "98.00"), booking("SO1", 2, "-1.25"))
TWO = order(2, booking("SO2", 1, "5.00"))


class Line:
    """One tenant and one session with it."""

    def __init__(self, served: Served, session: Session) -> None:
        self.served, self.session = served, session

    @property
    def cells(self) -> dict[str, dict[str, object]]:
        return self.served.emulator.tables["bookings"]

    def write(self, *writes: Write) -> list[Outcome]:
        return list(CONNECTOR.write(self.session, BOOKINGS, writes))

    def follow(self, handle: str, *writes: Write) -> list[Outcome]:
        return list(CONNECTOR.follow(self.session, BOOKINGS, [Job(handle, writes)])[0])

    def load(self, *writes: Write) -> list[Outcome]:
        """Write and follow to the end."""
        outcomes = self.write(*writes)
        taken = [
            (place, outcome)
            for place, outcome in enumerate(outcomes)
            if isinstance(outcome, Accepted)
        ]
        if not taken:
            return outcomes
        assert len({outcome.handle for _, outcome in taken}) == 1, "one file, one import"
        carried = [writes[place] for place, _ in taken]
        for _ in range(MOST_LOOKS):
            ended = self.follow(taken[0][1].handle, *carried)
            if not any(isinstance(outcome, Accepted) for outcome in ended):
                for (place, _), outcome in zip(taken, ended, strict=True):
                    outcomes[place] = outcome
                return outcomes
            clock.sleep(0.01)
        raise AssertionError("the import never ends")

    def shows(self, write: Write) -> dict[str, str] | None:
        found = CONNECTOR.find(self.session, BOOKINGS, [write])[write.write_key]
        return None if found is None else found.facts

    def urls(self) -> list[str]:
        return [f"{seen.method} {seen.url.split(MODEL_ID)[-1]}" for seen in self.session.evidence]


def line_to(served: Served, **settings: str) -> Line:
    ours = {
        "base_url": served.url,
        "auth_url": served.url,
        "workspace_id": WORKSPACE_ID,
        "model_id": MODEL_ID,
        "bookings_file_id": FILE_ID,
        "bookings_import_id": IMPORT_ID,
        "bookings_view_id": MODULE_ID,
        "chunk_bytes": "120",
        "poll_seconds": "0.01",
        **settings,
    }
    secrets = {"email": "integration@northwind.example", "password": "emulated-password"}
    session = open_session("anaplan", CONNECTOR, ours, secrets, [served.url], timeout_seconds=5)
    return Line(served, session)


def fault(kind: FaultKind, path: str, *methods: str) -> FaultPlan:
    return FaultPlan(1, (Fault(kind, 1.0, path, methods, most=1),))


def altered(line: Line, path: str, how: Callable[[Response], Response]) -> None:
    """Answers from `path` arrive altered."""
    real = line.session.transport

    def send(request: Request) -> Response:
        answer = real(request)
        return how(answer) if request.path().endswith(path) else answer

    line.session.transport = send


def state(line: Line, **fields: object) -> None:
    line.served.emulator.tables["models"][MODEL_ID].update(fields)
