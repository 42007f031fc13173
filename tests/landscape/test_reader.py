"""YAML as text: the traps of YAML 1.1 do not spring, and what a reviewer reads is what runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from tieout.landscape.reader import Items, Table, Text, parse_yaml, read_csv, read_yaml
from tieout.rules.place import BadLandscape, Place


def values(node: object) -> object:
    if isinstance(node, Text):
        return node.value
    if isinstance(node, Items):
        return [values(one) for one in node.items]
    assert isinstance(node, Table)
    return {key: values(one) for key, one in node.entries.items()}


def refused(text: str) -> BadLandscape:
    with pytest.raises(BadLandscape) as caught:
        parse_yaml(text, "flows/a.yaml")
    return caught.value


@pytest.mark.parametrize(
    "written",
    [
        *[
            "NO",
            "no",
            "on",
            "off",
            "yes",
            "y",
            "true",
            "~",
            "null",
            "0123",
            "0o17",
            "0x1F",
            "1_000",
        ],
        *["1e3", "1.10", "+1", ".inf", "=", "12:30:45", "2024-01-01"],
    ],
)
def test_a_scalar_stays_the_text_that_was_written(written: str) -> None:
    (document,) = parse_yaml(f"value: {written}\n", "a.yaml")
    assert values(document) == {"value": written}


def test_keys_stay_text_too() -> None:
    (document,) = parse_yaml("on: 1\nNO: 2\n0123: 3\n", "a.yaml")
    assert values(document) == {"on": "1", "NO": "2", "0123": "3"}


def test_every_value_knows_its_line() -> None:
    text = "a: 1\n\nb:\n  - x\n  - {c: y,\n     d: z}\n"
    (document,) = parse_yaml(text, "flows/a.yaml")
    assert isinstance(document, Table)
    assert document.key_places["b"] == Place("flows/a.yaml", 3)
    listed = document.entries["b"]
    assert isinstance(listed, Items)
    inner = listed.items[1]
    assert isinstance(inner, Table)
    assert inner.entries["d"].place == Place("flows/a.yaml", 6)


def test_several_documents_and_comments_only() -> None:
    documents = parse_yaml("a: 1\n---\nb: 2\n---\n# nothing here\n", "a.yaml")
    assert [values(one) for one in documents] == [{"a": "1"}, {"b": "2"}]
    assert parse_yaml("# only a comment\n", "a.yaml") == ()


def test_a_duplicate_key_names_both_lines() -> None:
    (problem,) = refused("a: 1\nb: 2\na: 3\n").problems
    assert str(problem.place) == "flows/a.yaml:3"
    assert "'a' is there twice (first on line 1)" in problem.what


@pytest.mark.parametrize(
    ("text", "words", "line"),
    [
        ("a: &x 1\n", "anchors are not allowed", 1),
        ("a: 1\nb: *x\n", "aliases are not allowed", 2),
        ("a: 1\nb: !!python/object/apply:os.system [ls]\n", "tags are not allowed", 2),
        ("a: !secret b\n", "tags are not allowed", 1),
        ("a: [1\nb: 2\n", "is not YAML", 2),
        ("a:\n\t- b\n", "is not YAML", 2),
        ("? [a, b]\n: c\n", "a key must be a plain word", 1),
    ],
)
def test_what_hides_meaning_is_refused(text: str, words: str, line: int) -> None:
    problems = refused(text).problems
    assert any(words in one.what and one.place.line == line for one in problems), problems
    assert all(one.next_action for one in problems)


def test_all_problems_of_a_file_are_named_at_once() -> None:
    assert len(refused("a: &x 1\na: 2\nb: !t 3\n").problems) == 3


def test_nesting_is_bounded() -> None:
    assert "nested more than" in refused("[" * 10_000).problems[0].what


def test_a_billion_laughs_expand_to_nothing() -> None:
    bomb = "a: &a [x,x]\n" + "".join(
        f"{chr(98 + n)}: &{chr(98 + n)} [*{chr(97 + n)},*{chr(97 + n)}]\n" for n in range(20)
    )
    assert all("not allowed" in one.what for one in refused(bomb).problems)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "large.yaml").write_bytes(b"#" * 1_000_001)
    (tmp_path / "latin.yaml").write_bytes("a: 1\nb: é\n".encode("latin-1"))
    (tmp_path / "nul.yaml").write_bytes(b"a: 1\nb: \x00\n")
    outside = tmp_path.parent / "outside.yaml"
    outside.write_text("a: 1\n")
    (tmp_path / "link.yaml").symlink_to(outside)
    expected = {
        "large.yaml": (1, "1,000,001 bytes"),
        "latin.yaml": (2, "not UTF-8"),
        "nul.yaml": (2, "NUL"),
        "link.yaml": (1, "leads out of the landscape"),
        "absent.yaml": (1, "cannot be read"),
    }
    for file, (line, words) in expected.items():
        with pytest.raises(BadLandscape) as caught:
            read_yaml(tmp_path, file)
        (problem,) = caught.value.problems
        assert problem.place == Place(file, line)
        assert words in problem.what


def test_csv_rows_have_lines_and_stay_text(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('code,value\nNO,0123\n\n"two\nlines",x\nlast,y\n')
    rows = read_csv(tmp_path, "a.csv", ("code", "value"))
    assert [(row.values["code"], row.place.line) for row in rows] == [
        ("NO", 2),
        ("two\nlines", 4),
        ("last", 6),
    ]
    assert rows[0].values["value"] == "0123"


@pytest.mark.parametrize(
    ("content", "words", "line"),
    [
        ("code,valu\na,b\n", "column 'value' is missing", 1),
        ("code,value,extra\na,b,c\n", "column 'extra' is unknown", 1),
        ("code,value\na,b\nUK, Ireland,c\n", "3 values, the header has 2", 3),
        ('code,value\n"a,b\n', "is not CSV", 2),
        ("", "column 'code' is missing", 1),
    ],
)
def test_bad_csv(tmp_path: Path, content: str, words: str, line: int) -> None:
    (tmp_path / "a.csv").write_text(content)
    with pytest.raises(BadLandscape) as caught:
        read_csv(tmp_path, "a.csv", ("code", "value"))
    assert any(words in one.what and one.place.line == line for one in caught.value.problems)
