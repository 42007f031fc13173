"""What every emulator shares: the shape of a vendor twin, faults by a fixed seed, lasting state.

An emulator is a function from request to response (a `Transport`), so that a rehearsal can drive it
in process; `tieout.emulators.host` puts it behind a real HTTP server. Its rows live in memory as
plain JSON values (amounts as Decimal) and are saved and loaded whole.
"""

from __future__ import annotations

import datetime as dt
import json
import random
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Literal, Protocol

import simplejson

from tieout.ports.http import Request, Response

FaultKind = Literal[
    "busy", "busy_without_wait", "lost_request", "lost_reply", "slow", "server_error"
]


@dataclass(frozen=True, slots=True)
class Fault:
    """One planted fault: `rate` of the matching calls meet it, decided by the plan's seed.

    `lost_request`: the connection drops and nothing was applied. `lost_reply`: it was applied, then
    the connection drops. `busy`: 429 with Retry-After `seconds`. `methods` empty means all;
    `path` is a substring. At most `most` calls meet it (0 = no limit).
    """

    kind: FaultKind
    rate: float
    path: str = ""
    methods: tuple[str, ...] = ()
    seconds: float = 1.0
    most: int = 0


@dataclass
class FaultPlan:
    """Faults drawn from one seed; the same calls in the same order meet the same faults.

    The draw depends on the request's path and how often that path was called, not on timing, so
    that concurrent callers do not change who is hit.
    """

    seed: int = 0
    faults: tuple[Fault, ...] = ()
    met: dict[str, int] = field(default_factory=dict)
    _calls: dict[str, int] = field(default_factory=dict)

    def draw(self, request: Request) -> Fault | None:
        """The fault this call meets, if any."""
        if not self.faults or "/_emulator/" in request.url:
            return None
        spot = f"{request.method} {request.path()}"
        nth = self._calls[spot] = self._calls.get(spot, 0) + 1
        for index, fault in enumerate(self.faults):
            if fault.methods and request.method not in fault.methods:
                continue
            if fault.path not in request.path():
                continue
            label = f"{index}:{fault.kind}"
            if fault.most and self.met.get(label, 0) >= fault.most:
                continue
            if random.Random(f"{self.seed}:{index}:{spot}:{nth}").random() < fault.rate:
                self.met[label] = self.met.get(label, 0) + 1
                return fault
        return None

    @classmethod
    def from_json(cls, value: Mapping[str, object]) -> FaultPlan:
        """From `{"seed": 7, "faults": [{"kind": "busy", "rate": 0.02, ...}]}`."""
        faults = value.get("faults", [])
        if not isinstance(faults, list):
            raise ValueError("faults must be a list")
        return cls(
            seed=int(str(value.get("seed", 0))),
            faults=tuple(
                Fault(**{**one, "methods": tuple(one.get("methods", ()))}) for one in faults
            ),
        )


@dataclass(frozen=True, slots=True)
class OutboundCall:
    """A webhook the emulated vendor wants to send, as soon as the host can."""

    url: str
    body: bytes
    content_type: str
    key: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)  # a signature


class Emulator(Protocol):
    """A vendor twin. One object = one tenant of that vendor; not thread-safe: the host serialises.

    `outbox` collects webhooks; the host sends them and calls `sent(call, ok)`.
    """

    name: str
    faults: FaultPlan
    tables: dict[str, dict[str, dict[str, object]]]

    def handle(self, request: Request) -> Response:
        """Answer one call exactly as the vendor would. Never raises for bad input."""

    def busy(self, fault: Fault) -> Response:
        """The vendor's own form of 'slow down' (status, headers, body)."""

    def outbox(self) -> list[OutboundCall]:
        """Webhooks due now, in the order they should be tried; they are not due again."""

    def sent(self, call: OutboundCall, acknowledged: bool) -> None:
        """The host's report on a webhook; an unacknowledged one becomes due again later."""


class EmulatorFactory(Protocol):
    """What the entry point names: builds a fresh tenant.

    `base_url` is where the host listens (an instance URL must be answerable); `settings` holds
    credentials and options such as `webhook_url`.
    """

    name: str

    def __call__(self, base_url: str, settings: Mapping[str, str]) -> Emulator: ...


# --- lasting state ------------------------------------------------------------------------------


def save_tables(tables: Mapping[str, object], path: Path) -> None:
    """Write the tables whole, then rename: a crash leaves the old file or the new one."""
    beside = path.with_suffix(".new")
    beside.write_bytes(_bytes(json.dumps(tables, default=_to_json, ensure_ascii=False)))
    beside.replace(path)


def load_tables(path: Path) -> dict[str, dict[str, dict[str, object]]]:
    """Read what `save_tables` wrote; an absent file is an empty tenant."""
    if not path.exists():
        return {}
    loaded = json.loads(path.read_text(encoding="utf-8"), object_hook=_from_json)
    return dict(loaded)


def _to_json(value: object) -> object:
    if isinstance(value, Decimal):
        return {"$decimal": str(value)}
    if isinstance(value, dt.datetime):
        return {"$instant": value.isoformat()}
    raise TypeError(f"an emulator table holds a {type(value).__name__}; plain JSON values only")


def _from_json(value: dict[str, object]) -> object:
    if set(value) == {"$decimal"}:
        return Decimal(str(value["$decimal"]))
    if set(value) == {"$instant"}:
        return dt.datetime.fromisoformat(str(value["$instant"]))
    return value


# --- JSON with exact numbers, both ways ----------------------------------------------------------


def read_json(body: bytes) -> object:
    """Parse a request body; every number with a fraction or exponent is a Decimal.

    Raises json.JSONDecodeError for all that is no JSON, or is nested or long beyond measure.
    """
    try:
        return json.loads(body, parse_float=Decimal, parse_constant=_no_constant)
    except json.JSONDecodeError:
        raise
    except (ValueError, RecursionError) as error:  # not UTF-8, a NaN, too many digits, too deep
        raise json.JSONDecodeError(str(error), "", 0) from None


def _no_constant(name: str) -> object:
    raise ValueError(f"JSON has no {name}")


def write_json(value: object) -> bytes:
    """Serialise like a vendor: Decimals become number literals, exactly as they are."""
    return _bytes(simplejson.dumps(value, use_decimal=True, ensure_ascii=False, default=_to_json))


def _bytes(text: str) -> bytes:
    """JSON text in UTF-8; half a surrogate pair stays what it was, as JSON's own escape."""
    return text.encode("utf-8", "backslashreplace")


def whole_number(text: str) -> int | None:
    """The number that a parameter or a part of a path says in ASCII digits; None if it is none."""
    return int(text) if re.fullmatch(r"[0-9]{1,18}", text) else None
