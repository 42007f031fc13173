"""What to do about one document in a target system: the desired state against the proven one.

Pure and total: every combination has exactly one answer, property-tested. A document has at most
one open dispatch; nothing is planned beside it, except that a plan nobody has sent yet is replaced.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

DocumentState = Literal["absent", "present", "voided"]
OpenState = Literal["", "planned", "sending", "accepted", "unknown", "written", "in_doubt"]
OnChange = Literal["update", "reverse_and_repost", "case"]
OnLeave = Literal["undo", "case"]
Action = Literal["create", "change", "void"]


@dataclass(frozen=True, slots=True)
class Actual:
    """A document as we have proven it, and what is under way for it."""

    state: DocumentState
    proven_digest: str = ""
    open_state: OpenState = ""
    open_digest: str = ""
    open_action: str = ""
    ever_sent: bool = False  # an attempt of the open dispatch may have landed


@dataclass(frozen=True, slots=True)
class Satisfied:
    """The target holds what it should."""


@dataclass(frozen=True, slots=True)
class InFlight:
    """Something is under way; look again when it is proven."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Plan one dispatch. `replaces_plan`: drop the unsent plan in its favour."""

    action: Action
    new_generation: bool = False
    replaces_plan: bool = False


@dataclass(frozen=True, slots=True)
class Cancel:
    """Drop a plan that was never sent; the document stays as it is."""


@dataclass(frozen=True, slots=True)
class AskPeople:
    """Policy says a person decides. `why` is the reason in plain words."""

    why: str


Move = Satisfied | InFlight | Plan | Cancel | AskPeople


def forward(actual: Actual, desired_digest: str, on_change: OnChange) -> Move:
    """The next move towards `desired_digest` being what the target holds."""
    if actual.open_state == "in_doubt":
        return AskPeople("nobody knows whether the last write arrived; a person must look")
    if actual.open_state:
        replaceable = actual.open_state == "planned" and not actual.ever_sent
        if replaceable and actual.open_action != "void" and actual.open_digest != desired_digest:
            action: Action = "change" if actual.open_action == "change" else "create"
            if action == "change" and actual.proven_digest == desired_digest:
                return Cancel()
            return Plan(action, replaces_plan=True)
        return InFlight()
    if actual.state == "absent":
        return Plan("create")
    if actual.state == "voided":
        return Plan("create", new_generation=True)
    if actual.proven_digest == desired_digest:
        return Satisfied()
    if on_change == "update":
        return Plan("change")
    if on_change == "reverse_and_repost":
        return Plan("void")
    return AskPeople("the record changed after it was written, and policy asks a person to decide")


def backward(actual: Actual, on_leave: OnLeave) -> Move:
    """The next move towards the document having no effect any more."""
    if actual.open_state == "in_doubt":
        return AskPeople("nobody knows whether the last write arrived; a person must look")
    if actual.open_state:
        if actual.open_state == "planned" and not actual.ever_sent and actual.open_action != "void":
            return Cancel()
        return InFlight()
    if actual.state in {"absent", "voided"}:
        return Satisfied()
    if on_leave == "undo":
        return Plan("void")
    return AskPeople("the record left its scope after it was written, and policy asks a person")
