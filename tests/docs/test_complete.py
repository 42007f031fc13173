"""Nothing is missing and nothing leads nowhere: links, verbs, make tasks, variables, keys."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, anchors, blocks, links, pages, prose
from tieout.cli.app import application
from tools import connector_page

OPERATE = (ROOT / "docs" / "operate" / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_resolve(page: Path) -> None:
    broken = []
    for link in links(page):
        if link.startswith(("https://", "http://")):
            continue
        file, _, anchor = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


def test_every_page_is_reached_from_the_readme() -> None:
    seen: set[Path] = set()
    waiting = [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in seen or page.suffix != ".md":
            continue
        seen.add(page)
        for link in links(page):
            if not link.startswith("http"):
                target = (page.parent / link.partition("#")[0]).resolve()
                waiting += sorted(target.glob("*.md")) if target.is_dir() else [target]
    assert set(pages()) - seen == set()


def test_every_verb_is_documented() -> None:
    text = prose()
    shown = [name for name, hidden in verbs().items() if not hidden]
    assert shown
    assert [verb for verb in shown if f"`tieout {verb}" not in text] == []


def test_no_page_names_a_verb_that_is_not_there() -> None:
    named = set(re.findall(r"`tieout ([a-z]+)", prose()))
    assert named - set(verbs()) == set()


def test_every_make_task_that_a_page_names_exists() -> None:
    tasks = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    text = "\n".join(
        [*re.findall(r"`([^`\n]+)`", prose())]
        + [block.text for page in pages() for block in blocks(page) if block.kind == "sh"]
    )
    named = set(re.findall(r"\bmake ([a-z-]+)", text))
    assert {"demo", "test"} <= named
    assert named - tasks == set()


def test_every_environment_variable_is_documented() -> None:
    read: set[str] = set()
    for source in (ROOT / "tieout").rglob("*.py"):
        read |= set(re.findall(r"\bTIEOUT_[A-Z_]+\b", source.read_text(encoding="utf-8")))
    table = set(re.findall(r"^\| `(TIEOUT_[A-Z_]+)`", OPERATE, re.MULTILINE))
    assert read - table == set()


def test_a_block_is_left_out_only_for_a_reason() -> None:
    for page in pages():
        marks = re.findall(r"<!-- not run.*?-->", page.read_text(encoding="utf-8"))
        assert len(marks) == sum(block.not_run for block in blocks(page)), page


def test_the_connectors_page_is_what_the_connectors_declare() -> None:
    assert connector_page.PAGE.read_text(encoding="utf-8") == connector_page.page()


def test_every_table_is_in_the_architecture() -> None:
    migrations = sorted((ROOT / "tieout" / "store" / "migrations").glob("*.sql"))
    made = tables("\n".join(one.read_text(encoding="utf-8") for one in migrations))
    page = (ROOT / "docs" / "ARCHITECTURE.md").read_text(encoding="utf-8")
    section = page.partition("## The tables")[2].partition("\n## ")[0]
    told = set(re.findall(r"`(\w+)`", "\n".join(_first_cells(section))))
    assert made - told == set()


def tables(statements: str) -> set[str]:
    """The tables (not the partitions) that there are after these statements."""
    there: set[str] = set()
    for made, renamed, renamed_to, dropped in re.findall(
        r"CREATE TABLE (\w+)(?! PARTITION OF)\b|ALTER TABLE (\w+) RENAME TO (\w+)|DROP TABLE (\w+)",
        statements,
    ):
        there = there - {renamed, dropped} | {made, renamed_to}
    return there - {""}


def test_a_renamed_table_and_a_dropped_one_are_known_by_their_last_name() -> None:
    history = (
        "CREATE TABLE wide (a int); ALTER TABLE wide RENAME TO narrow; CREATE TABLE narrow_other "
        "PARTITION OF narrow DEFAULT; CREATE TABLE lost (a int); DROP TABLE lost;"
    )
    assert tables(history) == {"narrow"}


def test_the_layers_of_the_architecture_are_the_linters() -> None:
    configured = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    (order,) = re.findall(r'name = "One way down: ([^"]+)"', configured)
    page = (ROOT / "docs" / "ARCHITECTURE.md").read_text(encoding="utf-8")
    assert order in re.sub(r"\s+", " ", page)


def test_outcomes_are_all_told() -> None:
    source = ast.parse((ROOT / "tieout" / "finance" / "outcome.py").read_text(encoding="utf-8"))
    (union,) = (
        ast.unparse(node.value)
        for node in source.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "Outcome"
    )
    page = (ROOT / "docs" / "ARCHITECTURE.md").read_text(encoding="utf-8")
    section = page.partition("## Outcomes")[2].partition("\n## ")[0]
    assert set(re.findall(r"`(\w+)`", "\n".join(_first_cells(section)))) == set(union.split(" | "))


def verbs() -> dict[str, bool]:
    """Every verb of the command line, and whether it is hidden from people."""
    groups = {str(one.name): False for one in application.registered_groups}
    return groups | {str(one.name): one.hidden for one in application.registered_commands}


def _first_cells(section: str) -> Iterator[str]:
    for line in section.splitlines():
        if line.startswith("| `"):
            yield line.split("|")[1]
