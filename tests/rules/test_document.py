"""The desired-state rule: whatever happens in whatever order, documents end as they should."""

from __future__ import annotations

from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tieout.rules import document as d
from tieout.rules.document import Actual, AskPeople, Cancel, InFlight, Plan, Satisfied

CONTENT = st.sampled_from(["one", "two", "three"])


class Target(RuleBasedStateMachine):
    """One document, an engine that obeys the rule, a target that is slow, loses and refuses."""

    @initialize(on_change=st.sampled_from(["update", "reverse_and_repost"]), content=CONTENT)
    def begin(self, on_change: d.OnChange, content: str) -> None:
        self.on_change = on_change
        self.desired: str | None = content
        self.actual = Actual("absent")
        self.holds: list[str] = []  # what is in effect in the target, one entry per document
        self.sent: list[str] = []  # actions that left

    def decide(self) -> d.Move:
        if self.desired is None:
            return d.backward(self.actual, "undo")
        return d.forward(self.actual, self.desired, self.on_change)

    @rule()
    def step(self) -> None:
        """The engine looks once and carries out what the rule says."""
        move = self.decide()
        if isinstance(move, Cancel):
            assert self.actual.unsent_plan, "only what never left can be dropped"
            self.actual = self.actual.without_plan()
            move = self.decide()
            assert not isinstance(move, Cancel), "nothing is left to drop"
        if isinstance(move, Plan):
            if self.actual.open_state:
                assert move.replaces_plan, "two open dispatches"
                assert self.actual.unsent_plan, "a dispatch that may have left was replaced"
            if move.action == "change":
                assert self.on_change == "update", "a change that policy does not allow"
            digest = "void" if move.action == "void" else self.desired or ""
            self.actual = Actual(
                self.actual.state,
                self.actual.proven_digest,
                "planned",
                digest,
                move.action,
                landed_action=self.actual.landed_action,
                landed_digest=self.actual.landed_digest,
            )

    @precondition(lambda self: self.actual.open_state == "planned")
    @rule(answered=st.booleans(), applied=st.booleans())
    def send(self, answered: bool, applied: bool) -> None:
        self.sent.append(self.actual.open_action)
        if answered or applied:
            self._apply()
        state: d.OpenState = "written" if answered else "unknown"
        self._open(state)

    def _apply(self) -> None:
        """The target's own view; the same reference again replaces, never adds."""
        if self.actual.open_action == "void":
            self.holds.clear()
        else:
            self.holds[:] = [self.actual.open_digest]

    def _open(self, state: d.OpenState) -> None:
        a = self.actual
        self.actual = Actual(
            a.state,
            a.proven_digest,
            state,
            a.open_digest,
            a.open_action,
            True,
            a.landed_action,
            a.landed_digest,
        )

    @precondition(lambda self: self.actual.open_state in {"written", "unknown"})
    @rule()
    def look(self) -> None:
        a = self.actual
        there = not self.holds if a.open_action == "void" else self.holds == [a.open_digest]
        if not there:
            self._open("planned")
        elif a.open_action == "void":
            self.actual = Actual("voided", a.open_digest)
        else:
            self.actual = Actual("present", a.open_digest)

    @precondition(lambda self: self.actual.open_state == "planned")
    @rule()
    def refuse(self) -> None:
        """The target says no: nothing landed, the plan is over."""
        self.actual = self.actual.without_plan()

    @precondition(lambda self: self.actual.open_state == "written")
    @rule()
    def differ(self) -> None:
        """Read-back shows something else: the dispatch ends without a proof."""
        a = self.actual
        self.actual = Actual(
            a.state, a.proven_digest, landed_action=a.open_action, landed_digest=a.open_digest
        )

    @rule(content=st.none() | CONTENT)
    def amend(self, content: str | None) -> None:
        """The record changes at its source, or leaves its scope (None)."""
        self.desired = content

    @invariant()
    def never_two(self) -> None:
        assert len(getattr(self, "holds", [])) <= 1

    def teardown(self) -> None:
        if not hasattr(self, "actual"):
            return
        for _ in range(12):  # create, void, create again and the looks between
            self.step()
            if self.actual.open_state == "planned":
                self.send(answered=True, applied=True)
            if self.actual.open_state in {"written", "unknown"}:
                self.look()
        assert isinstance(self.decide(), Satisfied)
        assert self.holds == ([] if self.desired is None else [self.desired])


TestTarget = Target.TestCase
TestTarget.settings = settings(max_examples=150, stateful_step_count=25, deadline=None)

ACTUALS = st.builds(
    Actual,
    state=st.sampled_from(get_args(d.DocumentState)),
    proven_digest=st.sampled_from(["", "one", "two"]),
    open_state=st.sampled_from(get_args(d.OpenState)),
    open_digest=st.sampled_from(["", "one", "two"]),
    open_action=st.sampled_from(["", "create", "change", "void"]),
    ever_sent=st.booleans(),
    landed_action=st.sampled_from(["", "create", "change", "void"]),
    landed_digest=st.sampled_from(["", "one", "two"]),
)


@given(ACTUALS, CONTENT, st.sampled_from(get_args(d.OnChange)))
def test_forward_answers_everything_and_keeps_policy(
    actual: Actual, desired: str, on_change: d.OnChange
) -> None:
    move = d.forward(actual, desired, on_change)
    if isinstance(move, Plan):
        assert not actual.open_state or (move.replaces_plan and actual.unsent_plan)
        fresh_change = move.action == "change" and actual.landed_action != "change"
        assert not fresh_change or on_change == "update"
        assert move.action != "void" or on_change != "update" or actual.landed_action == "void"
    if isinstance(move, Cancel):
        assert actual.unsent_plan
    if actual.open_state == "in_doubt":
        assert move == d.IN_DOUBT


@given(ACTUALS, st.sampled_from(get_args(d.OnLeave)))
def test_backward_only_ever_voids(actual: Actual, on_leave: d.OnLeave) -> None:
    move = d.backward(actual, on_leave)
    if isinstance(move, Plan):
        assert move.action == "void"
        assert on_leave == "undo"
        assert not actual.open_state or (move.replaces_plan and actual.unsent_plan)
    if isinstance(move, Satisfied):
        assert actual.state != "present"
        assert not actual.landed_action


@pytest.mark.parametrize(
    ("actual", "desired", "on_change", "move"),
    [
        (Actual("absent"), "one", "case", Plan("create")),
        (Actual("voided", "one"), "one", "update", Plan("create", new_generation=True)),
        (Actual("present", "one"), "one", "case", Satisfied()),
        (Actual("present", "one"), "two", "update", Plan("change")),
        (Actual("present", "one"), "two", "reverse_and_repost", Plan("void")),
        (Actual("absent", "", "sending", "one", "create", True), "two", "update", InFlight()),
        (Actual("absent", "", "planned", "one", "create"), "one", "update", InFlight()),
        (
            Actual("absent", "", "planned", "one", "create"),
            "two",
            "update",
            Plan("create", replaces_plan=True),
        ),
        # the deal came back before its cancellation left: nothing is cancelled
        (Actual("present", "one", "planned", "one", "void"), "one", "update", Cancel()),
        # what was sent and never proven is treated as being there: amended, not created twice
        (
            Actual("absent", landed_action="create", landed_digest="one"),
            "two",
            "update",
            Plan("change"),
        ),
        (
            Actual("absent", landed_action="create", landed_digest="one"),
            "one",
            "case",
            Plan("create"),
        ),
    ],
)
def test_forward_case_by_case(
    actual: Actual, desired: str, on_change: d.OnChange, move: d.Move
) -> None:
    assert d.forward(actual, desired, on_change) == move


def test_policy_case_asks_people() -> None:
    assert isinstance(d.forward(Actual("present", "one"), "two", "case"), AskPeople)
    assert isinstance(d.backward(Actual("present", "one"), "case"), AskPeople)


def test_leaving_scope_takes_back_what_is_there_and_drops_what_never_left() -> None:
    unsent = Actual("absent", "", "planned", "one", "create")
    assert d.backward(unsent, "undo") == Cancel()
    amending = Actual("present", "one", "planned", "two", "change")
    assert d.backward(amending, "undo") == Plan("void", replaces_plan=True)
    assert d.backward(amending, "case") == Cancel()
    unproven = Actual("absent", landed_action="create", landed_digest="one")
    assert d.backward(unproven, "undo") == Plan("void")
