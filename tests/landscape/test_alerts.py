"""policies/alerts.yaml and slo: what is wrong is told with its file and line, and no secret."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.engine.house import changed_landscape
from tieout.landscape.loader import load
from tieout.rules.place import BadLandscape

CHANNEL = "channels:\n  - {channel: ops, mail_to: [a@b.example]}\n"
MAIL = "mail: {server: 'h.example:25', sender: t@b.example}\n"


def problems(tmp_path: Path, text: str) -> list[str]:
    changed_landscape(tmp_path, {})
    (tmp_path / "landscape" / "policies" / "alerts.yaml").write_text(text, encoding="utf-8")
    try:
        load(tmp_path / "landscape")
    except BadLandscape as bad:
        return [str(one) for one in bad.problems]
    return []


def test_what_is_right_is_taken(tmp_path: Path) -> None:
    assert problems(tmp_path, MAIL + CHANNEL) == []


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        (CHANNEL, 2, "sends mail, and alerts.yaml names no mail server"),
        ("mail: {server: nowhere, sender: a@b.example}", 1, "'nowhere' is no server"),
        ("mail: {server: 'h:99999', sender: a@b.example}", 1, "is no server"),
        ("mail: {server: 'h:25', sender: 'a b'}", 1, "is no mail address"),
        ("\nthresholds: {case_age: soon}", 2, "soon"),
        ("\nthresholds: {errors_percent: 101}", 2, "errors_percent"),
        ("\nthresholds: {case_agge: 1 days}", 2, "case_agge"),
        (MAIL + CHANNEL + CHANNEL.splitlines()[1], 4, "is there twice"),
        ("channels:\n  - {channel: ops}", 2, "has not one of mail_to and chat"),
        ("channels:\n  - {channel: ops, chat: 'env:X'}", 2, "which addresses"),
        (
            "channels:\n  - {channel: ops, chat: 'env:X', addresses: ['http://x.example']}",
            2,
            "neither https nor this machine",
        ),
        (MAIL + CHANNEL.replace("}", ", about: [sloo]}"), 3, "unknown kind 'sloo'"),
        (MAIL + CHANNEL.replace("}", ", quiet: '25:00 to 07:00'}"), 3, "no quiet hours"),
        (MAIL + CHANNEL.replace("}", ", time_zone: Mars/Base}"), 3, "no time zone"),
    ],
)
def test_what_is_wrong_is_told_where_it_is(
    tmp_path: Path, text: str, line: int, words: str
) -> None:
    found = problems(tmp_path, text)
    assert any(words in one and f"alerts.yaml:{line}" in one for one in found), found


def test_a_secret_that_stands_in_the_file_is_not_repeated(tmp_path: Path) -> None:
    hook = "https://hooks.example.com/services/canary-9d31"
    addresses = "addresses: ['https://hooks.example.com']"
    found = problems(tmp_path, f"channels:\n  - {{channel: ops, chat: '{hook}', {addresses}}}")
    assert any("is not a reference" in one for one in found)
    assert "canary" not in "".join(found)


def test_a_promise_in_other_words_is_told_with_how_to_write_it(tmp_path: Path) -> None:
    flow = "flows/quote_to_cash.yaml"
    promise = ("fresh_within: 30 minutes", "complete_by: two days after the close")
    with pytest.raises(BadLandscape) as bad:
        changed_landscape(tmp_path, {flow: promise})
    (told,) = [str(one) for one in bad.value.problems if "complete_by" in str(one)]
    assert re.search(r"quote_to_cash\.yaml:\d+", told)
    assert "forecast cycle monthly on day 25" in told
