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
        field, sql = FieldType(DATE, "date"), step.date
    elif step.verb == "approve" and step.maker:
        field, sql = FieldType(MAKER, "text"), step.maker
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
        field = FieldType(RESULT, "boolean" if function.returns == "bool" else "text")
        sql = f"{function.name}({arguments})"
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
