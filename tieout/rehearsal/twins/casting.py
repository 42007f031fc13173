"""Casting: who plays a system of the landscape, an emulator of its vendor or an understudy."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from tieout.emulators.host import factory
from tieout.landscape.schema import EnvironmentSpec, SystemSpec
from tieout.ports.connector import Connector
from tieout.ports.secrets import resolve
from tieout.rehearsal.twins.anaplan import AnaplanTwin
from tieout.rehearsal.twins.emulated import Emulated
from tieout.rehearsal.twins.netsuite import NetSuiteTwin
from tieout.rehearsal.twins.salesforce import SalesforceTwin
from tieout.rehearsal.twins.understudy import Understudy
from tieout.rehearsal.twins.understudy_connector import UnderstudyConnector

VENDORS: Mapping[str, type[Emulated]] = {
    "salesforce": SalesforceTwin,
    "netsuite": NetSuiteTwin,
    "anaplan": AnaplanTwin,
}
# What the emulator would do by itself is the people's fault here, with dice of its own.
PLAIN = {"webhook_duplicate_rate": "0", "webhook_reorder": "false"}


def twin_of(
    system: str,
    spec: SystemSpec,
    connector: Connector,
    environment: EnvironmentSpec,
    *,
    options: Mapping[str, str] | None = None,
    folder: Path = Path(),
    hooks: Collection[str] | None = None,
) -> tuple[Emulated | Understudy, Connector]:
    """The twin of one system, and the connector that speaks with it: the real one for an emulator,
    an understudy's else. `described` of the twin says in plain words which it is.

    `connector` speaks the system's declared streams already. `options` go over the emulator's own
    in the environment; `folder` is the landscape's, for secrets kept in files; `hooks` are the
    streams that an understudy tells by webhook (None: all that the connector receives). Raises
    SecretMissing, LookupError when the emulator that the environment names is not installed.
    """
    vendor = VENDORS.get(environment.emulate)
    if vendor is None:
        return Understudy(system, connector, hooks=hooks), UnderstudyConnector(connector)
    secrets = {
        name: resolve(name, reference, folder) for name, reference in environment.secrets.items()
    }
    settings = {
        "webhook_url": f"http://127.0.0.1/intake/{system}/Opportunity",
        **environment.settings,
        **secrets,
        **environment.emulator,
        **PLAIN,
        **(options or {}),
    }
    emulator = factory(environment.emulate)(environment.settings["base_url"], settings)
    return vendor(system, connector, emulator, settings), connector
