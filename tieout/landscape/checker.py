"""Judges a loaded landscape against the connectors it uses, before anything runs.

`load` says whether the files can be read; `check` says whether they make sense together. Every
problem has its file and line and says what to do.
"""

from __future__ import annotations

from collections.abc import Mapping

from tieout.landscape.check_expressions import check_expressions
from tieout.landscape.check_flows import check_flows
from tieout.landscape.check_mappings import check_mappings
from tieout.landscape.check_policies import check_policies, check_records, check_systems
from tieout.landscape.check_reconciliations import check_reconciliations
from tieout.landscape.interfaces import ConnectorLike, Systems
from tieout.landscape.schema import Landscape
from tieout.rules.place import Problem


def check(landscape: Landscape, connectors: Mapping[str, ConnectorLike]) -> list[Problem]:
    """Every problem of `landscape`, in order of file and line; none means it may run.

    `connectors` are the installed ones by name (`tieout.ports.registry.connectors()`).
    """
    systems = Systems(landscape, connectors)
    problems = {
        *check_systems(landscape, systems, connectors),
        *check_records(landscape),
        *check_policies(landscape),
        *check_mappings(landscape, systems),
        *check_flows(landscape, systems),
        *check_reconciliations(landscape, systems),
        *check_expressions(landscape, systems),
    }
    return sorted(problems, key=lambda one: (one.place, one.what))
