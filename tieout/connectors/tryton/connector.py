"""The Tryton connector: parties, products, sales and posted invoices over JSON-RPC (Tryton 8.2)."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Literal

from tieout.connectors.tryton import chains, invoices, masters, reading, sales, wire
from tieout.connectors.tryton.errors import ERRORS
from tieout.connectors.tryton.references import look_up, value_at
from tieout.connectors.tryton.signin import TrytonSignIn
from tieout.connectors.tryton.streams import STREAMS
from tieout.finance.outcome import Found, Outcome
from tieout.ports.connector import Health, Item, Page, PeriodStatus, Write
from tieout.ports.errors import VendorFault
from tieout.ports.http import NoAnswer
from tieout.ports.session import Session
from tieout.ports.signin import SignIn

MOST_PERIODS = 5000
State = Literal["open", "soft_closed", "closed"]


class Tryton:
    """Translates between our documents and a Tryton database. Stateless; never retries."""

    name = "tryton"
    title = "Tryton"
    streams = STREAMS
    errors = ERRORS
    settings: Mapping[str, str] = {
        "base_url": "Address of the Tryton server, without the database name",
        "database": "Name of the Tryton database",
        "login": "Login of the connection's own Tryton user, not an administrator's",
    }
    secrets: Mapping[str, str] = {
        "password": "Password of that user",
    }

    def signin(self, settings: Mapping[str, str], secrets: Mapping[str, str]) -> SignIn:
        return TrytonSignIn(settings, secrets)

    def check(self, at: Session) -> Health:
        """Sign in, and see a company and an open period."""
        try:
            companies = wire.rows(at, ERRORS, "company.company", [], ["party.name"])
            open_ones = self.periods(at)
            mine = wire.ask(at, ERRORS, "model.res.user.get_preferences", True)
        except VendorFault as error:
            detail = getattr(error.outcome, "detail", None)
            return Health(False, str(error), detail.next_action if detail else "")
        except NoAnswer as error:
            return Health(False, error.words, "Start the Tryton server or correct base_url.")
        if not companies or not any(one.state == "open" for one in open_ones):
            return Health(
                False,
                "Tryton answers, but has no company with an open accounting period",
                "Create a company, its chart of accounts and a fiscal year in Tryton.",
            )
        sees = mine.get("company_filter") if isinstance(mine, Mapping) else ""
        if len(companies) > 1 and sees != "all":
            return Health(
                False,
                "the connection's user sees the documents of one company only, so that what it "
                "wrote in the others would look missing",
                "Set 'Company Filter' of that user to 'All' in Tryton.",
            )
        names = sorted(str(value_at(row, "party.name")) for row in companies)
        return Health(True, f"Tryton keeps the books of {', '.join(names)}")

    # --- reading ----------------------------------------------------------------------------

    def read(self, at: Session, stream: str, cursor: str) -> Page:
        return reading.read(at, stream, cursor)

    def fetch(self, at: Session, stream: str, keys: Sequence[str]) -> Sequence[Item]:
        return reading.fetch(at, stream, keys)

    def periods(self, at: Session) -> Sequence[PeriodStatus]:
        """Every period; where companies differ, the strictest state counts. A period that Tryton
        closed can be reopened by a person; for us both closed and locked are closed."""
        found: dict[tuple[str, dt.date, dt.date], State] = {}
        rows = wire.rows(
            at,
            ERRORS,
            "account.period",
            [["type", "=", "standard"]],
            ["name", "start_date", "end_date", "state"],
            order=(("start_date", "ASC"), ("id", "ASC")),
            most=MOST_PERIODS,
        )
        for row in rows:
            start, end = row["start_date"], row["end_date"]
            if isinstance(start, dt.date) and isinstance(end, dt.date):
                key = (str(row["name"]), start, end)
                if row["state"] != "open" or key not in found:
                    found[key] = "open" if row["state"] == "open" else "closed"
        return [PeriodStatus(name, start, end, s) for (name, start, end), s in found.items()]

    # --- writing ----------------------------------------------------------------------------

    def write(self, at: Session, stream: str, writes: Sequence[Write]) -> Sequence[Outcome]:
        """Look first, then the calls that are still needed (see `chains`)."""
        try:
            plans = self._plans(at, stream, writes)
        except (VendorFault, NoAnswer) as error:
            return chains.looked_in_vain(writes, error)
        return chains.run(at, plans, together=stream != "invoice")

    def _plans(self, at: Session, stream: str, writes: Sequence[Write]) -> Sequence[chains.Planned]:
        if stream == "invoice":
            by_sale = invoices.rows_by_sale(at, writes)
            return chains.plan_each(writes, lambda write: invoices.plan(at, write, by_sale))
        if stream == "sale":
            living = [write for write in writes if write.action in {"create", "change"}]
            names = look_up(at, [pair for write in living for pair in sales.wanted(write)])
            addresses = sales.addresses_of(at, names, living)
            there = sales.rows_by_reference(at, writes)
            return chains.plan_each(
                writes, lambda write: sales.plan(at, write, names, addresses, there)
            )
        names = look_up(at, [pair for write in writes for pair in masters.wanted(stream, write)])
        changed = [write for write in writes if write.action == "change"]
        rows = masters.rows_by_code(at, stream, changed) if changed else {}
        return chains.plan_each(writes, lambda write: masters.plan(at, stream, write, names, rows))

    # --- proving ----------------------------------------------------------------------------

    def meant(self, stream: str, write: Write) -> Mapping[str, str]:
        if stream == "invoice":
            return invoices.facts_meant(write)
        if stream == "sale":
            return sales.facts_meant(write)
        return masters.facts_meant(write)

    def find(self, at: Session, stream: str, writes: Sequence[Write]) -> Mapping[str, Found | None]:
        if stream == "invoice":
            return invoices.find(at, writes)
        if stream == "sale":
            return sales.find(at, writes)
        return masters.find(at, stream, writes)


CONNECTOR = Tryton()
