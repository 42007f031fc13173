"""The house's own rules hold, and each check is proven to find what it looks for."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "tieout"
MOST_LINES = 400
LONGER = {"store/audit_verifier.py"}  # handed to auditors as one stand-alone file (P11)

# Who may touch the machine's own time, ids, chance and threads beside `clock`, and why.
MACHINE_MODULES = {"time", "random", "uuid", "threading", "secrets", "concurrent.futures"}
ALLOWED = {
    ("clock.py", "time"): "the one source",
    ("clock.py", "random"): "the one source",
    ("clock.py", "uuid"): "the one source",
    ("clock.py", "threading"): "the one source",
    ("clock.py", "concurrent.futures"): "the one source",
    ("rules/watchdog.py", "threading"): "stops a query of DuckDB that runs too long",
}
ALLOWED_USES = {
    "uuid.UUID",  # a type
    "uuid.uuid5",  # a pure function of its arguments
    "threading.Lock",  # guards what others' threads share; starts nothing
    "threading.RLock",
    "threading.Condition",
    "concurrent.futures.Future",  # a promise that another thread keeps
    "threading.BoundedSemaphore",
    "threading.current_thread",  # asks where it is, to leave signals alone elsewhere
    "threading.main_thread",
}
ALLOWED_FOLDERS = {
    "emulators": {"random", "threading"},  # seeded faults; a server thread for tests
    # seeded incidents; virtual workers, of which one turns at a time
    "rehearsal": {"random", "threading", "concurrent.futures"},
}
WALL_CLOCK = {"now", "utcnow", "today"}

# Modules that speak to people or machines on stdout or stderr.
SPEAKERS = {
    "cli",
    "web/server.py",
    "emulators/programs.py",  # its first line says that it is ready
    "engine/sealing.py",  # a worker's trouble goes to its log
    "store/audit_verifier.py",  # stands alone, outside the product
}


def sources(root: Path = PACKAGE) -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(root.rglob("*.py")):
        name = path.relative_to(root).as_posix()
        yield name, ast.parse(path.read_text(encoding="utf-8"), name)


# --- the one-way rule ---------------------------------------------------------------------------


def lint_imports(root: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys\nsys.path.insert(0, sys.argv[1])\n"
            "from importlinter.cli import lint_imports\n"
            "settings = sys.argv[1] + '/pyproject.toml'\n"
            "sys.exit(lint_imports(config_filename=settings, no_cache=True))",
            str(root),
        ],
        check=False,
        capture_output=True,
        text=True,
        cwd=root,
    )


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """A copy of the package, to break."""
    shutil.copytree(PACKAGE, tmp_path / "tieout", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path / "pyproject.toml")
    return tmp_path


def test_imports_go_one_way_down(house: Path) -> None:
    done = lint_imports(house)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout


@pytest.mark.parametrize(
    ("file", "planted"),
    [
        ("finance/money.py", "import tieout.engine.worker"),
        ("rules/mapping.py", "from tieout.store import database"),
        ("connectors/salesforce/__init__.py", "import tieout.connectors.netsuite"),
        ("engine/flow.py", "import tieout.rehearsal.connector_contract"),
    ],
)
def test_a_planted_violation_of_the_one_way_rule_is_found(
    house: Path, file: str, planted: str
) -> None:
    path = house / "tieout" / file
    path.write_text(path.read_text(encoding="utf-8") + f"\n{planted}\n", encoding="utf-8")
    done = lint_imports(house)
    assert done.returncode != 0, done.stdout
    assert planted.split()[1].rsplit(".", 1)[0] in done.stdout


# --- time, ids, chance, threads -----------------------------------------------------------------


def uses_of_the_machine(name: str, tree: ast.Module) -> list[str]:
    """`line: what` for every use of the machine's time, ids, chance or threads."""
    folder = name.split("/", maxsplit=1)[0]
    allowed = ALLOWED_FOLDERS.get(folder, set())
    found, names = [], {}
    for node in ast.walk(tree):
        imported: list[tuple[str, str]] = []
        if isinstance(node, ast.Import):
            imported = [(one.name, one.asname or one.name) for one in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module in MACHINE_MODULES:
            for one in node.names:
                whole = f"{node.module}.{one.name}"
                permitted = node.module in allowed or (name, node.module) in ALLOWED
                if whole not in ALLOWED_USES and not permitted:
                    found.append(f"{node.lineno}: {whole}")
        for module, alias in imported:
            if module in MACHINE_MODULES and module not in allowed:
                names[alias] = module
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            module = names.get(node.value.id, "")
            whole = f"{module}.{node.attr}"
            if module and whole not in ALLOWED_USES and (name, module) not in ALLOWED:
                found.append(f"{node.lineno}: {whole}")
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in WALL_CLOCK
            and ast.unparse(node.func.value) in {"dt.datetime", "datetime", "dt.date", "date"}
            and name != "clock.py"
        ):
            found.append(f"{node.lineno}: {ast.unparse(node.func)}")
    return found


def test_only_the_clock_reads_the_machine() -> None:
    found = {f"{name}:{use}" for name, tree in sources() for use in uses_of_the_machine(name, tree)}
    assert found == set()


@pytest.mark.parametrize(
    "planted",
    [
        "import time\ntime.sleep(1)",
        "from time import monotonic",
        "import random as chance\nchance.random()",
        "import uuid\nuuid.uuid4()",
        "from uuid import uuid4",
        "import threading\nthreading.Thread()",
        "import datetime as dt\ndt.datetime.now(dt.UTC)",
        "from concurrent.futures import ThreadPoolExecutor",
        "import secrets\nsecrets.token_hex()",
    ],
)
def test_a_planted_look_at_the_machine_is_found(planted: str) -> None:
    assert uses_of_the_machine("engine/flow.py", ast.parse(planted))


def test_types_and_pure_functions_are_no_look_at_the_machine() -> None:
    fine = "import uuid\nfrom uuid import UUID\nx: uuid.UUID = uuid.uuid5(UUID(int=1), 'a')"
    assert uses_of_the_machine("engine/flow.py", ast.parse(fine)) == []


def test_the_allow_list_holds_nothing_that_is_not_needed() -> None:
    for name, module in ALLOWED:
        text = (PACKAGE / name).read_text(encoding="utf-8")
        assert f"import {module}" in text or f"from {module} import" in text, (name, module)


# --- files and words ----------------------------------------------------------------------------


def lines_of(root: Path) -> dict[str, int]:
    return {
        path.relative_to(root).as_posix(): path.read_text(encoding="utf-8").count("\n")
        for path in root.rglob("*.py")
    }


def test_no_file_is_longer_than_a_head_can_hold() -> None:
    too_long = {
        name: lines
        for name, lines in lines_of(PACKAGE).items()
        if lines > MOST_LINES and name not in LONGER
    }
    assert too_long == {}


def test_every_module_says_what_it_is_for() -> None:
    silent = [name for name, tree in sources() if tree.body and not ast.get_docstring(tree)]
    assert silent == []


def prints(name: str, tree: ast.Module) -> list[int]:
    """Lines where a module prints that has no business to: `main()` of a program may."""
    if any(name == one or name.startswith(f"{one}/") for one in SPEAKERS):
        return []
    allowed = {
        line
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and node.name == "main"
        for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)
    }
    return [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "print"
        and node.lineno not in allowed
    ]


def test_only_those_who_speak_print() -> None:
    assert {name: found for name, tree in sources() if (found := prints(name, tree))} == {}


def test_a_planted_print_is_found() -> None:
    assert prints("engine/flow.py", ast.parse("def f():\n    print('here')")) == [2]
    assert prints("engine/flow.py", ast.parse("def main():\n    print('here')")) == []


def test_data_of_others_carries_its_licence() -> None:
    """Every folder with data files has a note beside them that names origin and licence."""
    folders = {path.parent for path in (ROOT / "examples").rglob("data/**/*.csv")}
    assert folders
    for folder in folders:
        note = (folder / "README.md").read_text(encoding="utf-8")
        assert "licence" in note.lower()
        for path in folder.glob("*.csv"):
            assert path.name in note or "All files except" in note, f"{path} is not in the note"
