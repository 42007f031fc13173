"""Loads policies/retention.yaml: how long evidence is kept, and where."""

from __future__ import annotations

from pathlib import PurePosixPath

from tieout.landscape.form import Form
from tieout.landscape.reader import Table
from tieout.landscape.retention import RETENTION_FILE, RetentionSpec
from tieout.rules.place import Problem

MOST_HOT_MONTHS = 240
MOST_KEEP_YEARS = 100


def load_retention(table: Table, problems: list[Problem]) -> RetentionSpec:
    """One policy for the landscape. A file must be kept for longer than it is in the database."""
    form = Form(table, RETENTION_FILE, ("hot_months", "keep_years", "folder"), problems)
    known = RetentionSpec()
    found = RetentionSpec(
        hot_months=form.whole("hot_months", known.hot_months, 1, MOST_HOT_MONTHS),
        keep_years=form.whole("keep_years", known.keep_years, 1, MOST_KEEP_YEARS),
        folder=form.text("folder", ""),
    )
    if not problems and found.keep_years * 12 < found.hot_months:
        form.complain(
            form.place_of("keep_years"),
            f"evidence is kept {found.keep_years} year(s), which is less than the "
            f"{found.hot_months} months it stays in the database",
            "Keep it longer, or less long in the database",
        )
    if ".." in PurePosixPath(found.folder).parts:
        form.complain(
            form.place_of("folder"),
            f"the folder '{found.folder}' leads out of where it begins",
            "Write an absolute path, or one inside the landscape's folder",
        )
    return found
