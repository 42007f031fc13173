"""P6 as code: what left after somebody was asked was agreed to, with the content that left."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engine.house import House, changed_landscape, house
from tests.engine.test_approvals import answer, asking, open_questions
from tests.engine.test_flow import order
from tieout.rehearsal.invariants import nothing_leaves_unapproved
from tieout.rehearsal.scene import Scene

WORDS = "a document left, and nobody had agreed to what it says"


@pytest.fixture
def home(database_url: str, tmp_path: Path) -> Iterator[House]:
    with house(database_url, changed_landscape(tmp_path, asking())) as made:
        yield made


def said(home: House) -> list[str]:
    context = home.engine
    with home.connection() as connection:
        scene = Scene(
            context.landscape,
            context.compiled,
            connection,
            twins={},
            deeds=[],
            told=[],
            phase="rest",
            runner=context.runner,
        )
        return [one.words for one in nothing_leaves_unapproved(scene)]


def test_what_was_agreed_to_or_needs_nobody_is_fine(home: House) -> None:
    deal = order(home, "100")
    home.run()
    answer(home, open_questions(home)[0], "approved")
    home.run()
    home.seller.reprice(deal, "10")  # small: nobody is asked
    home.run()
    assert home.run_states() == ["complete"]
    assert said(home) == []


def test_what_left_with_other_content_than_was_agreed_to_is_found(home: House) -> None:
    deal = order(home, "100")
    home.run()
    answer(home, open_questions(home)[0], "approved")
    home.run()
    home.seller.reprice(deal, "120")
    home.run()
    (second,) = open_questions(home)
    with home.connection() as connection:  # a yes that shows other content than the record has
        connection.execute(
            "UPDATE approvals SET state = 'approved', decided_at = tieout_now(), "
            "decided_by = 'elena' WHERE approval_id = %s",
            (second.approval_id,),
        )
        connection.execute("UPDATE runs SET state = 'ready'")
    home.run()
    assert home.run_states() == ["complete"]
    assert [one.startswith(WORDS) for one in said(home)] == [True]
