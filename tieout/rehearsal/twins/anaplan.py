"""How Anaplan is looked at in a rehearsal: an order is a document, its rows are booking lines."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from tieout.connectors.anaplan.rows import ACTIVE, facts_of
from tieout.emulators.kit import Emulator
from tieout.ports.connector import Connector
from tieout.ports.http import Request, Response
from tieout.rehearsal.twins.base import Applied, Effect, Unplayable
from tieout.rehearsal.twins.emulated import Emulated

BOOKINGS = "bookings"
Cells = Mapping[str, object]


class AnaplanTwin(Emulated):
    """An import loads many orders at once, and some time after it was asked for: what it changed is
    seen when the cells are looked at, one `Applied` for each order. No cell holds our reference, so
    it is made of the order's id as the engine makes it for an order that comes from elsewhere."""

    strikes = frozenset({"restore"})
    restored = (BOOKINGS,)

    def __init__(
        self, system: str, real: Connector, emulator: Emulator, settings: Mapping[str, str]
    ) -> None:
        super().__init__(system, real, emulator, settings)
        self._seen: dict[str, Cells] = {}
        self._saves = 0

    def watched(self, request: Request, answer: Callable[[Request], Response]) -> Response:
        """An import may end with any call."""
        response = answer(request)
        self._look()
        return response

    def effects(self) -> Sequence[Effect]:
        """One document for each order; it has effect while one of its lines is active."""
        self._advance()
        return [
            Effect(
                BOOKINGS,
                _reference(order),
                order,
                any(line["status"] == ACTIVE for line in lines),
                facts_of(lines),
            )
            for order, lines in self._orders(self.emulator.tables[BOOKINGS]).items()
        ]

    def applied(self) -> Sequence[Applied]:
        """Orders as imports changed them, in the order of the imports."""
        self._advance()
        return super().applied()

    def rows(self, stream: str) -> Mapping[str, Cells]:
        """The booking lines by code."""
        if stream != BOOKINGS:
            raise Unplayable(f"{self.system} has no stream '{stream}'")
        self._advance()
        return dict(self.emulator.tables[BOOKINGS])

    def after_restore(self) -> None:
        self._seen = dict(self.emulator.tables[BOOKINGS])

    def _advance(self) -> None:
        """Let imports that are over by now end: any call does that, also one that is refused."""
        self.emulator.handle(Request("GET", f"{self.settings['base_url']}/2/0/"))
        self._look()

    def _look(self) -> None:
        """Note what imports did to the cells since the last look."""
        models = self.emulator.tables["models"].values()
        saves = sum(int(str(one["lastSavedSerialNumber"])) for one in models)
        if saves == self._saves:
            return
        now, self._saves = self.emulator.tables[BOOKINGS], saves
        touched = [str(row["order_id"]) for key, row in now.items() if self._seen.get(key) != row]
        before, orders = self._orders(self._seen), self._orders(now)
        for order in dict.fromkeys(touched):
            lines = orders[order]
            action = "change" if order in before else "create"
            if all(line["status"] != ACTIVE for line in lines):
                action = "void"
            self.note(BOOKINGS, _reference(order), action, order, facts_of(lines))
        self._seen = dict(now)

    def _orders(self, cells: Mapping[str, Cells]) -> dict[str, list[dict[str, str]]]:
        found: dict[str, list[dict[str, str]]] = {}
        for code, row in cells.items():
            line = {"code": code, **{name: _text(value) for name, value in row.items()}}
            found.setdefault(str(row["order_id"]), []).append(line)
        return found


def _reference(order: str) -> str:
    return f"{BOOKINGS}-{order}"


def _text(value: object) -> str:
    return "" if value is None else str(value)
