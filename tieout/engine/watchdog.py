"""The watchdog: a process of its own that sees when promises break, and tells people.

It holds no lease and shares nothing with the workers but the database, so it speaks also when a
worker hangs. Any number may run: an alert is a row that is open once, a message is sent by one.

`python -m tieout.engine.watchdog --landscape DIR --environment NAME`; the database is named by
TIEOUT_DATABASE_URL, never on the command line, where other users could read it.
"""

from __future__ import annotations

import argparse
import datetime as dt
import os
import signal
import sys
import zoneinfo
from collections.abc import Callable, Sequence
from pathlib import Path

import psycopg
from psycopg_pool import PoolTimeout

from tieout import clock
from tieout.engine import findings, notify
from tieout.engine.findings import Rates, words
from tieout.engine.logs import BadLogLevel, event, start_logs
from tieout.engine.opening import load_checked
from tieout.landscape.schema import Landscape
from tieout.landscape.service_levels import AlertChannel
from tieout.landscape.stamp import Stamp, stamp
from tieout.rules.alerting import Quiet, Telling, decide
from tieout.rules.place import BadLandscape
from tieout.store import alerts, cases
from tieout.store.alerts import Finding, OpenAlert
from tieout.store.cases import NewCase
from tieout.store.database import Connection, Database, DatabaseUnfit

LOOK_SECONDS = 10.0  # at most 15: a breach is told within 60 s, whatever else is slow
NAP_SECONDS = 0.2
MOST_MESSAGES = 20  # sent in one look
MOST_LISTED = 50  # alerts in one message
SILENT = "silent"  # the reason of a case: a system gives no answer


class Watchdog:
    """Looks, keeps alerts, tells. Survives a database that is away: it looks again."""

    def __init__(self, folder: Path, database: Database) -> None:
        self._folder = folder
        self._database = database
        self._rates = Rates()
        self._silent: set[str] = set()
        self._refused = ""
        self._stamped: Stamp | None = None
        self.landscape: Landscape
        self.targets: list[tuple[str, str]] = []
        self._take_up()

    def run(self, stopping: Callable[[], bool], look_seconds: float = LOOK_SECONDS) -> None:
        """Look every `look_seconds` until `stopping()`."""
        next_look = clock.monotonic()
        while not stopping():
            if clock.monotonic() < next_look:
                clock.sleep(NAP_SECONDS)
                continue
            next_look = clock.monotonic() + look_seconds
            try:
                self.look()
            except (psycopg.OperationalError, psycopg.InterfaceError, PoolTimeout) as error:
                event("the database does not answer", level="error", kind=type(error).__name__)

    def look(self) -> None:
        """One look: what is wrong, who is told, what leaves."""
        self._renew()
        with self._database.transaction() as connection:
            silent = findings.silent(connection, self.landscape)
            found = findings.look(connection, self.landscape, self.targets, self._rates)
        found += [_silent_finding(self.landscape, name, age) for name, age in silent.items()]
        with self._database.transaction() as connection:
            self._keep_silent_cases(connection, silent)
            opened, closed = alerts.keep(connection, found)
            alerts.forget_old(connection)
        if opened or closed:
            event(
                "alerts",
                level="warning",
                opened=opened,
                closed=closed,
                open=len(found),
                kinds=sorted({one.kind for one in found}),
            )
        for channel in self.landscape.alerts.channels:
            self._tell(channel)
        self._send()

    def _tell(self, channel: AlertChannel) -> None:
        """Decide what this channel is told, and commit it as a message."""
        now = clock.now()
        window = dt.timedelta(seconds=self.landscape.alerts.digest_seconds)
        with self._database.transaction() as connection:
            stands = alerts.lock_channel(connection, channel.name)
            known = alerts.for_channel(connection, channel.name, channel.about, window)
            after, telling = decide(now, stands, known, window, quiet=_quiet(channel, now))
            if telling is None:
                alerts.tell(connection, channel.name, after)
                return
            message = self._words(connection, telling)
            alerts.tell(
                connection,
                channel.name,
                after,
                begun=telling.begun,
                over=telling.over,
                message=message,
            )

    def _words(self, connection: Connection, telling: Telling) -> tuple[str, str]:
        """A message's title and text."""
        now = clock.now()
        parts: list[str] = []
        by_id = {
            one.alert_id: one
            for one in alerts.read(connection, [*telling.begun, *telling.over, *telling.standing])
        }
        for heading, ids in (
            ("New", telling.begun),
            ("Over", telling.over),
            ("Still open", telling.standing),
        ):
            if not ids:
                continue
            parts.append(f"{heading}:")
            parts += [_line(by_id[one], now) for one in ids[:MOST_LISTED] if one in by_id]
            if len(ids) > MOST_LISTED:
                parts.append(f"- and {len(ids) - MOST_LISTED} more")
            parts.append("")
        parts.append("`tieout doctor` and the console show how things stand now.")
        left = len(telling.begun) + len(telling.standing)
        name = self.landscape.name
        first = by_id.get(telling.begun[0]) if telling.begun else None
        title = {
            "alert": f"{name}: {first.words if first else ''}",
            "over": f"{name}: over" + ("" if left else ", nothing is open"),
            "digest": f"{name}: {left} alert(s) open",
        }[telling.kind]
        if len(telling.begun) > 1 and telling.kind == "alert":
            title += f" (and {len(telling.begun) - 1} more)"
        return title[:200], "\n".join(parts)

    def _send(self) -> None:
        """Send what is due: committed before, said to be sent after."""
        channels = {one.name: one for one in self.landscape.alerts.channels}
        with self._database.transaction() as connection:
            due = alerts.claim_messages(connection, MOST_MESSAGES)
        for message in due:
            channel = channels.get(message.channel)
            try:
                if channel is None:
                    raise notify.NotSent("the channel is not in the landscape any more")
                notify.send(message, channel, self.landscape.alerts, self._folder)
            except notify.NotSent as error:
                event(
                    "alert not sent",
                    level="error",
                    channel=message.channel,
                    why=str(error),
                    tries=message.tries,
                )
                with self._database.transaction() as connection:
                    alerts.message_failed(connection, message, str(error))
            else:
                event("alert sent", channel=message.channel, title=message.title)
                with self._database.transaction() as connection:
                    alerts.message_sent(connection, message.message_id)

    def _keep_silent_cases(self, connection: Connection, silent: dict[str, dt.timedelta]) -> None:
        new = sorted(set(silent) - self._silent)
        cases.open_cases(
            connection,
            [
                NewCase(
                    reason=SILENT,
                    control="answers",
                    words=f"{name} has given no answer for {words(silent[name])}",
                    next_action="See `tieout doctor`: is it reachable, is its address right? Work "
                    "goes on by itself when it answers.",
                    owner=self.landscape.systems[name].steward,
                    system=name,
                )
                for name in new
            ],
        )
        cases.close_for_reason(connection, SILENT, sorted(silent), "the system answers again")
        self._silent = set(silent)

    def _renew(self) -> None:
        """Take up a changed landscape; a broken one is refused, and said once."""
        try:
            self._take_up()
        except BadLandscape as bad:
            words_of_it = str(bad.problems[0]) if bad.problems else "broken"
            if words_of_it != self._refused:
                event("changed landscape refused", level="error", why=words_of_it)
            self._refused = words_of_it

    def _take_up(self) -> None:
        now = stamp(self._folder)
        if self._stamped == now:
            return
        landscape, compiled = load_checked(self._folder)
        self.landscape, self.targets = landscape, sorted(compiled.streams)
        self._stamped, self._refused = now, ""


def _silent_finding(landscape: Landscape, system: str, age: dt.timedelta) -> Finding:
    return Finding(
        f"system silent {system}",
        "system",
        f"{system} has given no answer for {words(age)}",
        "See `tieout doctor`: is it reachable, is its address right?",
        landscape.systems[system].steward,
    )


def _quiet(channel: AlertChannel, now: dt.datetime) -> bool:
    if channel.quiet_begins is None or channel.quiet_ends is None:
        return False
    here = now.astimezone(zoneinfo.ZoneInfo(channel.time_zone)).time()
    return Quiet(channel.quiet_begins, channel.quiet_ends).holds(here)


def _line(one: OpenAlert, now: dt.datetime) -> str:
    if one.closed_at is not None:
        return f"- {one.words} (it lasted {words(one.closed_at - one.opened_at)})"
    return f"- {one.words} (since {words(now - one.opened_at)}; {one.owner}). {one.next_action}"


def main(arguments: Sequence[str]) -> int:
    """Watch until SIGTERM or SIGINT; 0 after a clean stop, 1 when it could not start."""
    parser = argparse.ArgumentParser(prog="python -m tieout.engine.watchdog")
    parser.add_argument("--landscape", type=Path, required=True, help="the landscape's folder")
    parser.add_argument("--environment", required=True, help="which environment: demo, test …")
    parser.add_argument("--look-seconds", type=float, default=LOOK_SECONDS)
    asked = parser.parse_args(arguments)
    url = os.environ.get("TIEOUT_DATABASE_URL", "")
    if not url:
        print("TIEOUT_DATABASE_URL is not set; `tieout up` sets it", file=sys.stderr)
        return 1
    stopping = False

    def stop(*_: object) -> None:
        nonlocal stopping
        stopping = True

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    try:
        start_logs("watchdog")
        with Database(url, most_connections=2) as database:
            Watchdog(asked.landscape.resolve(), database).run(lambda: stopping, asked.look_seconds)
    except (BadLandscape, BadLogLevel, DatabaseUnfit) as error:
        print(f"the watchdog cannot start: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
