"""Finds the example landscapes that ship with the product."""

from __future__ import annotations

import difflib
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent.parent
# In an installed wheel the examples lie inside the package, in a source tree beside it.
_HOMES = (_PACKAGE / "_examples", _PACKAGE.parent / "examples")


class NoSuchExample(Exception):
    """No example of this name. Lists the ones that there are."""


def examples() -> tuple[str, ...]:
    """The names of the example landscapes."""
    found = {path.parent.name for home in _HOMES for path in home.glob("*/landscape.yaml")}
    return tuple(sorted(found))


def example(name: str) -> Path:
    """The folder of an example landscape; read-only, copy it to run it. Raises NoSuchExample."""
    if name in examples():
        return next(home / name for home in _HOMES if (home / name / "landscape.yaml").is_file())
    near = difflib.get_close_matches(name, examples(), n=1)
    hint = f"did you mean '{near[0]}'?" if near else f"there are: {', '.join(examples())}"
    raise NoSuchExample(f"no example landscape named '{name}'; {hint}")
