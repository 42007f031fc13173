"""Who may say what: a mapping may set only the fields its source system owns."""

from __future__ import annotations

from tieout.rules.place import Problem
from tieout.rules.spec import MappingSpec, RecordTypeSpec


def unowned_fields(spec: MappingSpec, record: RecordTypeSpec) -> list[Problem]:
    """Fields of `record` that an inbound mapping sets although its source system does not own
    them. An outbound mapping sets none of ours, so it has no such problem."""
    if not spec.inbound:
        return []
    system = spec.source.partition(".")[0]
    owned = set(record.owned.get(system, ()))
    owners = {name: owner for owner, names in record.owned.items() for name in names}
    problems: list[Problem] = []
    for name, shape in spec.fields.items():
        if name in owned:
            continue
        owner = owners.get(name)
        what = f"{spec.name} sets {record.name}.{name}, which {owner or 'nobody'} owns"
        next_action = (
            f"Remove the field, or move it from {owner} to {system} under `owned:`."
            if owner
            else f"Add {name} to `owned: {system}:` of record {record.name}."
        )
        problems.append(Problem(shape.place, what, next_action))
    return problems


def ownership_problems(record: RecordTypeSpec) -> list[Problem]:
    """Fields that two systems own, and owned names that are no fields of the record type."""
    problems: list[Problem] = []
    owners: dict[str, str] = {}
    for system, names in record.owned.items():
        for name in names:
            if record.field_named(name) is None:
                what = f"{system} owns {record.name}.{name}, which is no field"
                problems.append(Problem(record.place, what, "Correct the name or add the field."))
            elif name in owners:
                what = f"{record.name}.{name} is owned by {owners[name]} and by {system}"
                problems.append(Problem(record.place, what, "Leave it with one of them."))
            else:
                owners[name] = system
    return problems
