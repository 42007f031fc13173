"""Where the database is and how we reach it: address, TLS, user."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import parse_qsl, unquote, urlsplit

from tieout.ports.signin import SignInFailed

PORT = 5432
THIS_MACHINE = ("127.0.0.1", "::1", "localhost")
ENCRYPTED = ("verify-full", "verify-ca", "require")
_WHERE = "Correct the system's entry in environments/*.yaml."

Place = tuple[str, int]  # host or socket folder, port


def parameters(
    settings: Mapping[str, str], secrets: Mapping[str, str], addresses: Sequence[str]
) -> dict[str, str | int]:
    """What libpq is told. Raises SignInFailed for an address that is not allowed or TLS that is
    switched off towards another machine."""
    url = settings["url"]
    place = _place(url)
    database = unquote(urlsplit(url).path.removeprefix("/"))
    if not database or place is None or place not in [_place(one) for one in addresses]:
        raise SignInFailed(
            "refused to connect to an address that is not among this system's addresses",
            "Write url as postgresql://HOST:PORT/DATABASE, and the same under addresses if it is "
            "right.",
        )
    host, port = place
    here = host.startswith("/") or host in THIS_MACHINE
    mode = settings.get("sslmode", "prefer" if here else ENCRYPTED[0])
    if mode not in ENCRYPTED and not here:
        raise SignInFailed(
            f"sslmode {mode} would send the data unencrypted to another machine",
            f"Use one of {', '.join(ENCRYPTED)}.",
        )
    told: dict[str, str | int] = {
        "host": host,
        "port": port,
        "dbname": database,
        "user": secrets["user"],
        "sslmode": mode,
        "application_name": "tieout",
    }
    if "password" in secrets:
        told["password"] = secrets["password"]
    if "sslrootcert" in settings:
        told["sslrootcert"] = settings["sslrootcert"]
    elif mode in ("verify-full", "verify-ca"):
        told["sslrootcert"] = "system"
        told["sslmode"] = "verify-full"  # the only mode libpq allows with the system's own roots
    return told


def _place(url: str) -> Place | None:
    """Host and port of an address; None for one that is not plain."""
    try:
        parts = urlsplit(url)
        given = dict(parse_qsl(parts.query))
        port = parts.port or int(given.get("port", PORT))
    except ValueError:
        return None
    if parts.scheme != "postgresql" or parts.username is not None:
        return None
    if set(given) - {"host", "port"} or parts.fragment:
        return None  # nothing else in an address may steer the connection
    host = parts.hostname or given.get("host", "")
    if "," in host or not host or (parts.hostname and "host" in given):
        return None
    return host, port
