"""What to do about one document in a target system: the desired state against the proven one.

Pure and total: every combination has exactly one answer, property-tested. A document has at most
one open dispatch; nothing is planned beside it, except that a plan nobody has sent yet is replaced.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

DocumentState = Literal["absent", "present", "voided"]
OpenState = Literal["", "planned", "sending", "accepted", "unknown", "written", "in_doubt"]
OnChange = Literal["update", "reverse_and_repost", "case"]
OnLeave = Literal["undo", "case"]
Action = Literal["create", "change", "void"]


@dataclass(frozen=True, slots=True)
class Actual:
    """A document as we have proven it, and what is under way for it.

    `landed_action` and `landed_digest` tell of a write that was sent last and never proven: the
    target shows something else, or nothing yet. It may be there, so it counts as being there.
    """

    state: DocumentState
    proven_digest: str = ""
    open_state: OpenState = ""
    open_digest: str = ""
    open_action: str = ""
    ever_sent: bool = False  # an attempt of the open dispatch may have landed
    landed_action: str = ""
    landed_digest: str = ""

    @property
    def unsent_plan(self) -> bool:
        """Whether what is open is a plan that has never left."""
        return self.open_state == "planned" and not self.ever_sent

    def without_plan(self) -> Actual:
        """The same document, its open plan dropped."""
        return replace(self, open_state="", open_digest="", open_action="")


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
    """Drop a plan that was never sent, and decide again without it."""


@dataclass(frozen=True, slots=True)
class AskPeople:
    """Policy says a person decides. `why` is the reason in plain words."""

    why: str


Move = Satisfied | InFlight | Plan | Cancel | AskPeople

IN_DOUBT = AskPeople("nobody knows whether the last write arrived; a person must look")


def forward(actual: Actual, desired_digest: str, on_change: OnChange) -> Move:
    """The next move towards `desired_digest` being what the target holds."""
    if actual.open_state == "in_doubt":
        return IN_DOUBT
    if actual.open_state:
        if not actual.unsent_plan:
            return InFlight()
        return _instead(
            actual, forward(actual.without_plan(), desired_digest, on_change), desired_digest
        )
    landed = actual.landed_action in {"create", "change"}
    if landed and actual.landed_digest == desired_digest:  # the same again, under the same key
        return Plan(
            "create" if actual.landed_action == "create" else "change",
            new_generation=actual.state == "voided",
        )
    if not landed:
        if actual.state == "absent":
            return Plan("create")
        if actual.state == "voided":
            return Plan("create", new_generation=True)
        if actual.proven_digest == desired_digest and not actual.landed_action:
            return Satisfied()
    if actual.landed_action == "void":  # begun and never proven: it must be finished first
        return Plan("void")
    if on_change == "update":
        return Plan("change")
    if on_change == "reverse_and_repost":
        return Plan("void")
    return AskPeople("the record changed after it was written, and policy asks a person to decide")


def backward(actual: Actual, on_leave: OnLeave) -> Move:
    """The next move towards the document having no effect any more."""
    if actual.open_state == "in_doubt":
        return IN_DOUBT
    if actual.open_state:
        if not actual.unsent_plan:
            return InFlight()
        return _instead(actual, backward(actual.without_plan(), on_leave), "")
    if actual.state in {"absent", "voided"} and not actual.landed_action:
        return Satisfied()
    if on_leave == "undo":
        return Plan("void")
    return AskPeople("the record left its scope after it was written, and policy asks a person")


def _instead(actual: Actual, wanted: Move, desired_digest: str) -> Move:
    """What becomes of an unsent plan, given what would be planned without it."""
    if not isinstance(wanted, Plan):
        return Cancel()
    same = wanted.action == actual.open_action
    if same and (wanted.action == "void" or actual.open_digest == desired_digest):
        return InFlight()
    return replace(wanted, replaces_plan=True)
