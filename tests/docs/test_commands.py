"""Every command on a page is run, and prints what the page shows."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.conftest import Demo
from tests.docs.pages import EMPTY_FOLDER, ROOT, blocks, pages
from tests.docs.stage import Place, differs

pytestmark = pytest.mark.xdist_group("docs")

WITH_COMMANDS = [page for page in pages() if any(block.commands() for block in blocks(page))]
NAMES = [page.relative_to(ROOT).as_posix() for page in WITH_COMMANDS]


def perform(page: Path, place: Place, *, files: bool) -> list[str]:
    """Run the page from top to bottom; what was not as the page says."""
    wrong: list[str] = []
    for block in blocks(page):
        if block.title and files:
            place.put(block)
        if block.wait_for:
            place.await_log(block.wait_for)
        for command in block.commands():
            done = place.run(command)
            where = f"{page.name}: $ {command.line}"
            if done.exit_code != command.exit_code:
                wrong.append(f"{where}\nended with {done.exit_code}:\n{done.output}")
            elif command.shown and (told := differs(command.shown, done.output)):
                wrong.append(f"{where}\n{told}")
    return wrong


@pytest.mark.parametrize("page", WITH_COMMANDS, ids=NAMES)
def test_the_commands_of_a_page(page: Path, demo: Demo, elsewhere: Path, tmp_path: Path) -> None:
    assert demo.exit_code == 0, demo.output
    alone = EMPTY_FOLDER in page.read_text(encoding="utf-8")
    folder = elsewhere.parent / page.stem if alone else demo.folder
    folder.mkdir(exist_ok=True)
    place = Place(folder, elsewhere if alone else demo.programs)
    assert perform(page, place, files=alone) == []


def test_a_wrong_page_is_noticed() -> None:
    assert differs("2 passed.", "3 passed.\n")
    assert differs("…\nwell  netsuite: …", "ILL  netsuite: down\n")
    assert not differs("a  1\n…\nc", "a 1\nb\nc\n")


def test_the_pages_with_commands_are_found() -> None:
    assert {"docs/how_to/add_a_code.md", "docs/life_of_a_record.md"} <= set(NAMES)
