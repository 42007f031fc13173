"""What a landscape's Python functions may not do, judged before a line of them runs.

Not a sandbox: who approves `functions.py` approves code. But the easy ways to the network, files,
the clock, chance and lasting state are closed, so that a reviewer who sees none of them named sees
none of them used, and a replay comes to the same result.
"""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator
from types import ModuleType

ALLOWED_IMPORTS = (
    "__future__",
    "collections.abc",
    "dataclasses",
    "datetime",
    "decimal",
    "fractions",
    "functools",
    "itertools",
    "math",
    "re",
    "string",
    "typing",
    "unicodedata",
)
FORBIDDEN_NAMES = frozenset(
    (
        *("open", "exec", "eval", "compile", "input", "breakpoint", "print", "help"),
        *("globals", "locals", "vars", "getattr", "setattr", "delattr", "exit", "quit"),
        *("hash", "id"),  # another answer in every process
    )
)
CLOCK = frozenset(("now", "utcnow", "today"))
# The context of a thread outlives the call, and other money is computed under it.
SHARED_CONTEXT = frozenset(("getcontext", "setcontext", "DefaultContext"))

Finding = tuple[int, str, str]  # line, what is wrong, what to do


def findings(tree: ast.Module) -> Iterator[Finding]:
    """What is impure in a module, in no particular order."""
    modules = _bound_modules(tree)
    for node in ast.walk(tree):
        line = getattr(node, "lineno", 1)
        for name in _imported(node):
            if name not in ALLOWED_IMPORTS:
                yield (
                    line,
                    f"imports '{name}': functions may not reach the network, files, the "
                    "clock or chance",
                    f"Pass what it needs as a parameter. Allowed: {', '.join(ALLOWED_IMPORTS)}",
                )
        for name in _smuggled(node, modules):
            yield (
                line,
                f"reaches '{name}' through a module that uses it",
                f"Import what it needs by name. Allowed: {', '.join(ALLOWED_IMPORTS)}",
            )
        for name in _called(node):
            advice = "Pass what it needs as a parameter"
            if name in SHARED_CONTEXT:
                advice = "Write 'with localcontext() as context:' where digits need room"
            yield line, f"calls '{name}': a function must be pure", advice
        if isinstance(node, ast.Global):
            yield (
                line,
                f"keeps '{node.names[0]}' from one call to the next: a function must be pure",
                "Use a local variable",
            )


def _imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        return [node.module or "."]
    return []


def _bound_modules(tree: ast.Module) -> dict[str, ModuleType]:
    """The names under which the module holds the allowed modules it imports."""
    found: dict[str, ModuleType] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name in ALLOWED_IMPORTS:
                    name = alias.name if alias.asname else alias.name.partition(".")[0]
                    found[alias.asname or name] = importlib.import_module(name)
    return found


def _smuggled(node: ast.AST, modules: dict[str, ModuleType]) -> list[str]:
    """Modules that are reached as a part of an allowed one: `dataclasses.sys`."""
    if isinstance(node, ast.ImportFrom) and node.module in ALLOWED_IMPORTS:
        inside: object = importlib.import_module(node.module or "")
        parts = [(alias.name, getattr(inside, alias.name, None)) for alias in node.names]
        return [f"{node.module}.{name}" for name, part in parts if _strange(part)]
    if isinstance(node, ast.Attribute):
        part = _part(node, modules)
        if _strange(part):
            return [ast.unparse(node) if part is None else _path(node, modules)]
    return []


def _part(node: ast.expr, modules: dict[str, ModuleType]) -> object:
    """What a dotted name that starts at an imported module stands for; None if it does not."""
    if isinstance(node, ast.Name):
        return modules.get(node.id)
    if isinstance(node, ast.Attribute):
        inside = _part(node.value, modules)
        return getattr(inside, node.attr, None) if isinstance(inside, ModuleType) else None
    return None


def _path(node: ast.Attribute, modules: dict[str, ModuleType]) -> str:
    inside = _part(node.value, modules)
    return f"{getattr(inside, '__name__', '?')}.{node.attr}"


def _strange(part: object) -> bool:
    return isinstance(part, ModuleType) and part.__name__ not in ALLOWED_IMPORTS


def _called(node: ast.AST) -> list[str]:
    """Names that are not to be used, called or not: `be = open` is as good as `open`."""
    if isinstance(node, ast.Name):
        bad = node.id in FORBIDDEN_NAMES or node.id.startswith("__")
        return [node.id] if bad else []
    if isinstance(node, ast.Attribute):
        bad = node.attr in CLOCK | SHARED_CONTEXT or node.attr.startswith("__")
        return [node.attr] if bad else []
    if isinstance(node, ast.ImportFrom):
        return [alias.name for alias in node.names if alias.name in SHARED_CONTEXT]
    # A format text reaches attributes without naming them in code.
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return ["__"] if "{" in node.value and "__" in node.value else []
    return []
