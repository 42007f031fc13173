"""Typed Python functions of a landscape: `functions.py`, for what no expression can say.

Trusted code under approval, not a sandbox: the content hash covers it, a checker approves it, and
what it must not do (reach the network, files, the clock, chance) is refused by what it imports and
calls. It must be pure, because a replay must come to the same result.
"""

from __future__ import annotations

import ast
import datetime as dt
import hashlib
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from types import ModuleType

from tieout.landscape import purity
from tieout.landscape.reader import read_bytes
from tieout.landscape.schema import FunctionSpec, Landscape
from tieout.rules.expression import taken_name
from tieout.rules.place import BadLandscape, Place, Problem
from tieout.rules.python_functions import PythonFunction, PythonType

TYPES: Mapping[str, type] = {
    "Decimal": Decimal,
    "str": str,
    "int": int,
    "bool": bool,
    "date": dt.date,
    "dt.date": dt.date,
    "datetime.date": dt.date,
}


def declared(source: bytes, file: str, problems: list[Problem]) -> dict[str, FunctionSpec]:
    """The public functions in `source`, typed; what is wrong with it goes into `problems`."""
    try:
        tree = ast.parse(source, filename=file)
        impure = list(purity.findings(tree))
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = getattr(error, "lineno", None) or 1
        problems.append(Problem(Place(file, line), f"is not Python: {error}", "Correct it"))
        return {}
    problems += [Problem(Place(file, line), what, advice) for line, what, advice in impure]
    digest = hashlib.sha256(source).hexdigest()
    found: dict[str, FunctionSpec] = {}
    for node in tree.body:
        if isinstance(node, ast.AsyncFunctionDef):
            problems.append(
                Problem(
                    Place(file, node.lineno),
                    f"function '{node.name}' is asynchronous",
                    "Write 'def': a rule has nothing to wait for",
                )
            )
        elif isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            why = taken_name(node.name)
            if why:
                place = Place(file, node.lineno)
                what = f"function '{node.name}' {why}"
                problems.append(Problem(place, what, "Give it another name, in small letters"))
            if node.name in found:
                what = f"function '{node.name}' stands twice"
                problems.append(Problem(Place(file, node.lineno), what, "Remove one of them"))
            found[node.name] = replace(_signature(node, file, problems), source_hash=digest)
    return found


def callables(folder: Path, file: str = "functions.py") -> dict[str, Callable[..., object]]:
    """The public functions of a landscape, loaded by path. Raises BadLandscape if they do not
    pass `declared`, or if the module fails while it loads."""
    return {name: function for name, (_, function) in _loaded(folder, file).items()}


def _loaded(folder: Path, file: str) -> dict[str, tuple[FunctionSpec, Callable[..., object]]]:
    path = folder / file
    if not path.is_file():
        return {}
    problems: list[Problem] = []
    source = read_bytes(folder, file)
    specs = declared(source, file, problems)
    if problems:
        raise BadLandscape(problems)
    module = _module(source, path, file)
    return {name: (spec, getattr(module, name)) for name, spec in specs.items()}


def python_functions(landscape: Landscape) -> dict[str, PythonFunction]:
    """What the expressions of a landscape may call by name. Raises BadLandscape if the functions
    cannot be loaded, or are no longer those that the landscape was loaded with."""
    if not landscape.functions:
        return {}
    loaded = _loaded(landscape.folder, "functions.py")
    for name, spec in landscape.functions.items():
        if name not in loaded or loaded[name][0].source_hash != spec.source_hash:
            what = f"{spec.place.file} has changed since function '{name}' was read"
            raise BadLandscape([Problem(spec.place, what, "Check it and start again")])
    return {
        name: PythonFunction(
            name,
            tuple((one, PythonType.of(written)) for one, written in spec.parameters),
            PythonType.of(spec.returns),
            spec.place,
            loaded[name][1],
            str(landscape.folder / spec.place.file),
        )
        for name, spec in landscape.functions.items()
    }


def _module(source: bytes, path: Path, file: str) -> ModuleType:
    """The module of exactly these bytes: they were judged, a cached one was not."""
    name = f"tieout_landscape_functions_{hashlib.sha256(source).hexdigest()[:16]}"
    module = ModuleType(name)
    module.__file__ = str(path)
    sys.modules[name] = module  # where its dataclasses look up the types they name
    try:
        exec(compile(source, str(path), "exec"), module.__dict__)
    except (Exception, SystemExit) as error:
        # Whatever a landscape's own code raises is a problem of that landscape, with its place.
        raise BadLandscape(
            [Problem(Place(file, _line_of(error, path)), f"fails to load: {error}", "Correct it")]
        ) from error
    return module


def _line_of(error: BaseException, path: Path) -> int:
    line, trace = 1, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(path):
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


def _signature(node: ast.FunctionDef, file: str, problems: list[Problem]) -> FunctionSpec:
    place = Place(file, node.lineno)
    arguments = node.args
    if arguments.vararg or arguments.kwarg or arguments.kwonlyargs or arguments.defaults:
        problems.append(
            Problem(
                place,
                f"function '{node.name}' has default, keyword or starred parameters",
                "Use plain typed parameters only",
            )
        )
    parameters = [
        (one.arg, _type(one.annotation, f"parameter '{one.arg}'", node, file, problems))
        for one in (*arguments.posonlyargs, *arguments.args)
    ]
    returns = _type(node.returns, "the result", node, file, problems)
    return FunctionSpec(node.name, tuple(parameters), returns, place)


def _type(
    annotation: ast.expr | None,
    what: str,
    node: ast.FunctionDef,
    file: str,
    problems: list[Problem],
) -> str:
    written = ast.unparse(annotation) if annotation is not None else ""
    parts = [one.strip() for one in written.split("|")]
    given = [one for one in parts if one != "None"]
    if len(given) == 1 and given[0] in TYPES and len(parts) <= 2:
        name = given[0].rpartition(".")[2]
        return f"{name} | None" if len(parts) == 2 else name
    said = f"has the type '{written}'" if written else "has no type"
    advice = "Use Decimal, str, int, bool or date, with '| None' if it may be absent"
    if "float" in parts:
        advice = "Use Decimal: a float is never money"
    problems.append(
        Problem(Place(file, node.lineno), f"{what} of function '{node.name}' {said}", advice)
    )
    return ""
