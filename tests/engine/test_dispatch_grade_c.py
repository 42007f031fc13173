"""Dispatch in grade C, and what a system does not show: never sent again, never forgotten."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.engine.house import House
from tests.engine.test_dispatch import INVOICE
from tests.engine.test_flow import order
from tieout.engine import judging
from tieout.engine.context import Context
from tieout.engine.replay import NotOneDocument, replay
from tieout.ports.connector import Idempotency


def graded(home: House, grade: Idempotency, stream: str = "invoice") -> None:
    """From now on the engine believes that NetSuite's stream has this grade."""
    known = home.compiled.streams
    spec = replace(known["netsuite", stream], idempotency=grade)
    home.compiled = replace(home.compiled, streams={**known, ("netsuite", stream): spec})
    home.engine.compiled = home.compiled


def test_grade_c_is_never_posted_again_by_itself(home: House) -> None:
    graded(home, Idempotency("C"))
    home.lines["netsuite"].plant("lost_request", INVOICE)
    order(home)
    home.run()
    home.go_on(3600)
    home.run()
    assert home.lines["netsuite"].sent("POST", INVOICE) == 1
    assert "in_doubt" in [reason for reason, _ in home.open_cases()]
    assert home.one("SELECT state FROM dispatches WHERE stream = 'invoice'") == "in_doubt"


def test_grade_c_that_did_land_is_proven(home: House) -> None:
    graded(home, Idempotency("C"))
    home.lines["netsuite"].plant("lost_reply", INVOICE)
    order(home)
    home.run()
    assert home.run_states() == ["complete"]


def blind_to(stream: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A system that does not show documents of this stream ("" = of any), whatever it has."""
    real = judging.look

    def blind(context: Context, system: str, asked: str, *rest: Any) -> judging.Look:
        seen = real(context, system, asked, *rest)
        return replace(seen, found={}) if stream in ("", asked) else seen

    monkeypatch.setattr(judging, "look", blind)


def test_grade_c_said_to_have_landed_and_not_shown_stays_in_doubt(
    home: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found by the rehearsal: it was given up as different from what is there, and the next replay
    of that case sent it again."""
    graded(home, Idempotency("C"))
    blind_to("invoice", monkeypatch)
    home.lines["netsuite"].plant("lost_reply", INVOICE)
    order(home)
    home.run()
    replay(home.engine, reason="in_doubt", landed=True)
    home.run()
    state = "SELECT state FROM dispatches WHERE stream = 'invoice'"
    assert home.one(state) == "in_doubt"
    assert home.one("SELECT count(*) FROM cases WHERE words LIKE 'it is said to be there%%'") == 1
    replay(home.engine)
    home.run()
    assert home.lines["netsuite"].sent("POST", INVOICE) == 1
    assert home.one(state) == "in_doubt"


def test_whoever_saw_it_says_under_which_id(home: House, monkeypatch: pytest.MonkeyPatch) -> None:
    graded(home, Idempotency("C"))
    blind_to("invoice", monkeypatch)
    home.lines["netsuite"].plant("lost_reply", INVOICE)
    order(home)
    home.run()
    monkeypatch.undo()
    replay(home.engine, reason="in_doubt", landed=True, target_id="4711")
    assert home.one("SELECT target_id FROM dispatches WHERE stream = 'invoice'") == "4711"
    with pytest.raises(NotOneDocument, match="0 are chosen"):
        replay(home.engine, reason="decision", landed=True, target_id="4711")


def test_an_unknown_change_in_grade_c_is_not_sent_again(home: House) -> None:
    graded(home, Idempotency("C"), "customer")
    deal = order(home)
    home.run()
    account = home.seller.row(deal)["AccountId"]
    sent = home.lines["netsuite"].sent("PUT", "customer/")
    home.lines["netsuite"].plant("lost_request", "customer/", "PUT")
    home.seller.change("Account", account, Name="Another name")
    home.seller.reprice(deal, "11")
    home.run()
    assert home.lines["netsuite"].sent("PUT", "customer/") == sent + 1
    assert home.one("SELECT count(*) FROM proofs WHERE dispatch_id = 1") == 1


def test_an_answer_nobody_understands_may_have_been_applied(home: House) -> None:
    """Drift on a write: quarantined with a case, looked up, never blindly sent again in grade C."""
    graded(home, Idempotency("C"))
    line = home.lines["netsuite"]
    line.plant("", INVOICE, status=415, body=b"{}")
    order(home)
    home.run()
    outcome = home.one(
        "SELECT outcome FROM attempts a JOIN dispatches d USING (dispatch_id) "
        "WHERE d.stream = 'invoice' AND a.kind = 'send' ORDER BY attempt_id LIMIT 1"
    )
    state = home.one("SELECT state FROM dispatches WHERE stream = 'invoice' ORDER BY 1 LIMIT 1")
    assert (outcome, state) == ("Drift", "in_doubt")
    assert "drift" in {reason for (reason,) in home.rows("SELECT reason FROM cases")}
    assert line.sent("POST", INVOICE) == 1


def test_what_the_system_called_it_is_kept_when_it_does_not_show_it_yet(
    home: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Read back in the turn that wrote it, and not there yet: the id it was given is not lost."""
    blind_to("", monkeypatch)
    order(home, "10")
    home.go_on(0.1)
    waiting = home.rows("SELECT stream, target_id FROM dispatches WHERE state = 'written'")
    assert waiting
    assert all(target for _, target in waiting)
