"""Outbound messages: the vendor's SOAP hints that an opportunity changed.

Deliveries repeat until acknowledged, in no promised order, and carry the latest values only.
Duplicates and re-ordering are planted by a fixed seed.
"""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Mapping
from typing import cast
from xml.sax.saxutils import escape

from tieout import clock
from tieout.emulators.kit import OutboundCall
from tieout.emulators.salesforce.rows import WON, Change, Row, Tables
from tieout.emulators.salesforce.values import new_record_id

MOST_PER_MESSAGE = 100
MOST_MESSAGES_AT_ONCE = 8
FIRST_WAIT_SECONDS = 1.0
LONGEST_WAIT_SECONDS = 7_200.0
GIVE_UP_AFTER_SECONDS = 86_400.0
LEASE_SECONDS = 60.0  # a message whose fate the host never reported becomes due again
LATE_SHARE = 0.1
MOST_LATE_SECONDS = 1.0


class Outbound:
    """Queues one notification per changed opportunity that is, or was, closed won."""

    def __init__(
        self, tables: Tables, base_url: str, organization_id: str, settings: Mapping[str, str]
    ) -> None:
        self.tables = tables
        self.base_url = base_url
        self.organization_id = organization_id
        self.url = settings.get("webhook_url", "")
        self.seed = settings.get("webhook_seed", "0")
        self.duplicate_rate = float(settings.get("webhook_duplicate_rate", "0"))
        self.reorder = settings.get("webhook_reorder", "").lower() in {"1", "true", "yes"}

    def changed(self, change: Change) -> None:
        """Queue what this transaction calls for."""
        if not self.url:
            return
        opportunities = self.tables.get("Opportunity", {})
        for key in change.touched:
            row = opportunities[key]
            if not row["IsDeleted"] and (row["StageName"] == WON or key in change.won_before):
                self._queue(key)

    def _queue(self, opportunity: str) -> None:
        counter = self.tables.setdefault("_counters", {}).setdefault("notifications", {"count": 0})
        counter["count"] = number = int(str(counter["count"])) + 1
        notification = new_record_id("04l", number)
        now = clock.now()
        late = 0.0
        if self.reorder and self._draw("late", notification) < LATE_SHARE:
            late = MOST_LATE_SECONDS * self._draw("how late", notification)
        self.tables.setdefault("_notifications", {})[notification] = {
            "opportunity": opportunity,
            "queued_at": now,
            "due_at": now + dt.timedelta(seconds=late),
            "attempts": 0,
        }

    def due(self) -> list[OutboundCall]:
        """The messages to send now, each with at most 100 notifications."""
        waiting = self.tables.get("_notifications", {})
        now = clock.now()
        due = [key for key, row in waiting.items() if cast(dt.datetime, row["due_at"]) <= now]
        if not due:
            return []
        if self.reorder:
            due.sort(key=lambda key: self._draw("order", f"{key}:{waiting[key]['attempts']}"))
        calls = []
        for start in range(0, len(due), MOST_PER_MESSAGE)[:MOST_MESSAGES_AT_ONCE]:
            calls += self._message(due[start : start + MOST_PER_MESSAGE], waiting, now)
        return calls

    def _message(
        self, keys: list[str], waiting: Mapping[str, Row], now: dt.datetime
    ) -> list[OutboundCall]:
        again = []
        for key in keys:
            row = waiting[key]
            if row["attempts"] == 0 and self._draw("twice", key) < self.duplicate_rate:
                again.append(key)
            row["attempts"] = int(str(row["attempts"])) + 1
            row["due_at"] = now + dt.timedelta(seconds=LEASE_SECONDS)
        return [
            OutboundCall(self.url, self.envelope(part), "text/xml; charset=UTF-8", ",".join(part))
            for part in (keys, again)
            if part
        ]

    def sent(self, call: OutboundCall, acknowledged: bool) -> None:
        """Forget acknowledged notifications; the others come again, later each time, for a day."""
        waiting = self.tables.get("_notifications", {})
        now = clock.now()
        for key in call.key.split(","):
            row = waiting.get(key)
            if row is None:
                continue
            age = (now - cast(dt.datetime, row["queued_at"])).total_seconds()
            if acknowledged or age > GIVE_UP_AFTER_SECONDS:
                del waiting[key]
                continue
            wait = FIRST_WAIT_SECONDS * 2 ** min(int(str(row["attempts"])) - 1, 20)
            row["due_at"] = now + dt.timedelta(seconds=min(wait, LONGEST_WAIT_SECONDS))

    def envelope(self, keys: list[str]) -> bytes:
        """The SOAP message, with each opportunity's values as they are now."""
        service = f"{self.base_url}/services/Soap"
        parts = [
            '<?xml version="1.0" encoding="UTF-8"?>\n'
            '<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" '
            'xmlns:xsd="http://www.w3.org/2001/XMLSchema" '
            'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><soapenv:Body>'
            '<notifications xmlns="http://soap.sforce.com/2005/09/outbound">'
            f"<OrganizationId>{escape(self.organization_id)}</OrganizationId>"
            '<ActionId>04k000000000001AAA</ActionId><SessionId xsi:nil="true"/>'
            f"<EnterpriseUrl>{escape(service)}/c/67.0</EnterpriseUrl>"
            f"<PartnerUrl>{escape(service)}/u/67.0</PartnerUrl>"
        ]
        opportunities = self.tables.get("Opportunity", {})
        for key in keys:
            opportunity = str(self.tables["_notifications"][key]["opportunity"])
            row = opportunities.get(opportunity, {})
            parts.append(
                f"<Notification><Id>{key}</Id>"
                '<sObject xsi:type="sf:Opportunity" '
                'xmlns:sf="urn:sobject.enterprise.soap.sforce.com">'
                f"<sf:Id>{opportunity}</sf:Id>"
                f"<sf:StageName>{escape(str(row.get('StageName') or ''))}</sf:StageName>"
                "</sObject></Notification>"
            )
        parts.append("</notifications></soapenv:Body></soapenv:Envelope>")
        return "".join(parts).encode()

    def _draw(self, what: str, key: str) -> float:
        return random.Random(f"{self.seed}:{what}:{key}").random()
