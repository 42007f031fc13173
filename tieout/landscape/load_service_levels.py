"""Loads the promises of flows (slo) and policies/alerts.yaml: who is told what when one breaks."""

from __future__ import annotations

import datetime as dt
import re
import zoneinfo
from typing import Any
from urllib.parse import urlsplit

from tieout.landscape.form import Form, did_you_mean
from tieout.landscape.reader import Table
from tieout.landscape.service_levels import (
    AlertChannel,
    AlertPolicy,
    MailServer,
    ServiceLevel,
)
from tieout.rules.place import Problem
from tieout.rules.service_level import HOW_TO_WRITE, BadServiceLevel, complete_by

ALERT_KINDS = ("slo", "worker", "queue", "cases", "errors", "audit", "system")
_HOURS = re.compile(r"(\d\d:\d\d) to (\d\d:\d\d)")
_REFERENCES = ("env:", "file:")


def load_service_level(table: Table, what: str, problems: list[Problem]) -> ServiceLevel:
    """What a flow promises."""
    form = Form(table, f"slo of {what}", ("fresh_within", "complete_by"), problems)
    words = form.text("complete_by", "")
    promise = None
    if words:
        try:
            promise = complete_by(words)
        except BadServiceLevel as bad:
            form.complain(
                form.place_of("complete_by"),
                f"'complete_by' of slo of {what}: {str(bad).removesuffix(f'. {HOW_TO_WRITE}')}",
                HOW_TO_WRITE,
            )
    return ServiceLevel(form.seconds("fresh_within"), promise)


def load_alerts(table: Table, problems: list[Problem]) -> AlertPolicy:
    """policies/alerts.yaml: thresholds, the mail server, and the channels."""
    form = Form(table, "alerts.yaml", ("digest", "mail", "thresholds", "channels"), problems)
    usual = AlertPolicy()
    mail = form.table_at("mail")
    channels: dict[str, AlertChannel] = {}
    for one in form.tables("channels"):
        channel = _channel(one, problems)
        if channel.name in channels:
            form.complain(one.place, f"channel '{channel.name}' is there twice", "Keep one of them")
        channels[channel.name] = channel
    policy = AlertPolicy(
        digest_seconds=form.seconds("digest", usual.digest_seconds) or usual.digest_seconds,
        mail=_mail_server(mail, problems) if mail is not None else None,
        channels=tuple(channels.values()),
        **_thresholds(form, problems),
    )
    if policy.mail is None:
        for name, channel in channels.items():
            if channel.mail_to:
                form.complain(
                    channel.place,
                    f"channel '{name}' sends mail, and alerts.yaml names no mail server",
                    "Add mail: {server: smtp.example.com:587, sender: tieout@example.com}",
                )
    return policy


def _mail_server(table: Table, problems: list[Problem]) -> MailServer:
    known = ("server", "sender", "user", "password", "encryption")
    form = Form(table, "mail of alerts.yaml", known, problems)
    server = form.text("server")
    host, _, port = server.rpartition(":")
    if server and not (host and port.isdigit() and 0 < int(port[:6]) < 65_536):
        form.complain(form.place_of("server"), f"'{server}' is no server", "Write HOST:PORT")
        host, port = "", "25"
    return MailServer(
        host=host,
        port=int(port or 25),
        sender=_address(form, "sender", form.text("sender")),
        user=form.text("user", ""),
        password=_reference(form, "password"),
        encryption=form.choice("encryption", ("starttls", "tls", "none"), "starttls"),
        place=form.place,
    )


def _channel(table: Table, problems: list[Problem]) -> AlertChannel:
    known = ("channel", "mail_to", "chat", "addresses", "about", "quiet", "time_zone")
    form = Form(table, "a channel", known, problems)
    name = form.name("channel")
    form.what = f"channel '{name}'"
    mail_to = tuple(_address(form, "mail_to", one) for one in form.texts("mail_to"))
    chat = _reference(form, "chat")
    if bool(mail_to) == bool(chat):
        form.complain(
            form.place, f"{form.what} has not one of mail_to and chat", "Write exactly one of them"
        )
    addresses = form.texts("addresses")
    if chat and not addresses:
        form.complain(
            form.place,
            f"{form.what} does not say which addresses its webhook may reach",
            "Add addresses: [https://hooks.example.com]",
        )
    for address in addresses:
        host = urlsplit(address).hostname or ""
        if not address.startswith("https://") and host not in ("127.0.0.1", "localhost"):
            form.complain(
                form.place_of("addresses"),
                f"an address of {form.what} is neither https nor this machine",
                "Use https://",
            )
    about = form.texts("about")
    for kind in about:
        if kind not in ALERT_KINDS:
            form.complain(
                form.place_of("about"),
                f"{form.what} is about the unknown kind '{kind}'",
                did_you_mean(kind, ALERT_KINDS),
            )
    begins, ends = _quiet(form)
    zone = form.text("time_zone", "UTC")
    try:
        zoneinfo.ZoneInfo(zone)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        form.complain(
            form.place_of("time_zone"),
            f"'{zone}' is no time zone",
            "Write an IANA name such as Europe/Amsterdam",
        )
        zone = "UTC"
    return AlertChannel(name, mail_to, chat, addresses, about, begins, ends, zone, form.place)


def _quiet(form: Form) -> tuple[dt.time | None, dt.time | None]:
    words = form.text("quiet", "")
    if not words:
        return None, None
    found = _HOURS.fullmatch(words)
    try:
        if found is not None:
            return dt.time.fromisoformat(found[1]), dt.time.fromisoformat(found[2])
    except ValueError:
        found = None
    form.complain(form.place_of("quiet"), f"'{words}' are no quiet hours", 'Write "22:00 to 07:00"')
    return None, None


def _address(form: Form, key: str, value: str) -> str:
    """A mail address: one line, one at sign. What else it may be is the server's to say."""
    if value and not re.fullmatch(r"[^\s@,<>\"]{1,64}@[^\s@,<>\"]{1,255}", value):
        form.complain(form.place_of(key), f"'{value}' is no mail address", "Write NAME@HOST")
    return value


def _reference(form: Form, key: str) -> str:
    value = form.text(key, "")
    if value and not value.startswith(_REFERENCES):
        form.complain(
            form.place_of(key),
            f"'{key}' of {form.what} is not a reference",  # it may be the secret: not repeated
            "Write env:NAME or file:PATH; a secret never stands in the landscape",
        )
        return ""
    return value


def _thresholds(form: Form, problems: list[Problem]) -> dict[str, Any]:
    """How much is too much, with the usual answers where the file says nothing."""
    usual = AlertPolicy()
    known = (
        "queue_depth",
        "cases_open",
        "case_age",
        "duplicates_percent",
        "errors_percent",
        "unsealed_audit",
        "silent_system",
        "hung_worker",
    )
    table = form.table_at("thresholds")
    if table is None:
        return {}
    each = Form(table, "thresholds of alerts.yaml", known, problems)
    found: dict[str, Any] = {}
    most = {
        "queue_depth": 1_000_000_000,
        "cases_open": 1_000_000_000,
        "duplicates_percent": 100,
        "errors_percent": 100,
    }
    for key, largest in most.items():
        found[key] = each.whole(key, int(getattr(usual, key)), 1, largest)
    for key in ("case_age", "unsealed_audit", "silent_system", "hung_worker"):
        name = f"{key}_seconds"
        found[name] = each.seconds(key, float(getattr(usual, name))) or getattr(usual, name)
    return found
