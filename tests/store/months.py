"""Tables by month for tests of the archive: partitions for months that are long past."""

from __future__ import annotations

import psycopg


def kept_by_month(database_url: str, *months: str) -> None:
    """Make sure that evidence of these months (2020-03) has partitions of its own."""
    with psycopg.connect(database_url, autocommit=True) as owner:
        owner.execute("SET ROLE tieout_owner")
        for month in months:
            owner.execute("SELECT tieout_make_months(%s, 1)", (f"{month}-01",))
