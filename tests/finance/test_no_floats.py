"""Money is never a float: no code in `tieout/finance` makes one or writes one down."""

import ast
from pathlib import Path

import pytest

import tieout.finance

SOURCES = sorted(Path(tieout.finance.__file__).parent.glob("*.py"))


def floats_in(source: str) -> list[tuple[int, str]]:
    """(line, what) of every float literal, call of `float`, and import of float arithmetic."""
    found: list[tuple[int, str]] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, (float, complex)):
            found.append((node.lineno, f"literal {node.value!r}"))
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute):
            name = node.func.id if isinstance(node.func, ast.Name) else node.func.attr
            if name in ("float", "from_float", "as_float", "__float__"):
                found.append((node.lineno, f"{name}()"))
        elif isinstance(node, ast.Import | ast.ImportFrom):
            modules = {alias.name for alias in node.names} | {getattr(node, "module", None)}
            found += [(node.lineno, f"import {one}") for one in modules & {"math", "numpy"} if one]
    return found


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_no_float_in_money_code(path: Path) -> None:
    assert floats_in(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "planted", ["rate = 1.5", "x = float('1')", "x = Decimal.from_float(y)", "import math"]
)
def test_the_check_finds_a_planted_float(planted: str) -> None:
    assert floats_in(planted)


def test_the_check_sees_the_money_code() -> None:
    assert {"money.py", "conversion.py", "allocation.py"} <= {path.name for path in SOURCES}
