"""NetSuite's answers in their exact outward form: error bodies, links, empty successes."""

from __future__ import annotations

from collections.abc import Mapping

from tieout.emulators.kit import write_json
from tieout.ports.http import Response

RECORD_PATH = "/services/rest/record/v1"
JSON_TYPE = "application/vnd.oracle.resource+json; type=singular"
ERROR_TYPE = "application/vnd.oracle.resource+json; type=error; charset=UTF-8"
_RFC = "https://www.w3.org/Protocols/rfc2616/rfc2616-sec10.html"
_FORMS = {
    400: ("Bad Request", f"{_RFC}#sec10.4.1"),
    401: ("Unauthorized", f"{_RFC}#sec10.4.2"),
    403: ("Forbidden", f"{_RFC}#sec10.4.4"),
    404: ("Not Found", f"{_RFC}#sec10.4.5"),
    405: ("Method Not Allowed", f"{_RFC}#sec10.4.6"),
    429: ("Too Many Requests", "https://tools.ietf.org/html/rfc6585#section-4"),
    500: ("Internal Server Error", f"{_RFC}#sec10.5.1"),
}


class Refused(Exception):
    """A call that the vendor refuses. `place` is the location key and value it adds to its error:
    `o:errorPath`, `o:errorHeader`, `o:errorQueryParam` or `o:errorUrl`."""

    def __init__(
        self,
        code: str,
        words: str,
        *,
        status: int = 400,
        path: str = "",
        place: Mapping[str, str] | None = None,
        title: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(words)
        self.status = status
        self.code = code
        self.place = {"o:errorPath": path} if path else dict(place or {})
        self.title = title
        self.headers = dict(headers or {})

    def response(self) -> Response:
        title, kind = _FORMS[self.status]
        if self.title == "Conflict":
            kind = f"{_RFC}#sec10.4.10"
        detail = {"detail": str(self), **self.place, "o:errorCode": self.code}
        # What is quoted from a request may hold half a character, which no answer can carry.
        detail = {name: text.encode("utf-8", "replace").decode() for name, text in detail.items()}
        body = {
            "type": kind,
            "title": self.title or title,
            "status": self.status,
            "o:errorDetails": [detail],
        }
        return Response(self.status, {"Content-Type": ERROR_TYPE, **self.headers}, write_json(body))


def not_there(path: str) -> Refused:
    """The answer for a record that does not exist."""
    return Refused(
        "NONEXISTENT_ID",
        "The record instance does not exist. Provide a valid record instance ID.",
        status=404,
        place={"o:errorUrl": path},
    )


def answer(value: object, status: int = 200) -> Response:
    return Response(status, {"Content-Type": JSON_TYPE}, write_json(value))


def no_content(location: str = "") -> Response:
    return Response(204, {"Location": location} if location else {})


def self_link(href: str) -> list[dict[str, str]]:
    return [{"rel": "self", "href": href}]
