"""The reference of landscape files against the loader: every key, and no other."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType

import pytest

from tests.docs.pages import ROOT
from tieout.landscape import load_steps
from tieout.landscape.load_mappings import CROSSWALK_COLUMNS
from tieout.landscape.load_policies import PATTERNS, ROLES
from tieout.landscape.load_records import TYPES

PAGE = (ROOT / "docs" / "reference" / "landscape.md").read_text(encoding="utf-8")
LOADERS = sorted((ROOT / "tieout" / "landscape").glob("load_*.py"))

# Where the loader reads each kind of table, and the heading under which the page tells its keys.
SECTIONS = {
    ("load_systems", "the landscape"): "landscape.yaml",
    ("load_systems", "rates"): "rates",
    ("load_systems", "a system"): "A system",
    ("load_systems", "an environment"): "An environment",
    ("load_interfaces", "_interface"): "An interface",
    ("load_systems", "_system_environment"): "A system in an environment",
    ("load_records", "a record type"): "A record type",
    ("load_records", "_field"): "A field",
    ("load_records", "_controls"): "A control",
    ("load_mappings", "a mapping"): "A mapping",
    ("load_mappings", "_shape"): "A list in a mapping",
    ("load_flows", "a flow"): "A flow",
    ("load_flows", "_starts"): "starts",
    ("load_service_levels", "load_service_level"): "slo",
    ("load_reconciliations", "a reconciliation"): "A reconciliation",
    ("load_reconciliations", "load_reconciliation"): "tolerance",
    ("load_reconciliations", "_side"): "A side",
    ("load_reconciliations", "_also"): "also",
    ("load_policies", "a person"): "policies/people.yaml",
    ("load_policies", "a legal entity"): "policies/legal_entities.yaml",
    ("load_policies", "a calendar"): "A calendar",
    ("load_service_levels", "alerts.yaml"): "policies/alerts.yaml",
    ("load_service_levels", "mail of alerts.yaml"): "mail",
    ("load_service_levels", "a channel"): "A channel",
    ("load_service_levels", "thresholds of alerts.yaml"): "thresholds",
    ("load_retention", "load_retention"): "policies/retention.yaml",
    ("load_tests", "a test"): "A test",
}
# Forms that only wrap a list of tables (said in words), or whose keys are names people choose.
IN_WORDS = {("load_policies", "people.yaml"), ("load_policies", "legal_entities.yaml")}
FREE = {("load_records", "_owned"), ("load_tests", "_by_stream")}


@dataclass(frozen=True)
class KnownKeys:
    """The `known` of one `Form(table, what, known, problems)`, and where it stands."""

    module: ModuleType
    function: ast.FunctionDef
    expression: ast.expr

    def keys(self) -> set[str]:
        return set(self._texts(self.expression))

    def _texts(self, node: ast.expr) -> list[str]:
        """A tuple of texts, written out, starred or named."""
        match node:
            case ast.Constant(value=str(text)):
                return [text]
            case ast.Tuple(elts=parts):
                return [text for part in parts for text in self._texts(part)]
            case ast.Starred(value=value):
                return self._texts(value)
            case ast.Name(id=name):
                for one in ast.walk(self.function):
                    if isinstance(one, ast.Assign) and ast.unparse(one.targets[0]) == name:
                        return self._texts(one.value)
                return list(getattr(self.module, name))
        raise AssertionError(f"cannot read the keys {ast.unparse(node)}")


def forms() -> dict[tuple[str, str], KnownKeys]:
    """Every form in the loaders, by file and by what it is called, or by its function."""
    found: dict[tuple[str, str], KnownKeys] = {}
    for path in LOADERS:
        module = import_module(f"tieout.landscape.{path.stem}")
        for function in ast.parse(path.read_text(encoding="utf-8")).body:
            if not isinstance(function, ast.FunctionDef):
                continue
            for call in ast.walk(function):
                if isinstance(call, ast.Call) and ast.unparse(call.func) == "Form":
                    what = call.args[1]
                    name = str(what.value) if isinstance(what, ast.Constant) else function.name
                    assert (path.stem, name) not in found, f"two forms of {path.stem} are {name}"
                    found[path.stem, name] = KnownKeys(module, function, call.args[2])
    return found


def documented(heading: str) -> list[str]:
    """The keys in the first column of a section's table."""
    pattern = rf"^#{{2,3}} {re.escape(heading)}$(.*?)(?=^#|\Z)"
    section = re.search(pattern, PAGE, re.MULTILINE | re.DOTALL)
    assert section is not None, f"the page has no heading '{heading}'"
    return re.findall(r"^\| `(\w+)` \|", section[1], re.MULTILINE)


def test_every_form_has_its_section() -> None:
    assert set(forms()) == set(SECTIONS) | IN_WORDS | FREE | {("load_steps", "load_step")}


@pytest.mark.parametrize("form", SECTIONS, ids="-".join)
def test_the_page_tells_exactly_the_keys(form: tuple[str, str]) -> None:
    told = documented(SECTIONS[form])
    assert len(told) == len(set(told))
    assert set(told) == forms()[form].keys()


@pytest.mark.parametrize("verb", load_steps.VERBS)
def test_the_page_tells_exactly_the_keys_of_a_step(verb: load_steps.Verb) -> None:
    assert set(documented(f"A step: {verb}")) == set(load_steps.STEP_KEYS[verb])


def test_the_page_tells_the_columns_of_a_crosswalk() -> None:
    assert documented("A crosswalk") == [*CROSSWALK_COLUMNS, "note"]


def test_roles_and_types_are_all_told() -> None:
    for word in (*ROLES, *PATTERNS, *TYPES):
        assert f"`{word}`" in PAGE, word
