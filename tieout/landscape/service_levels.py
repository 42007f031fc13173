"""What a flow promises, and who is told what when a promise breaks: pure values of a landscape."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field

from tieout.rules.place import Place
from tieout.rules.service_level import CompleteBy

ALERTS_FILE = "policies/alerts.yaml"


@dataclass(frozen=True, slots=True)
class ServiceLevel:
    """A flow's promise: from arrival to the last proof, and by when a period or cycle is done."""

    fresh_within_seconds: float | None = None
    complete_by: CompleteBy | None = None


@dataclass(frozen=True, slots=True)
class MailServer:
    """Where alert mail is handed in. `password` is a reference; without `user` nobody signs in."""

    host: str
    port: int
    sender: str
    user: str = ""
    password: str = ""
    encryption: str = "starttls"  # tls, starttls, none
    place: Place = field(default_factory=lambda: Place(ALERTS_FILE, 1))


@dataclass(frozen=True, slots=True)
class AlertChannel:
    """Who is told: by mail, or in a chat through a webhook whose URL is a reference (it is a
    secret) and may only lead to `addresses`. `about` empty: everything."""

    name: str
    mail_to: tuple[str, ...] = ()
    chat: str = ""
    addresses: tuple[str, ...] = ()
    about: tuple[str, ...] = ()
    quiet_begins: dt.time | None = None
    quiet_ends: dt.time | None = None
    time_zone: str = "UTC"
    place: Place = field(default_factory=lambda: Place(ALERTS_FILE, 1))


@dataclass(frozen=True, slots=True)
class AlertPolicy:
    """How much is too much, and who hears of it. Without policies/alerts.yaml these hold, and
    alerts are seen in the log, the metrics and `tieout doctor` only."""

    digest_seconds: float = 1_800.0
    queue_depth: int = 100_000
    cases_open: int = 1_000
    case_age_seconds: float = 5 * 86_400.0
    duplicates_percent: int = 50
    errors_percent: int = 25
    unsealed_audit_seconds: float = 900.0
    silent_system_seconds: float = 7_200.0
    hung_worker_seconds: float = 30.0
    mail: MailServer | None = None
    channels: tuple[AlertChannel, ...] = ()
