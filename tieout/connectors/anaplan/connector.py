"""The Anaplan connector: bookings by file and import, followed by task, proved by view."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tieout.connectors.anaplan import load, view, wire
from tieout.connectors.anaplan.errors import ERRORS
from tieout.connectors.anaplan.signin import TokenSignIn
from tieout.connectors.anaplan.streams import SECRETS, SETTINGS, STREAMS
from tieout.finance.outcome import Found, Outcome
from tieout.ports.connector import Health, Item, Job, Page, Stream, Write
from tieout.ports.errors import ErrorTable, VendorFault
from tieout.ports.http import NoAnswer
from tieout.ports.session import Session
from tieout.ports.signin import SignIn

SHUT = ("LOCKED", "ARCHIVED", "MAINTENANCE", "PRODUCTION_MAINTENANCE")
MOST_PAGES = 100


class AnaplanConnector:
    """Connector, Reads, Writes, Follows and Finds of `tieout.ports.connector`."""

    name = "anaplan"
    title = "Anaplan"
    streams: Mapping[str, Stream] = STREAMS
    errors: ErrorTable = ERRORS
    settings: Mapping[str, str] = SETTINGS
    secrets: Mapping[str, str] = SECRETS

    def signin(self, settings: Mapping[str, str], secrets: Mapping[str, str]) -> SignIn:
        return TokenSignIn(settings["auth_url"], secrets["email"], secrets["password"])

    def check(self, at: Session) -> Health:
        """Signs in, looks for the model, the file, the import and the view."""
        try:
            return _check(at)
        except VendorFault as fault:
            detail = getattr(fault.outcome, "detail", None)
            return Health(False, str(fault), detail.next_action if detail is not None else "")
        except NoAnswer as error:
            return Health(False, error.words, "Check base_url and auth_url and the network.")

    def read(self, at: Session, stream: str, cursor: str) -> Page:
        return view.read(at, cursor)

    def fetch(self, at: Session, stream: str, keys: Sequence[str]) -> Sequence[Item]:
        return view.fetch(at, keys)

    def write(self, at: Session, stream: str, writes: Sequence[Write]) -> Sequence[Outcome]:
        return load.write(at, writes)

    def follow(self, at: Session, stream: str, jobs: Sequence[Job]) -> Sequence[Sequence[Outcome]]:
        return [load.follow(at, job) for job in jobs]

    def meant(self, stream: str, write: Write) -> Mapping[str, str]:
        return view.meant(write)

    def find(self, at: Session, stream: str, writes: Sequence[Write]) -> Mapping[str, Found | None]:
        return view.find(at, writes)


def _check(at: Session) -> Health:
    answer = wire.get(at, wire.cells_url(at), modelDetails="true")
    model = wire.part(wire.body_of(answer), "model")
    state = str(model.get("activeState", ""))
    if state in SHUT:
        return Health(
            False,
            f"model {model.get('name', '')} is {state}",
            "Ask the model's owner to open it.",
        )
    for kind, setting in (
        ("files", "bookings_file_id"),
        ("imports", "bookings_import_id"),
        ("views", "bookings_view_id"),
    ):
        wanted = at.setting(setting)
        row = _listed(at, kind, wanted)
        if row is None:
            return Health(
                False,
                f"{setting} {wanted} is not among the {kind} the user can see",
                "Correct the id in environments/*.yaml, or give the user's role access.",
            )
        source = str(row.get("importDataSourceId", ""))
        if kind == "imports" and source != at.setting("bookings_file_id"):
            return Health(
                False,
                f"import {wanted} reads file {source or 'none'}, not bookings_file_id",
                "Correct bookings_file_id in environments/*.yaml.",
            )
    return Health(True, f"signed in; model {model.get('name', '')} is {state}")


def _listed(at: Session, kind: str, wanted: str) -> Mapping[str, object] | None:
    """One object of a listing, page by page; the server decides how long a page is."""
    url = (wire.cells_url if kind == "views" else wire.model_url)(at, kind)
    offset = 0
    for _ in range(MOST_PAGES):
        said = wire.body_of(wire.get(at, url, limit="5000", offset=str(offset)))
        rows = wire.parts(said, kind)
        for row in rows:
            if str(row.get("id", "")) == wanted:
                return row
        offset += len(rows)
        total = wire.part(wire.part(said, "meta"), "paging").get("totalSize")
        if not rows or not isinstance(total, int) or offset >= total:
            return None
    return None
