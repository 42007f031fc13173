"""What a write to another system came to, and who acts on it.

No answer is not "no": `Unknown` is an outcome of its own, and only an explicit yes or no counts.
Whether something is tried again is a property of the outcome, never of the caller.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Detail:
    """Why, in the vendor's words and in ours.

    `code` is the vendor's own code, `words` says it plainly for a finance operator, `next_action`
    says what to do; `field` names the field at fault where the vendor says so.
    """

    words: str
    next_action: str = ""
    code: str = ""
    http_status: int | None = None
    field: str = ""


@dataclass(frozen=True, slots=True)
class Written:
    """The system says it applied the write. Not yet a proof."""

    target_id: str
    detail: Detail | None = None


@dataclass(frozen=True, slots=True)
class AlreadyThere:
    """The system says a document with our reference exists; confirm decides whether it agrees."""

    target_id: str = ""
    detail: Detail | None = None


@dataclass(frozen=True, slots=True)
class Accepted:
    """An asynchronous job took the write; ask again with `handle` after `look_after_seconds`."""

    handle: str
    look_after_seconds: float
    detail: Detail | None = None


@dataclass(frozen=True, slots=True)
class Busy:
    """Not applied: the system asks us to slow down. `wait_seconds` is what it said, if it did.

    `held_back`: the write never left, since the system had just said so to another one.
    """

    detail: Detail
    wait_seconds: float | None = None
    held_back: bool = False


@dataclass(frozen=True, slots=True)
class Outage:
    """Surely not applied: the system is down or unreachable. Back off; the platform team acts.

    `held_back`: the write never left, since others had just got no answer.
    """

    detail: Detail
    held_back: bool = False


@dataclass(frozen=True, slots=True)
class Unknown:
    """No answer: the write may or may not have been applied. Fence, look, then decide."""

    detail: Detail


@dataclass(frozen=True, slots=True)
class Rejected:
    """Surely not applied, and never will be as it is: this record's data owner acts."""

    detail: Detail


@dataclass(frozen=True, slots=True)
class Denied:
    """Credentials or permissions are wrong: the whole system pauses, its administrator acts."""

    detail: Detail


@dataclass(frozen=True, slots=True)
class Drift:
    """The system no longer speaks the agreed interface: the integration engineer acts."""

    detail: Detail


Outcome = Written | AlreadyThere | Accepted | Busy | Outage | Unknown | Rejected | Denied | Drift


@dataclass(frozen=True, slots=True)
class Found:
    """A document as the target shows it on read-back.

    `facts` holds the values a proof compares (amount, currency, date, status, …) under the same
    names as `Finds.meant`, amounts as decimal strings, dates as ISO dates. `number` is the
    document number people see (SO1042), where the system has one.
    """

    target_id: str
    facts: dict[str, str] = field(default_factory=dict)
    number: str = ""
    pending: str = ""  # non-empty: exists, but not in its final state yet; says why
