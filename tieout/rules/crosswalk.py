"""Checks of crosswalks: governed, effective-dated tables from code to code."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable

from tieout.rules.place import Problem
from tieout.rules.spec import Crosswalk, CrosswalkRow


def crosswalk_problems(crosswalks: Iterable[Crosswalk]) -> list[Problem]:
    """What is wrong inside crosswalks: a code valid twice on one day, dates the wrong way round,
    empty codes and values, tables without rows."""
    problems: list[Problem] = []
    for table in crosswalks:
        if not table.rows:
            what = f"crosswalk {table.name} has no rows"
            problems.append(Problem(table.place, what, "Add its codes or remove the file."))
        by_code: dict[str, list[CrosswalkRow]] = defaultdict(list)
        for row in table.rows:
            by_code[row.code].append(row)
            problems += _row_problems(table, row)
        for rows in by_code.values():
            problems += _overlaps(table, rows)
    return problems


def unused_crosswalks(crosswalks: Iterable[Crosswalk], used: Collection[str]) -> list[Problem]:
    """Crosswalks that no mapping names (`CompiledMapping.crosswalks_used`)."""
    return [
        Problem(
            one.place,
            f"crosswalk {one.name} is not used by any mapping",
            "Remove the file, or use it with crosswalk().",
        )
        for one in crosswalks
        if one.name not in used
    ]


def _row_problems(table: Crosswalk, row: CrosswalkRow) -> list[Problem]:
    found: list[Problem] = []
    if not row.code or not row.value:
        what = f"crosswalk {table.name} has a row without a {'value' if row.code else 'code'}"
        found.append(Problem(row.place, what, "Fill it in or remove the row."))
    if row.valid_to < row.valid_from:
        what = f"code '{row.code}' ends on {row.valid_to}, before it starts on {row.valid_from}"
        found.append(Problem(row.place, what, "Swap the dates or correct them."))
    return found


def _overlaps(table: Crosswalk, rows: list[CrosswalkRow]) -> list[Problem]:
    found: list[Problem] = []
    ordered = sorted(rows, key=lambda row: (row.valid_from, row.valid_to, row.place))
    latest = ordered[0]
    for row in ordered[1:]:
        if row.valid_from <= latest.valid_to:
            what = (
                f"crosswalk {table.name}: code '{row.code}' is valid twice on {row.valid_from} "
                f"(also {latest.place})"
            )
            found.append(Problem(row.place, what, "End the one before the other starts."))
        if row.valid_to > latest.valid_to:
            latest = row
    return found
