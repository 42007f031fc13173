"""What a step computes over its record: a date to wait for, the maker, the answer of a call.

A step computes columns from a record, so it is compiled as the mapping that would do that.
"""

from __future__ import annotations

from collections.abc import Mapping

from tieout.landscape.schema import FlowSpec, FunctionSpec, Landscape, StepSpec
from tieout.rules.spec import FieldType, Leaf, MappingSpec

DATE, MAKER, RESULT = "date", "maker", "result"
ANSWERS = ("bool", "str | None")  # what a call may return: yes or no, or what is wrong


def referring_field(flow: FlowSpec, step: StepSpec, landscape: Landscape) -> str:
    """The field by which the awaited record names the flow's own: as stated, else the only one;
    "" where there is none, or more than one."""
    if step.refers:
        return step.refers
    record = landscape.records.get(step.record_type)
    references = record.references() if record is not None else ()
    paths = [path for path, to in references if to == flow.record_type]
    return paths[0] if len(paths) == 1 else ""


def value_mapping(
    flow: FlowSpec, step: StepSpec, functions: Mapping[str, FunctionSpec]
) -> tuple[MappingSpec, tuple[FieldType, ...]] | None:
    """The step as a mapping with one field, or None where it computes nothing, or nothing that
    could be compiled (the checker says why)."""
    if step.verb == "wait" and step.date:
        field, sql = FieldType(DATE, "date", required=False), step.date
    elif step.verb == "approve" and step.maker:
        field, sql = FieldType(MAKER, "text", required=False), step.maker
    elif step.verb == "call":
        function = functions.get(step.function)
        given = {name: sql for name, sql, _ in step.arguments}
        if (
            function is None
            or function.returns not in ANSWERS
            or set(given) != {name for name, _ in function.parameters}
        ):
            return None
        arguments = ", ".join(f"({given[name]})" for name, _ in function.parameters)
        sql = f"{function.name}({arguments})"
        if function.returns == "bool":
            field = FieldType(RESULT, "boolean", required=False)
        else:
            field, sql = FieldType(RESULT, "text", required=False), _asked(function, given, sql)
    else:
        return None
    spec = MappingSpec(
        name=step.name,
        source=flow.record_type,
        target=f"flow.{flow.name}",
        version=1,
        key="",
        fields={field.name: Leaf(sql, step.place)},
        place=step.place,
    )
    return spec, (field,)


def _asked(function: FunctionSpec, given: Mapping[str, str], sql: str) -> str:
    """The call, or in words what it was not given: without a value that it must have a function is
    not called, and nothing said must not be taken for nothing against it."""
    missing = "".join(
        f"WHEN ({given[name]}) IS NULL THEN '{function.name}() cannot judge it: {name} is empty' "
        for name, kind in function.parameters
        if "None" not in kind
    )
    return f"CASE {missing}ELSE {sql} END" if missing else sql
