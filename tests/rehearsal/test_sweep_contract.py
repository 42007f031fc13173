"""The contract's case about sweeps fails for a sweep that is wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.connectors import test_salesforce_contract as salesforce
from tieout.connectors.salesforce.connector import Salesforce
from tieout.ports.connector import Marks
from tieout.rehearsal.contract.reading import a_sweep_meets_every_row

MISTAKES: dict[str, Callable[[Marks], Marks]] = {
    "leaves one out": lambda page: replace(page, marks=page.marks[1:]),
    "names one twice": lambda page: replace(page, marks=(*page.marks, *page.marks[:1])),
    "spells versions otherwise": lambda page: replace(
        page, marks=tuple(replace(one, version=f"{one.version}Z") for one in page.marks)
    ),
    "never ends": lambda page: replace(page, marks=(), after="", more=True),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_wrong_sweep_is_caught(mistake: str, monkeypatch: pytest.MonkeyPatch) -> None:
    right = Salesforce.marks
    monkeypatch.setattr(
        Salesforce, "marks", lambda self, *asked: MISTAKES[mistake](right(self, *asked))
    )
    hooks = salesforce.TestSalesforce()
    with pytest.raises(AssertionError, match="Account"):
        a_sweep_meets_every_row(hooks, hooks.connector.streams["Account"])
