"""Alerts: trouble with the machinery, open once however many watchdogs see it, told as decided.

A message is committed before it leaves. A watchdog that dies in between is succeeded by another,
which sends it: a message may arrive twice, never not at all.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tieout import clock
from tieout.rules.alerting import Alert, Channel, new_channel
from tieout.store.database import Connection

MOST_OPEN = 1_000
KEPT_DAYS = 90
RETRY_SECONDS = 30.0
MOST_TRIES = 20


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as it should be. The same fingerprint is the same trouble."""

    fingerprint: str
    kind: str  # slo, worker, queue, cases, errors, audit, system
    words: str
    next_action: str
    owner: str
    urgent: bool = False


@dataclass(frozen=True, slots=True)
class OpenAlert:
    """An alert as people read it."""

    alert_id: int
    fingerprint: str
    kind: str
    urgent: bool
    words: str
    next_action: str
    owner: str
    opened_at: dt.datetime
    last_at: dt.datetime
    closed_at: dt.datetime | None


@dataclass(frozen=True, slots=True)
class Message:
    """A message that is to leave."""

    message_id: int
    channel: str
    title: str
    body: str
    tries: int


_COLUMNS = (
    "a.alert_id, a.fingerprint, a.kind, a.urgent, a.words, a.next_action, a.owner, a.opened_at, "
    "a.last_at, a.closed_at"
)


def keep(connection: Connection, findings: Iterable[Finding]) -> tuple[int, int]:
    """Make the open alerts exactly these findings; returns (opened, closed).

    Alerts of several watchdogs meet in the unique index: each is open once.
    """
    now = clock.now()
    by_fingerprint = {one.fingerprint: one for one in list(findings)[:MOST_OPEN]}
    found = [by_fingerprint[key] for key in sorted(by_fingerprint)]
    closed = connection.execute(
        "UPDATE alerts SET closed_at = %s WHERE closed_at IS NULL AND fingerprint <> ALL(%s)",
        (now, [one.fingerprint for one in found]),
    ).rowcount
    opened = connection.execute(
        "INSERT INTO alerts AS a (fingerprint, kind, urgent, words, next_action, owner, opened_at, "
        "last_at) SELECT t.*, %s, %s FROM unnest(%s::text[], %s::text[], %s::boolean[], "
        "%s::text[], %s::text[], %s::text[]) AS t ON CONFLICT (fingerprint) "
        "WHERE closed_at IS NULL DO UPDATE SET last_at = excluded.last_at, words = excluded.words "
        "RETURNING opened_at = last_at",
        (
            now,
            now,
            [one.fingerprint for one in found],
            [one.kind for one in found],
            [one.urgent for one in found],
            [one.words for one in found],
            [one.next_action for one in found],
            [one.owner for one in found],
        ),
    ).fetchall()
    return sum(bool(row[0]) for row in opened), closed


def forget_old(connection: Connection) -> None:
    """Alerts that were over long ago, and their messages, are no evidence: they go."""
    before = clock.now() - dt.timedelta(days=KEPT_DAYS)
    connection.execute(
        "WITH gone AS (DELETE FROM alerts WHERE closed_at < %s RETURNING alert_id) "
        "DELETE FROM alert_tellings t USING gone g WHERE t.alert_id = g.alert_id",
        (before,),
    )
    connection.execute("DELETE FROM alert_messages WHERE made_at < %s", (before,))


def read(connection: Connection, alert_ids: Sequence[int] | None = None) -> list[OpenAlert]:
    """The open alerts, oldest first; or these ones, open or over."""
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM alerts a WHERE CASE WHEN %(ids)s::bigint[] IS NULL "
        "THEN a.closed_at IS NULL ELSE a.alert_id = ANY(%(ids)s) END "
        "ORDER BY a.opened_at, a.alert_id LIMIT %(most)s",
        {"ids": list(alert_ids) if alert_ids is not None else None, "most": MOST_OPEN},
    ).fetchall()
    return [OpenAlert(*row) for row in rows]


def lock_channel(connection: Connection, channel: str) -> Channel:
    """Where the channel stands; other watchdogs wait until this transaction is over."""
    first = new_channel(clock.now())
    connection.execute(
        "INSERT INTO alert_channels VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING",
        (channel, first.window_started_at, first.sent_in_window, first.digested_at),
    )
    row = connection.execute(
        "SELECT window_started_at, sent_in_window, digested_at FROM alert_channels "
        "WHERE channel = %s FOR UPDATE",
        (channel,),
    ).fetchone()
    return Channel(*row) if row else first


def for_channel(
    connection: Connection, channel: str, kinds: Sequence[str], window: dt.timedelta
) -> list[Alert]:
    """What this channel may have to be told: open alerts of these kinds (none: of every kind),
    and those it was told of that are over."""
    rows = connection.execute(
        "SELECT a.alert_id, a.urgent, a.closed_at IS NULL, t.told_at IS NOT NULL, "
        "t.over_at IS NOT NULL, EXISTS (SELECT FROM alerts b WHERE b.fingerprint = a.fingerprint "
        "  AND b.closed_at > %(since)s AND b.alert_id <> a.alert_id) "
        "FROM alerts a LEFT JOIN alert_tellings t "
        "  ON t.alert_id = a.alert_id AND t.channel = %(channel)s "
        "WHERE (a.closed_at IS NULL OR (t.told_at IS NOT NULL AND t.over_at IS NULL)) "
        "AND (cardinality(%(kinds)s::text[]) = 0 OR a.kind = ANY(%(kinds)s)) "
        "ORDER BY a.alert_id LIMIT %(most)s",
        {
            "channel": channel,
            "kinds": list(kinds),
            "since": clock.now() - window,
            "most": MOST_OPEN,
        },
    ).fetchall()
    return [Alert(*row) for row in rows]


def tell(
    connection: Connection,
    channel: str,
    stands: Channel,
    *,
    begun: Sequence[int] = (),
    over: Sequence[int] = (),
    message: tuple[str, str] | None = None,
) -> None:
    """Commit where the channel stands, what it is told, and the message (title, body) that says
    so: in the transaction that holds the channel's lock."""
    now = clock.now()
    connection.execute(
        "UPDATE alert_channels SET window_started_at = %s, sent_in_window = %s, digested_at = %s "
        "WHERE channel = %s",
        (stands.window_started_at, stands.sent_in_window, stands.digested_at, channel),
    )
    if message is None:
        return
    connection.execute(
        "INSERT INTO alert_tellings (alert_id, channel, told_at) "
        "SELECT id, %s, %s FROM unnest(%s::bigint[]) AS id ON CONFLICT DO NOTHING",
        (channel, now, list(begun)),
    )
    connection.execute(
        "UPDATE alert_tellings SET over_at = %s WHERE channel = %s AND alert_id = ANY(%s)",
        (now, channel, list(over)),
    )
    connection.execute(
        "INSERT INTO alert_messages (channel, title, body, made_at, due_at) "
        "VALUES (%s, %s, %s, %s, %s)",
        (channel, *message, now, now),
    )


def claim_messages(connection: Connection, most: int) -> list[Message]:
    """Messages to send now; each is due again later unless it is said to be sent."""
    now = clock.now()
    rows = connection.execute(
        "WITH due AS (SELECT message_id FROM alert_messages WHERE sent_at IS NULL "
        "  AND given_up = '' AND due_at <= %s ORDER BY message_id LIMIT %s "
        "  FOR UPDATE SKIP LOCKED) "
        "UPDATE alert_messages m SET tries = m.tries + 1, due_at = %s FROM due "
        "WHERE m.message_id = due.message_id "
        "RETURNING m.message_id, m.channel, m.title, m.body, m.tries",
        (now, most, now + dt.timedelta(seconds=RETRY_SECONDS)),
    ).fetchall()
    return sorted((Message(*row) for row in rows), key=lambda one: one.message_id)


def message_sent(connection: Connection, message_id: int) -> None:
    connection.execute(
        "UPDATE alert_messages SET sent_at = %s WHERE message_id = %s", (clock.now(), message_id)
    )


def message_failed(connection: Connection, one: Message, words: str) -> None:
    """Not sent: it stays due, until it was tried often enough."""
    if one.tries >= MOST_TRIES:
        connection.execute(
            "UPDATE alert_messages SET given_up = %s WHERE message_id = %s",
            (words[:1000] or "not sent", one.message_id),
        )
