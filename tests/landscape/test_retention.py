"""How long evidence is kept: loaded, with defaults, and judged."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tieout.landscape.examples import example
from tieout.landscape.loader import load
from tieout.landscape.retention import RetentionSpec
from tieout.rules.place import BadLandscape


def with_policy(folder: Path, text: str) -> Path:
    copy = folder / "landscape"
    shutil.copytree(example("quote_to_cash"), copy, ignore=shutil.ignore_patterns("data"))
    (copy / "policies" / "retention.yaml").write_text(text, encoding="utf-8")
    return copy


def test_a_policy_is_loaded_and_changes_the_content_hash(tmp_path: Path) -> None:
    folder = with_policy(tmp_path, "hot_months: 24\nkeep_years: 7\nfolder: /srv/evidence\n")
    found = load(folder)
    assert found.retention == RetentionSpec(24, 7, "/srv/evidence")
    assert found.retention.folder_in(folder) == Path("/srv/evidence")
    plain = load(example("quote_to_cash"))
    assert plain.retention == RetentionSpec()
    assert plain.retention.folder_in(folder) == folder / ".tieout" / "archive"
    assert found.content_hash != plain.content_hash


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("hot_months: 0\n", "hot_months"),
        ("hot_months: 240\nkeep_years: 2\n", "less than the 240 months"),
        ("keep_years: soon\n", "whole number"),
        ("folder: ../../elsewhere\n", "leads out"),
        ("keep_year: 7\n", "not a key"),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(BadLandscape) as refused:
        load(with_policy(tmp_path, text))
    (problem,) = refused.value.problems
    assert words in str(problem)
    assert problem.place.file == "policies/retention.yaml"
