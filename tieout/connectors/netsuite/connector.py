"""The NetSuite connector: each capability in one line, its work in the module of that name."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence

from tieout.connectors.netsuite import wire
from tieout.connectors.netsuite.errors import ERRORS
from tieout.connectors.netsuite.finding import find_all, meant_facts
from tieout.connectors.netsuite.reading import fetch_items, read_marks, read_page
from tieout.connectors.netsuite.signin import TokenSignIn
from tieout.connectors.netsuite.streams import DAY, SOURCES, STREAMS
from tieout.connectors.netsuite.writing import write_all
from tieout.finance.decimals import parse_amount
from tieout.finance.outcome import Found, Outcome
from tieout.ports.connector import Health, Item, Marks, Page, PeriodStatus, Total, TotalAsk, Write
from tieout.ports.errors import VendorFault
from tieout.ports.http import NoAnswer
from tieout.ports.session import Session
from tieout.ports.signin import SignIn


class NetSuiteConnector:
    """Oracle NetSuite over SuiteTalk REST and SuiteQL."""

    name = "netsuite"
    title = "Oracle NetSuite"
    streams = STREAMS
    errors = ERRORS
    settings: Mapping[str, str] = {
        "base_url": "https://{account}.suitetalk.api.netsuite.com, account in lower case with '-'",
        "account": "the account id as NetSuite shows it: 1234567, sandbox 1234567_SB1",
        "overlap_seconds": "optional: how far a new scan reaches back (60)",
        "rows_per_page": "optional: rows per SuiteQL page, at most 1000 (1000)",
    }
    secrets: Mapping[str, str] = {
        "consumer_key": "of the integration record",
        "consumer_secret": "of the integration record",
        "token_id": "of the access token of the integration's user and role",
        "token_secret": "of the access token",
    }

    def signin(self, settings: Mapping[str, str], secrets: Mapping[str, str]) -> SignIn:
        return TokenSignIn(settings, secrets)

    def check(self, at: Session) -> Health:
        """Sign in and see whether SuiteQL shows us what every landscape needs."""
        try:
            currencies, _ = wire.query(at, "SELECT id, symbol FROM currency ORDER BY id")
            periods = self.periods(at)
        except VendorFault as fault:
            detail = getattr(fault.outcome, "detail", None)
            return Health(False, str(fault), detail.next_action if detail is not None else "")
        except NoAnswer as error:
            return Health(False, error.words, "Check base_url, the network and NetSuite's status.")
        open_ones = sum(1 for one in periods if one.state == "open")
        return Health(
            True, f"signed in; {len(currencies)} currencies, {open_ones} open accounting periods"
        )

    def read(self, at: Session, stream: str, cursor: str) -> Page:
        return read_page(at, stream, cursor)

    def fetch(self, at: Session, stream: str, keys: Sequence[str]) -> Sequence[Item]:
        return fetch_items(at, stream, keys)

    def marks(self, at: Session, stream: str, since: dt.datetime, after: str) -> Marks:
        return read_marks(at, stream, since, after)

    def write(self, at: Session, stream: str, writes: Sequence[Write]) -> Sequence[Outcome]:
        return write_all(at, stream, writes)

    def meant(self, stream: str, write: Write) -> Mapping[str, str]:
        return meant_facts(stream, write)

    def find(self, at: Session, stream: str, writes: Sequence[Write]) -> Mapping[str, Found | None]:
        return find_all(at, stream, writes)

    def totals(self, at: Session, stream: str, ask: TotalAsk) -> Sequence[Total]:
        """Counts and sums on NetSuite's side. Names are the stream's payload keys."""
        columns = SOURCES[stream].columns
        wanted = (ask.amount, *ask.by, *ask.where)
        unknown = [name for name in wanted if name not in columns]
        if unknown:
            raise ValueError(f"{stream} has no {', '.join(unknown)}; it has {', '.join(columns)}")
        groups = [columns[name] for name in ask.by]
        shown = [f"{sql} AS g{index}" for index, sql in enumerate(groups)]
        shown += ["COUNT(*) AS number", f"SUM({columns[ask.amount]}) AS total"]
        conditions = [f"{columns[k]} = {wire.quoted([v])}" for k, v in ask.where.items()]
        conditions += [SOURCES[stream].where] if SOURCES[stream].where else []
        text = f"SELECT {', '.join(shown)} FROM {SOURCES[stream].table} t"
        text += f" WHERE {' AND '.join(conditions)}" if conditions else ""
        if groups:
            text += f" GROUP BY {', '.join(groups)} ORDER BY {', '.join(groups)}"
        rows, more = wire.query(at, text, needed=("number",))
        if more:
            raise ValueError(
                f"more than {wire.ROWS_PER_PAGE} groups in {stream}: total by fewer fields"
            )
        try:
            return [
                Total(
                    tuple(row.get(f"g{index}", "") for index in range(len(groups))),
                    int(row["number"]),
                    parse_amount(row.get("total", "0"), exponents=True),
                )
                for row in rows
            ]
        except ValueError as error:
            raise wire.odd_answer(error) from error

    def periods(self, at: Session) -> Sequence[PeriodStatus]:
        """Every month-like period, oldest first. Locked for receivables is soft-closed: nothing of
        ours can post there, though the ledger is open."""
        rows, _ = wire.query(
            at,
            f"SELECT p.id AS id, p.periodname AS periodname, TO_CHAR(p.startdate, '{DAY}') AS "
            f"startdate, TO_CHAR(p.enddate, '{DAY}') AS enddate, p.closed AS closed, "
            "p.alllocked AS alllocked, p.arlocked AS arlocked FROM accountingperiod p "
            "WHERE p.isyear = 'F' AND p.isquarter = 'F' ORDER BY p.startdate, p.id",
            needed=("id", "periodname", "startdate", "enddate"),
        )
        try:
            return [_period(row) for row in rows]
        except ValueError as error:
            raise wire.odd_answer(error) from error


def _period(row: wire.Row) -> PeriodStatus:
    """One accounting period as NetSuite shows it. Raises ValueError."""
    return PeriodStatus(
        row["periodname"],
        dt.date.fromisoformat(row["startdate"]),
        dt.date.fromisoformat(row["enddate"]),
        "closed"
        if row.get("closed") == "T"
        else "soft_closed"
        if "T" in (row.get("alllocked"), row.get("arlocked"))
        else "open",
    )
