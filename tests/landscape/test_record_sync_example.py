"""The record sync landscape: its declared interfaces are judged, its mappings do what is said."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tieout.landscape.checker import check
from tieout.landscape.examples import example
from tieout.landscape.given_expected import run_tests
from tieout.landscape.loader import load
from tieout.ports.registry import connectors
from tieout.rules.place import BadLandscape, Problem

SYSTEMS = "systems/systems.yaml"


def test_it_checks_clean_and_every_test_passes() -> None:
    landscape = load(example("record_sync"))
    assert check(landscape, connectors()) == []
    results = run_tests(landscape, connectors())
    assert [str(one) for result in results for one in result.problems] == []
    assert {result.mapping for result in results} == set(landscape.mappings)


@pytest.fixture
def problems_with(tmp_path: Path) -> Callable[[str, str], list[Problem]]:
    """Change systems.yaml in one place and hand back every problem."""

    def changed(old: str, new: str) -> list[Problem]:
        folder = tmp_path / "landscape"
        for path in example("record_sync").rglob("*"):
            if path.is_file():
                copy = folder / path.relative_to(example("record_sync"))
                copy.parent.mkdir(parents=True, exist_ok=True)
                copy.write_bytes(path.read_bytes())
        text = (folder / SYSTEMS).read_text()
        assert old in text
        (folder / SYSTEMS).write_text(text.replace(old, new, 1))
        try:
            return check(load(folder), connectors())
        except BadLandscape as bad:
            return list(bad.problems)

    return changed


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("key: id", "key: ident", "key of interface 'invoice' is 'ident'"),
        ("customer: text", "customer: {type: ref, to: customer}", "'customer' of .* is a ref"),
        ("files: ", "fils: ", "unknown option 'fils'"),
        ('"invoices*.jsonl"', "in/*.jsonl", "names its files 'in/\\*.jsonl'"),
        ('"invoices*.jsonl"', "invoices*.txt", "format: txt"),
        ("    version: version        # a re", "    # a re", "names no version"),
        ("void: status=CANCELLED", "void: state=X", "is voided by 'state=X'"),
        ("facts: version,", "facts: versoin,", "compares 'versoin'"),
        ("changed: updated_at", 'writes_per_call: "0"', "writes_per_call: 0"),
        (
            "connector: files",
            "connector: netsuite",
            "but connector 'netsuite' has its own",
        ),
    ],
)
def test_a_wrong_declaration_is_named_with_its_place(
    old: str, new: str, what: str, problems_with: Callable[[str, str], list[Problem]]
) -> None:
    found = problems_with(old, new)
    named = [one for one in found if re.search(what, one.what)]
    assert named, found
    assert named[0].place.file == SYSTEMS
    assert named[0].next_action


def test_a_system_without_interfaces_is_told_to_declare_some(
    problems_with: Callable[[str, str], list[Problem]],
) -> None:
    cut = (example("record_sync") / SYSTEMS).read_text().partition("interfaces:")[2]
    cut = "interfaces:" + cut.partition("---")[0]
    found = problems_with(cut, "")
    assert any("declares no interface" in one.what for one in found), found
