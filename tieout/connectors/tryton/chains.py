"""A document in Tryton is made in several calls: create, quote, confirm, process. A chain is the
calls one write still needs; chains advance side by side, one call of each at a time.

Chains whose next calls differ only in the document share one call, a bundle: posting twenty
invoices together takes a quarter of the time. A bundle never blurs who did what:

- It succeeded: Tryton did the same to every member.
- It was refused: Tryton rolled it back whole, so every member is sent again alone, at once, and
  gets its own answer. What Tryton may have begun after a commit (it processes a confirmed order by
  itself) is harmless to repeat: each step only moves a document on, and never twice.
- No answer, or a fault inside the server: every member is Unknown, and is looked up by itself.

Whatever a bundle said, each document is read back and proved on its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from tieout.connectors.tryton import wire
from tieout.connectors.tryton.errors import ERRORS
from tieout.connectors.tryton.references import NotFound
from tieout.finance.outcome import (
    AlreadyThere,
    Busy,
    Denied,
    Detail,
    Drift,
    Outage,
    Outcome,
    Rejected,
    Unknown,
    Written,
)
from tieout.ports.connector import Write
from tieout.ports.errors import VendorFault
from tieout.ports.http import NoAnswer, Request
from tieout.ports.session import Session

MOST_STEPS = 8


class OddAnswer(ValueError):
    """A call succeeded, but its result has not the shape Tryton promises."""


@dataclass
class Chain:
    """What one write still needs. `remembered` holds what a step learned for the next one."""

    write: Write
    steps: list[Step]
    target_id: str = ""
    remembered: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Bundle:
    """How a step of several chains is made as one call. Steps with the same `kind` share it.

    `parts` takes the result apart, one for each chain in order; it may raise OddAnswer.
    """

    kind: str
    make: Callable[[Sequence[Chain]], Request]
    parts: Callable[[Sequence[Chain], object], Sequence[object]] = lambda chains, result: [
        None for _ in chains
    ]


@dataclass(frozen=True, slots=True)
class Step:
    """One call, made when its turn comes, and what to learn from its result.

    `learn` may raise OddAnswer. A step that only `tidies` comes after the effect: whatever becomes
    of it, the write is done.
    """

    make: Callable[[Chain], Request]
    learn: Callable[[Chain, object], None] = lambda chain, result: None
    bundle: Bundle | None = None
    tidies: bool = False


Planned = Chain | Outcome
Live = tuple[int, Chain]  # its place among the plans, and the chain


def first_id(chain: Chain, result: object) -> None:
    """`create` answers the list of new ids."""
    if not isinstance(result, list) or not result:
        raise OddAnswer("create did not answer the new id")
    chain.target_id = str(result[0])


def each_id(chains: Sequence[Chain], result: object) -> list[object]:
    """`create` answers the new ids in the order of what was given."""
    if not isinstance(result, list) or len(result) != len(chains):
        raise OddAnswer("create did not answer one new id for each document")
    return [[one] for one in result]


def run(at: Session, plans: Sequence[Planned], *, together: bool = True) -> list[Outcome]:
    """Run every chain to its end; one outcome per plan, in order. Never raises for an answer.

    Not `together`: one call at a time, for documents that queue for one numbering sequence.
    """
    outcomes: list[Outcome | None] = [None if isinstance(plan, Chain) else plan for plan in plans]
    for turn in range(MOST_STEPS):
        live = [
            (place, plan)
            for place, plan in enumerate(plans)
            if isinstance(plan, Chain) and outcomes[place] is None and turn < len(plan.steps)
        ]
        if not live:
            break
        groups = _grouped(live, turn)
        faults = _call(at, groups, turn, together)
        alone = [
            [one]
            for group in groups
            for one in group
            if len(group) > 1 and isinstance(faults[one[0]], Rejected | AlreadyThere)
        ]
        faults.update(_call(at, alone, turn, together))
        for place, fault in faults.items():
            outcomes[place] = fault
    return [
        Written(plan.target_id)
        if outcome is None and isinstance(plan, Chain)
        else _certain(outcome)
        for plan, outcome in zip(plans, outcomes, strict=True)
    ]


def _grouped(live: Sequence[Live], turn: int) -> list[list[Live]]:
    """Who shares the next call, in order."""
    groups: dict[str, list[Live]] = {}
    for place, chain in live:
        bundle = chain.steps[turn].bundle
        groups.setdefault(bundle.kind if bundle else f"alone {place}", []).append((place, chain))
    return list(groups.values())


def _call(
    at: Session, groups: Sequence[Sequence[Live]], turn: int, together: bool
) -> dict[int, Outcome | None]:
    """Make one call for each group; what stopped a chain, by its place, or None."""
    requests = []
    for group in groups:
        step = group[0][1].steps[turn]
        chains = [chain for _, chain in group]
        shared = step.bundle is not None and len(chains) > 1
        requests.append(
            step.bundle.make(chains) if step.bundle and shared else step.make(chains[0])
        )
    answers = (
        at.send_all(requests)
        if together
        else [answer for request in requests for answer in at.send_all([request])]
    )
    faults: dict[int, Outcome | None] = {}
    for group, answer in zip(groups, answers, strict=True):
        fault, result = wire.outcome_of(ERRORS, answer)
        if group[0][1].steps[turn].tidies:
            fault = None
        elif fault is None:
            fault = _learn([chain for _, chain in group], turn, result)
        if turn and isinstance(fault, Busy | Outage):
            fault = replace(fault, held_back=False)  # the steps before it did leave
        faults.update({place: fault for place, _ in group})
    return faults


def _learn(chains: Sequence[Chain], turn: int, result: object) -> Outcome | None:
    """Let every chain of a call learn its part of the result; Unknown when it has another
    shape."""
    bundle = chains[0].steps[turn].bundle
    try:
        parts = bundle.parts(chains, result) if bundle and len(chains) > 1 else [result]
        for chain, part in zip(chains, parts, strict=True):
            chain.steps[turn].learn(chain, part)
    except OddAnswer as error:
        # The call did succeed: something may have been made. What Tryton holds decides.
        return Unknown(Detail(str(error), "Compare the Tryton release.", "shape"))
    return None


def _certain(outcome: Outcome | None) -> Outcome:
    if outcome is None:
        raise AssertionError("a plan is a chain or an outcome")
    return outcome


def plan_each(writes: Sequence[Write], plan: Callable[[Write], Planned]) -> list[Planned]:
    """A plan per write; one that refers to what Tryton lacks is Rejected, alone."""
    plans: list[Planned] = []
    for write in writes:
        try:
            plans.append(plan(write))
        except NotFound as error:
            plans.append(
                Rejected(Detail(error.words, error.next_action, "reference", None, error.field))
            )
    return plans


def wizard(
    at: Session,
    name: str,
    answer: tuple[str, Mapping[str, object], str],
    context: Mapping[str, object],
    learn: Callable[[Chain, object], None] = lambda chain, result: None,
) -> list[Step]:
    """A Tryton wizard as three calls: open, answer its form (state, values, button), close."""
    whole = {**context, "active_ids": [context["active_id"]]}
    state, values, pressed = answer

    def opened(chain: Chain, result: object) -> None:
        if not isinstance(result, list) or not result:
            raise OddAnswer(f"wizard {name} did not answer its session")
        chain.remembered[name] = result[0]

    def opening(chain: Chain) -> Request:
        return wire.call(at, f"wizard.{name}.create", context=whole)

    def answering(chain: Chain) -> Request:
        session = chain.remembered[name]
        return wire.call(
            at, f"wizard.{name}.execute", session, {state: values}, pressed, context=whole
        )

    def closing(chain: Chain) -> Request:
        return wire.call(at, f"wizard.{name}.delete", chain.remembered[name], context=whole)

    return [Step(opening, opened), Step(answering, learn), Step(closing, tidies=True)]


def looked_in_vain(writes: Sequence[Write], error: VendorFault | NoAnswer) -> list[Outcome]:
    """The look before the write failed: nothing was sent, so every write was surely not applied."""
    if isinstance(error, VendorFault) and isinstance(error.outcome, Busy | Outage | Denied | Drift):
        return [error.outcome for _ in writes]
    if isinstance(error, VendorFault) and isinstance(error.outcome, Unknown):
        return [Outage(error.outcome.detail) for _ in writes]  # a look leaves nothing in doubt
    detail = Detail(
        f"could not look before writing: {error}", "Nothing was sent; it is sent again."
    )
    if isinstance(error, NoAnswer) and error.never_sent:
        return [Outage(detail, error.held_back) for _ in writes]
    return [Busy(detail) for _ in writes]


def rejected(words: str, next_action: str, code: str = "", at_field: str = "") -> Rejected:
    """A refusal of our own, before anything is sent."""
    return Rejected(Detail(words, next_action, code, None, at_field))


def text(document: Mapping[str, object], name: str) -> str:
    """A value of a document as text, "" when absent."""
    value = document.get(name)
    return "" if value is None else str(value)
