"""Loads landscape.yaml, systems/*.yaml and environments/*.yaml."""

from __future__ import annotations

from zoneinfo import available_timezones

from tieout.landscape.form import Form, did_you_mean
from tieout.landscape.load_interfaces import load_interfaces
from tieout.landscape.reader import Table
from tieout.landscape.schema import EnvironmentSpec, RatesSpec, SystemSpec
from tieout.rules.place import Problem

# What a session may reach: encrypted (the connector of a database sees to it), or this machine.
_SAFE_SCHEMES = ("https://", "postgresql://", "tls://")
_THIS_MACHINE = (
    "http://127.0.0.1:",
    "http://localhost:",
    "nats://127.0.0.1:",
    "nats://localhost:",
)
_REFERENCES = ("env:", "file:", "literal:")


def load_root(table: Table, problems: list[Problem]) -> tuple[str, str, RatesSpec]:
    """Name, title and rate source of a landscape, from landscape.yaml."""
    form = Form(table, "the landscape", ("landscape", "title", "rates"), problems)
    name = form.name("landscape")
    rates = RatesSpec()
    below = form.table_at("rates")
    if below is not None:
        given = Form(below, "rates", ("source", "rate_type", "group_currency"), problems)
        rates = RatesSpec(
            source=given.choice("source", ("ecb",), rates.source),
            rate_type=given.choice("rate_type", ("spot", "average", "closing"), rates.rate_type),
            group_currency=given.text("group_currency", rates.group_currency),
        )
    return name, form.text("title", name), rates


def load_system(table: Table, problems: list[Problem]) -> SystemSpec:
    """One system of the landscape."""
    known = ("system", "connector", "title", "steward", "streams", "time_zone", "interfaces")
    form = Form(table, "a system", known, problems)
    name = form.name("system")
    form.what = f"system '{name}'"
    return SystemSpec(
        name=name,
        connector=form.text("connector", name),
        title=form.text("title", name),
        steward=form.text("steward"),
        place=form.place,
        streams=form.texts("streams"),
        time_zone=time_zone(form, "UTC"),
        interfaces=load_interfaces(form, problems),
    )


def time_zone(form: Form, default: str | None = None) -> str:
    """An IANA time zone that this machine knows."""
    value = form.text("time_zone", default)
    zones = available_timezones()
    if value and value not in zones:
        form.complain(
            form.place_of("time_zone"),
            f"'{value}' is not a time zone",
            did_you_mean(value, zones) if len(value) > 3 else "Write one like Europe/Amsterdam",
        )
        return "UTC"
    return value


def load_environment(
    table: Table, problems: list[Problem]
) -> tuple[str, dict[str, EnvironmentSpec]]:
    """One environment: endpoints, secret references and limits of each system."""
    form = Form(table, "an environment", ("environment", "systems"), problems)
    name = form.name("environment")
    systems: dict[str, EnvironmentSpec] = {}
    below = form.table_at("systems", required=True)
    for system, node in (below.entries if below is not None else {}).items():
        if isinstance(node, Table):
            systems[system] = _system_environment(node, f"system '{system}' in '{name}'", problems)
        else:
            form.complain(node.place, f"system '{system}' has no settings", "Write a table")
    return name, systems


def _system_environment(table: Table, what: str, problems: list[Problem]) -> EnvironmentSpec:
    known = (
        "settings",
        "secrets",
        "addresses",
        "most_in_flight",
        "timeout",
        "poll",
        "fence",
        "sweep",
        "sweep_back",
    )
    form = Form(table, what, (*known, "emulate", "emulator", "start"), problems)
    emulate = form.text("emulate", "")
    start = form.text_table("start")
    if form.has("start") and (emulate or "program" not in start):
        form.complain(
            form.place_of("start"),
            f"{what} says both emulate and start" if emulate else f"start of {what} has no program",
            "Keep one of the two" if emulate else "Write start: {program: NAME, …}",
        )
    settings = form.text_table("settings")
    addresses = form.texts("addresses") or tuple(
        value
        for value in settings.values()
        if value.startswith(("http://", "nats://", *_SAFE_SCHEMES))
    )
    where = "addresses" if form.has("addresses") else "settings"
    for address in addresses:
        if not address.startswith((*_SAFE_SCHEMES, *_THIS_MACHINE)):
            form.complain(
                form.place_of(where),
                f"'{address}' of {what} is neither https nor this machine",
                "Use https://",
            )
        elif "@" in address.split("//", 1)[-1].partition("/")[0] or "\\" in address:
            form.complain(
                form.place_of(where),
                f"an address of {what} holds a user name",  # or a secret: it is not repeated
                "Write the host alone; credentials belong to secrets",
            )
    return EnvironmentSpec(
        settings=settings,
        secrets=_secrets(form, emulate),
        addresses=addresses,
        most_in_flight=form.whole("most_in_flight", 4, 1, 512),
        timeout_seconds=form.seconds("timeout") or 30.0,
        poll_seconds=form.seconds("poll") or 60.0,
        sweep_seconds=form.seconds("sweep") or 3_600.0,
        sweep_back_seconds=form.seconds("sweep_back") or 172_800.0,
        fence_seconds=form.seconds("fence"),
        emulate=emulate,
        emulator=form.text_table("emulator"),
        start=start,
        place=form.place,
    )


def _secrets(form: Form, emulate: str) -> dict[str, str]:
    secrets = form.text_table("secrets")
    for name, reference in secrets.items():
        # The value is never shown: somebody may have pasted the secret itself.
        if not reference.startswith(_REFERENCES):
            form.complain(
                form.place_under("secrets", name),
                f"secret '{name}' of {form.what} is not a reference",
                "Write env:NAME or file:PATH; never the secret itself",
            )
        elif reference.startswith("literal:") and not emulate:
            form.complain(
                form.place_under("secrets", name),
                f"secret '{name}' of {form.what} is written out, and the system is real",
                "Write env:NAME or file:PATH; literal: is for emulated systems only",
            )
    return secrets
