"""The files connector: a folder that others put files into, read in the order of their names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tieout.connectors.files import folder
from tieout.connectors.files.errors import ERRORS
from tieout.connectors.files.reading import ROWS_PER_PAGE, fetch_items, read_page
from tieout.connectors.files.streams import OPTIONS, Source, sources_of
from tieout.ports.connector import Health, Item, Page, Stream
from tieout.ports.errors import VendorFault
from tieout.ports.session import Session
from tieout.ports.signin import NoSignIn, SignIn
from tieout.rules.interface import InterfaceSpec


class FilesConnector:
    """JSON lines and CSV in a folder of this machine, as the landscape declares them."""

    name = "files"
    title = "Files in a folder"
    errors = ERRORS
    settings: Mapping[str, str] = {
        "folder": "the folder, its full path",
        "rows_per_page": f"optional: rows of a page, at most {ROWS_PER_PAGE} ({ROWS_PER_PAGE})",
    }
    secrets: Mapping[str, str] = {}
    options = OPTIONS

    def __init__(self, sources: Mapping[str, Source] | None = None) -> None:
        self._sources: Mapping[str, Source] = sources or {}
        self.streams: Mapping[str, Stream] = {
            name: source.stream for name, source in self._sources.items()
        }

    def declared(self, interfaces: Mapping[str, InterfaceSpec]) -> FilesConnector:
        """The connector of a folder with these files. Raises BadLandscape."""
        return FilesConnector(sources_of(interfaces))

    def signin(self, settings: Mapping[str, str], secrets: Mapping[str, str]) -> SignIn:
        if "folder" not in settings:
            raise KeyError("folder")
        return NoSignIn()

    def check(self, at: Session) -> Health:
        """Can we see the folder, and the files of every stream?"""
        try:
            counted = [f"{len(folder.files_of(at, one))} of {name}" for name, one in self._named()]
        except VendorFault as fault:
            detail = fault.outcome.detail
            return Health(False, str(fault), detail.next_action if detail is not None else "")
        return Health(True, f"the folder is there; files: {', '.join(counted)}")

    def read(self, at: Session, stream: str, cursor: str) -> Page:
        return read_page(at, self._sources[stream], cursor)

    def fetch(self, at: Session, stream: str, keys: Sequence[str]) -> Sequence[Item]:
        return fetch_items(at, self._sources[stream], keys)

    def _named(self) -> list[tuple[str, Source]]:
        return sorted(self._sources.items())
