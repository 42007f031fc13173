"""Opens a session: connector, settings, secrets and addresses become one line to one system."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial

from tieout.ports.connector import Connector, OpensLine
from tieout.ports.http import Transport
from tieout.ports.limits import table_of
from tieout.ports.session import Line, Session
from tieout.ports.transport import http_transport


class SettingMissing(Exception):
    """The environment file lacks a setting or secret without which nobody can sign in."""


def open_session(
    system: str,
    connector: Connector,
    settings: Mapping[str, str],
    secrets: Mapping[str, str],
    addresses: Iterable[str],
    most_in_flight: int = 4,
    timeout_seconds: float = 30.0,
    transport: Transport | None = None,
) -> Session:
    """A session with `system`; nothing is sent yet, the first call signs in.

    `addresses` are the only URLs it may reach (scheme, host and port count). `transport` replaces
    the HTTP client (a rehearsal's in-process one). Raises SettingMissing.
    """
    try:
        sign_in = connector.signin(settings, secrets)
    except KeyError as error:
        name = str(error.args[0]) if error.args else "?"
        described = connector.secrets.get(name) or connector.settings.get(name) or ""
        raise SettingMissing(
            f"system {system}: '{name}' is missing{f' ({described})' if described else ''}; "
            "add it to the system's entry in environments/*.yaml"
        ) from None
    allowed = tuple(addresses)
    opens: Callable[[], Line] | None = None
    if isinstance(connector, OpensLine):
        opens = partial(connector.open_line, settings, secrets, allowed, timeout_seconds)
    return Session(
        system=system,
        settings=settings,
        secrets=secrets,
        transport=transport or http_transport(allowed, most_in_flight=most_in_flight),
        sign_in=sign_in,
        most_in_flight=most_in_flight,
        timeout_seconds=timeout_seconds,
        opens=opens,
        limits=table_of(connector),
    )
