"""How fast a landscape is checked: `python -m benchmarks.check [--json] [--mappings N]`.

The quote-to-cash example with its own mappings repeated under other names, loaded from files and
checked as `tieout check` does: every expression compiled, every type asked of DuckDB.
"""

from __future__ import annotations

import argparse
import itertools
import json
import shutil
import tempfile
from pathlib import Path

from benchmarks.mapping import seconds
from tieout.landscape.checker import check
from tieout.landscape.examples import example
from tieout.landscape.loader import load
from tieout.landscape.schema import Landscape
from tieout.ports.registry import connectors
from tieout.rules.place import Problem


def landscape_of(folder: Path, mappings: int) -> None:
    """The example with `mappings` mappings in all."""
    shutil.copytree(example("quote_to_cash"), folder)
    there = sorted((folder / "mappings").glob("*.yaml"))
    outward = [one for one in there if "_to_netsuite" in one.stem or "_to_booking" in one.stem]
    for number, path in zip(range(len(there), mappings), itertools.cycle(outward), strict=False):
        name = f"{path.stem}_{number}"
        text = path.read_text(encoding="utf-8").replace(f"mapping: {path.stem}", f"mapping: {name}")
        (path.parent / f"{name}.yaml").write_text(text, encoding="utf-8")


def measure(mappings: int) -> dict[str, object]:
    """Seconds to load and to check; raises ValueError if the landscape is not clean."""
    with tempfile.TemporaryDirectory() as home:
        folder = Path(home) / "landscape"
        landscape_of(folder, mappings)
        found: list[Landscape] = []
        loading = seconds(lambda: found.append(load(folder)))
        problems: list[Problem] = []
        checking = seconds(lambda: problems.extend(check(found[0], connectors())))
    # The copies are in no flow; nothing else may be wrong with them.
    wrong = [one for one in problems if "is dead: no flow step uses it" not in one.what]
    if wrong or len(found[0].mappings) != mappings:
        raise ValueError(f"the landscape does not check clean: {wrong[:3]}")
    return {
        "benchmark": "check",
        "mappings": mappings,
        "load_seconds": round(loading, 2),
        "check_seconds": round(checking, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--json", action="store_true", help="print one JSON line")
    parser.add_argument("--mappings", type=int, default=500)
    asked = parser.parse_args()
    found = measure(asked.mappings)
    if asked.json:
        print(json.dumps(found))
    else:
        print("\n".join(f"{name:>28}  {value}" for name, value in found.items()))


if __name__ == "__main__":
    main()
