"""When to tell whom about what: at once, in a digest, or later. Pure; never a flood.

The rule, per channel: something new is told at once. What is new in the same look goes in one
message. In a window (15 minutes, say) at most AT_ONCE such messages leave, URGENT_MORE further ones
for what is urgent, and one digest. What found no room waits for the digest, which comes when the
window is over and lists everything that is open. What was told is told to be over, once. The same
trouble again within a window of its end is not new: it waits for the digest.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

AT_ONCE = 4  # messages in a window
URGENT_MORE = 4  # and so many more when something urgent is among them
MOST_IN_WINDOW = AT_ONCE + URGENT_MORE + 1  # with the digest

Kind = Literal["alert", "over", "digest"]


@dataclass(frozen=True, slots=True)
class Quiet:
    """Hours of the day in which only what is urgent is told at once; may go over midnight."""

    begins: dt.time
    ends: dt.time

    def holds(self, at: dt.time) -> bool:
        if self.begins <= self.ends:
            return self.begins <= at < self.ends
        return at >= self.begins or at < self.ends


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert as one channel knows it. `again`: the same trouble ended less than a window ago."""

    alert_id: int
    urgent: bool
    open: bool
    told: bool
    told_over: bool = False
    again: bool = False


@dataclass(frozen=True, slots=True)
class Channel:
    """Where a channel stands in its window."""

    window_started_at: dt.datetime
    sent_in_window: int
    digested_at: dt.datetime


@dataclass(frozen=True, slots=True)
class Telling:
    """One message to be sent. `begun`: alerts it tells of first; `over`: alerts it says are over;
    `standing`: alerts told before that are still open."""

    kind: Kind
    begun: tuple[int, ...]
    over: tuple[int, ...]
    standing: tuple[int, ...]


def new_channel(now: dt.datetime) -> Channel:
    """A channel that has had no message yet."""
    return Channel(now, 0, now)


def decide(
    now: dt.datetime,
    channel: Channel,
    alerts: Sequence[Alert],
    window: dt.timedelta,
    *,
    quiet: bool = False,
) -> tuple[Channel, Telling | None]:
    """What to send on this channel now, at most one message, and where the channel stands then.

    `alerts` are those that are open, or over without having been told so. One that began and ended
    before anybody was told is not told.
    """
    after = replace(channel)
    new_window = now - channel.window_started_at >= window
    if new_window:
        after = replace(after, window_started_at=now, sent_in_window=0)
    fresh = [one for one in alerts if one.open and not one.told]
    over = [one for one in alerts if not one.open and one.told and not one.told_over]
    standing = [one for one in alerts if one.open and one.told]
    at_once = [one for one in fresh if not one.again and (one.urgent or not quiet)]
    urgent = any(one.urgent for one in at_once)
    room = after.sent_in_window < AT_ONCE + (URGENT_MORE if urgent else 0)
    if at_once and room:
        told = [one for one in fresh if not one.again] if not quiet else at_once
        return _sent(after), _telling("alert", told, over, standing)
    if over and not quiet and after.sent_in_window < AT_ONCE:
        return _sent(after), _telling("over", (), over, standing)
    digest_due = now - channel.digested_at >= window
    if digest_due and not quiet and (fresh or over or standing):
        return replace(after, digested_at=now), _telling("digest", fresh, over, standing)
    return after, None


def _sent(channel: Channel) -> Channel:
    return replace(channel, sent_in_window=channel.sent_in_window + 1)


def _telling(
    kind: Kind, begun: Sequence[Alert], over: Sequence[Alert], standing: Sequence[Alert]
) -> Telling:
    first, second, third = (
        tuple(sorted(one.alert_id for one in some)) for some in (begun, over, standing)
    )
    return Telling(kind, first, second, third)
