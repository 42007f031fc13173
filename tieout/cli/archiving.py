"""Verbs for keeping evidence: archive, and hold add, list, release."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from tieout import clock
from tieout.cli.shared import (
    ActorOption,
    EnvironmentOption,
    FolderOption,
    JsonOption,
    landscape_folder,
    opened,
    operating_user,
    out,
    person,
)
from tieout.cli.telling import AnswerIsNo, say_json, told
from tieout.engine.context import Context
from tieout.store import archive as archive_store
from tieout.store import archive_expiry, archive_reading, holds
from tieout.store.database import Connection
from tieout.store.life_search import subjects

KEEPERS = ("operator", "administrator", "controller", "auditor")
HOLDERS = ("controller", "auditor", "administrator")
_MONTH = re.compile(r"\d{4}-(0[1-9]|1[0-2])")

hold_application = typer.Typer(
    no_args_is_help=True, help="What must not be removed, whatever its age."
)


def register(application: typer.Typer) -> None:
    """Put these verbs on the command line."""
    application.command("archive")(told(archive))
    hold_application.command("add")(told(hold_add))
    hold_application.command("list")(told(hold_list))
    hold_application.command("release")(told(hold_release))
    application.add_typer(hold_application, name="hold")


def archive(
    folder: FolderOption = None,
    environment: EnvironmentOption = "",
    actor: ActorOption = "",
    before: Annotated[
        str,
        typer.Option(
            metavar="YYYY-MM",
            show_default=False,
            help="Archive whole months before this one; default: as policies/retention.yaml says.",
        ),
    ] = "",
    to: Annotated[
        Path | None,
        typer.Option(show_default=False, help="Folder of the files; default: as the policy says."),
    ] = None,
    expire: Annotated[
        bool,
        typer.Option("--expire", help="Remove files whose years are over, unless held."),
    ] = False,
    verify: Annotated[
        bool, typer.Option("--verify", help="Only read every file and compare its digest.")
    ] = False,
    moved_to: Annotated[
        Path | None,
        typer.Option(show_default=False, help="Only say that the files are in this folder now."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Move old months of evidence into files that are still searched, replayed and verified."""
    if before and not _MONTH.fullmatch(before):
        raise typer.BadParameter(f"'{before}' is not a month; write it as 2024-07")
    if sum((expire, verify, moved_to is not None)) > 1:
        raise typer.BadParameter("--expire, --verify and --moved-to: one at a time")
    with opened(landscape_folder(folder), environment, actor or operating_user()) as context:
        who = person(context.landscape, actor, KEEPERS).name
        if verify:
            _verify(context, as_json)
        elif moved_to is not None:
            count = archive_store.moved_to(context.database, moved_to, who)
            out(as_json).print(f"{count} file(s) are read from {moved_to} from now on.")
            _answer(as_json, {"moved": count})
        elif expire:
            _expire(context, who, as_json)
        else:
            _archive(context, who, before, to, as_json)


def _archive(context: Context, who: str, before: str, to: Path | None, as_json: bool) -> None:
    policy = context.landscape.retention
    limit = archive_store.cutoff(policy.hot_months, clock.now().date())
    if before:
        limit = dt.date.fromisoformat(f"{before}-01")
    done = archive_store.archive(
        context.database,
        landscape=context.landscape.name,
        folder=to or policy.folder_in(context.landscape.folder),
        before=limit,
        actor=who,
    )
    console = out(as_json)
    for one in done.archived:
        console.print(f"{one.table} of {one.month}: {one.rows:,} row(s) in {one.file}")
    for why in done.stayed:
        console.print(why, markup=False, soft_wrap=True)
    if done.returned:
        console.print(f"{done.returned} text(s) that a replay had brought back left again.")
    console.print(
        f"{len(done.archived)} month(s) archived; months before {limit:%Y-%m} were looked at."
    )
    _answer(
        as_json,
        {
            "archived": [asdict(one) for one in done.archived],
            "stayed": done.stayed,
            "returned": done.returned,
            "before": f"{limit:%Y-%m}",
        },
    )
    if done.stayed:
        raise AnswerIsNo("")


def _expire(context: Context, who: str, as_json: bool) -> None:
    policy = context.landscape.retention
    done = archive_expiry.expire(
        context.database, keep_years=policy.keep_years, actor=who, today=clock.now().date()
    )
    for file, hold in done.held.items():
        out(as_json).print(f"{file} stays: hold {hold}")
    for file in done.removed:
        out(as_json).print(f"{file} removed: older than {policy.keep_years} years")
    out(as_json).print(f"{len(done.removed)} file(s) removed, {len(done.held)} kept by a hold.")
    _answer(as_json, {"removed": done.removed, "held": done.held})


def _verify(context: Context, as_json: bool) -> None:
    with context.database.transaction() as connection:
        found = archive_store.verify(connection)
        files = [one for one in archive_reading.months(connection) if one.expired_at is None]
    for words in found:
        out(as_json).print(words, markup=False, soft_wrap=True, style="red")
    out(as_json).print(f"{len(files)} file(s) of the archive read; {len(found)} finding(s).")
    _answer(as_json, {"files": len(files), "findings": found})
    if found:
        raise AnswerIsNo("")


def hold_add(
    because: Annotated[str, typer.Option(help="Why it must be kept.")],
    folder: FolderOption = None,
    environment: EnvironmentOption = "",
    actor: ActorOption = "",
    legal_entity: Annotated[str, typer.Option(help="Everything of this legal entity.")] = "",
    record: Annotated[str, typer.Option(help="One record, by any id of any system.")] = "",
    period: Annotated[str, typer.Option(help="Everything of this fiscal period.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Place a legal hold: what it means is not removed, whatever its age."""
    with opened(landscape_folder(folder), environment, actor or operating_user()) as context:
        who = person(context.landscape, actor, HOLDERS).name
        if legal_entity and legal_entity not in context.landscape.legal_entities:
            known = ", ".join(sorted(context.landscape.legal_entities))
            raise typer.BadParameter(f"no legal entity '{legal_entity}'; there are: {known}")
        with context.database.transaction() as connection:
            number = holds.add(
                connection,
                who,
                because=because,
                legal_entity=legal_entity,
                record_key=_record_key(connection, record) if record else "",
                period=period,
            )
    out(as_json).print(f"Hold {number} is in force.")
    _answer(as_json, {"hold": number})


def _record_key(connection: Connection, record: str) -> str:
    keys = {one.record_key for one in subjects(connection, record) if one.record_key}
    if len(keys) != 1:
        raise AnswerIsNo(
            f"'{record}' is {len(keys) or 'no'} record(s); name one, by its record key for example"
        )
    return keys.pop()


def hold_list(
    folder: FolderOption = None,
    environment: EnvironmentOption = "",
    actor: ActorOption = "",
    released: Annotated[bool, typer.Option("--all", help="Released ones too.")] = False,
    as_json: JsonOption = False,
) -> None:
    """The holds in force: what they keep, who placed them, and why."""
    with opened(landscape_folder(folder), environment, actor or operating_user()) as context:
        person(context.landscape, actor, ())
        with context.database.transaction() as connection:
            found = holds.read(connection, released=released)
    for one in found:
        _print_hold(out(as_json), one)
    out(as_json).print(f"{len(found)} hold(s).")
    _answer(as_json, {"holds": [asdict(one) for one in found]})


def _print_hold(console: Console, one: holds.Hold) -> None:
    what = ", ".join(
        f"{name} {value}"
        for name, value in (
            ("legal entity", one.legal_entity),
            ("record", one.record_key[:12]),
            ("period", one.period),
        )
        if value
    )
    released = (
        f"; released by {one.released_by} on {one.released_at:%Y-%m-%d}: {one.released_because}"
        if one.released_at is not None
        else ""
    )
    console.print(
        f"hold {one.hold_id}: {what}; {one.placed_by} on {one.placed_at:%Y-%m-%d}: "
        f"{one.because}{released}",
        markup=False,
        soft_wrap=True,
    )


def hold_release(
    number: Annotated[int, typer.Argument(metavar="NUMBER", help="As `hold list` shows it.")],
    because: Annotated[str, typer.Option(help="Why it need not be kept any longer.")],
    folder: FolderOption = None,
    environment: EnvironmentOption = "",
    actor: ActorOption = "",
    as_json: JsonOption = False,
) -> None:
    """Let go of a hold; never by the person who placed it."""
    with opened(landscape_folder(folder), environment, actor or operating_user()) as context:
        who = person(context.landscape, actor, HOLDERS).name
        with context.database.transaction() as connection:
            holds.release(connection, who, number, because)
    out(as_json).print(f"Hold {number} is released.")
    _answer(as_json, {"released": number})


def _answer(as_json: bool, value: dict[str, object]) -> None:
    if as_json:
        say_json(value)
