"""The verb replay: cases put back in line, or chosen records reprocessed or resent."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict
from decimal import Decimal
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

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
from tieout.cli.watching import RestAwaiter, wait_for_landscape
from tieout.engine.context import Context
from tieout.engine.replay import NothingToReplay
from tieout.engine.replay import replay as put_back
from tieout.engine.reprocess import (
    MOST_CHOSEN,
    Done,
    choose_arrivals,
    choose_dispatches,
    reprocess,
    selection_of,
)
from tieout.engine.reprocess_planned import WRITES, DocumentSeen
from tieout.engine.reprocess_preview import Preview, preview_reprocess, preview_resend
from tieout.engine.reprocess_resend import resend
from tieout.landscape.schema import Person
from tieout.store import cases as case_store
from tieout.store.replay_selection import ChosenArrival, ChosenDispatch, Selection

REPLAYERS = ("operator", "controller", "finance maker", "administrator")
ASK_ABOVE = 100  # what is larger is asked for, unless --yes
MOST_SHOWN = 30
MOST_CASES_LOOKED_AT = 200


def register(application: typer.Typer) -> None:
    """Put this verb on the command line."""
    application.command("replay")(told(replay))


def replay(
    any_ids: Annotated[
        list[str] | None,
        typer.Argument(metavar="[ANY-ID]...", help="Any id of any system; none: all."),
    ] = None,
    folder: FolderOption = None,
    environment: EnvironmentOption = "",
    actor: ActorOption = "",
    reason: Annotated[str, typer.Option(help="Only cases of this class of trouble.")] = "",
    flow: Annotated[str, typer.Option(help="Only records of this flow.")] = "",
    period: Annotated[str, typer.Option(help="Only records of this fiscal period.")] = "",
    outcome: Annotated[
        str, typer.Option(help="Only what stands like this: held, rejected, differs, recorded …")
    ] = "",
    mapping: Annotated[
        str, typer.Option(help="Only what this mapping made: NAME or NAME@VERSION.")
    ] = "",
    only_missing: Annotated[
        bool, typer.Option("--only-missing", help="Only records without a proof in a target.")
    ] = False,
    as_reprocess: Annotated[
        bool, typer.Option("--reprocess", help="Resolve what arrived again, by today's mapping.")
    ] = False,
    as_resend: Annotated[
        bool, typer.Option("--resend", help="The same bytes again, under the same write key.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be written; change nothing.")
    ] = False,
    landed: Annotated[
        bool | None,
        typer.Option(
            "--landed/--not-landed",
            show_default=False,
            help="What you saw when you looked for a document in doubt.",
        ),
    ] = None,
    target_id: Annotated[
        str, typer.Option(help="With --landed: the id under which you saw that one document.")
    ] = "",
    most: Annotated[int, typer.Option(min=1, max=100_000, help="Choose at most.")] = MOST_CHOSEN,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask, however many.")] = False,
    wait: Annotated[float, typer.Option(help="Seconds to wait for rest at most.")] = 120.0,
    as_json: JsonOption = False,
) -> None:
    """Put what was stopped, or what you choose, back in line; never a second document."""
    selectors = bool(flow or period or outcome or mapping or only_missing)
    if as_reprocess and as_resend:
        raise typer.BadParameter("--reprocess and --resend are two ways: choose one")
    chosen_mode = as_reprocess or as_resend or selectors
    if chosen_mode and (reason or landed is not None):
        raise typer.BadParameter("--reason and --landed are about cases, not about a selection")
    if target_id and (landed is not True or not any_ids or len(any_ids) != 1):
        raise typer.BadParameter("--target-id belongs to --landed and one ID")
    with opened(landscape_folder(folder), environment, actor or operating_user()) as context:
        who = person(context.landscape, actor, REPLAYERS)
        context.actor = who.name
        wait_for_landscape(context)
        if not chosen_mode:
            _cases(context, any_ids or [""], reason, dry_run, landed, target_id, wait, as_json)
            return
        selection = selection_of(
            context,
            ids=any_ids or (),
            flow=flow,
            period=period,
            outcome=outcome,
            mapping=mapping,
            only_missing=only_missing,
        )
        _chosen(context, selection, who, as_resend, dry_run, most, yes, wait, as_json)


def _cases(
    context: Context,
    any_ids: Sequence[str],
    reason: str,
    dry_run: bool,
    landed: bool | None,
    target_id: str,
    wait: float,
    as_json: bool,
) -> None:
    """Open cases: what they stopped is read afresh and resolved again, or goes on."""
    done = [
        put_back(
            context,
            any_id=one,
            reason=reason,
            dry_run=dry_run,
            landed=landed,
            target_id=target_id,
        )
        for one in any_ids
    ]
    chosen = sorted({case_id for one in done for case_id in one.cases})
    seen = _preview_of_cases(context, chosen) if dry_run else None
    rested = dry_run or RestAwaiter(context, wait).work_until_rest(poll_first=True)
    with context.database.transaction() as connection:
        still = {one.case_id for one in case_store.read(connection)}
    closed = [case_id for case_id in chosen if case_id not in still]
    if seen is not None:
        _print_preview(out(as_json), seen)
    out(as_json).print(
        f"{len(chosen)} case(s) would be replayed; nothing was changed."
        if dry_run
        else f"{len(chosen)} case(s) replayed; {len(closed)} closed, {len(still)} open in all."
    )
    if as_json:
        say_json(
            {
                "replayed": chosen,
                "closed": closed,
                "open": sorted(still),
                "dry_run": dry_run,
                "at_rest": rested,
                **(_preview_json(seen) if seen is not None else {}),
            }
        )
    if not dry_run and not set(chosen) <= set(closed):
        raise AnswerIsNo("Some cases are still open: `tieout cases` says what is missing.")


def _preview_of_cases(context: Context, case_ids: Sequence[int]) -> Preview:
    """What the rows and records of these cases would become by today's mapping, as they are here;
    a real replay reads them afresh from their source first."""
    with context.database.transaction() as connection:
        found = case_store.read(connection, case_ids=list(case_ids)[:MOST_CASES_LOOKED_AT])
    ids = {
        f"arrival:{one.arrival_id}" if one.run_id is None else one.record_key
        for one in found
        if one.record_key or one.arrival_id
    }
    if not ids:
        return Preview("cases")
    selection = selection_of(context, ids=sorted(ids))
    return preview_reprocess(context, choose_arrivals(context, selection))


def _chosen(
    context: Context,
    selection: Selection,
    who: Person,
    as_resend: bool,
    dry_run: bool,
    most: int,
    yes: bool,
    wait: float,
    as_json: bool,
) -> None:
    """A selection, reprocessed or resent; or what that would write."""
    arrivals: list[ChosenArrival] = []
    dispatches: list[ChosenDispatch] = []
    if as_resend:
        dispatches = choose_dispatches(context, selection, who.legal_entities, most)
    else:
        arrivals = choose_arrivals(context, selection, who.legal_entities, most)
    count = len(dispatches or arrivals)
    if not count:
        raise NothingToReplay("nothing matches all of that; `tieout show` finds what an id is")
    if more := count > most:
        arrivals, dispatches, count = arrivals[:most], dispatches[:most], most
    limit = (
        f" There is more than the {most} that were chosen: narrow the selection, or raise --most."
        if more
        else ""
    )
    if dry_run:
        seen = (
            preview_resend(context, dispatches)
            if as_resend
            else preview_reprocess(context, arrivals)
        )
        _print_preview(out(as_json), seen)
        out(as_json).print(f"Nothing was changed.{limit}")
        if as_json:
            say_json({"dry_run": True, "more": more, **_preview_json(seen)})
        return
    _confirm(count, as_resend, yes, as_json)
    done = (
        resend(context, selection, dispatches)
        if as_resend
        else reprocess(context, selection, arrivals)
    )
    rested = RestAwaiter(context, wait).work_until_rest(poll_first=False)
    _print_done(out(as_json), done, rested, limit)
    if as_json:
        say_json({"dry_run": False, "more": more, "at_rest": rested, **asdict(done)})
    if done.refused:
        raise AnswerIsNo(
            f"{done.refused} of {done.chosen} were not replayed, for the reasons said."
        )


def _confirm(count: int, as_resend: bool, yes: bool, as_json: bool) -> None:
    if count <= ASK_ABOVE or yes:
        return
    what = f"{count} dispatches to send again" if as_resend else f"{count} rows to resolve again"
    if as_json or not sys.stdin.isatty():
        raise AnswerIsNo(
            f"{what}: more than {ASK_ABOVE}, and nobody here to ask. Look with --dry-run, then say "
            "--yes. Nothing was changed."
        )
    if not typer.confirm(f"{what}. Go on?"):
        raise AnswerIsNo("Nothing was changed.")


def _print_done(console: Console, done: Done, rested: bool, limit: str) -> None:
    what = "sent again" if done.mode == "resend" else "resolved again"
    console.print(
        f"{done.put_back} of {done.chosen} {what}; {done.in_line} were under way already, "
        f"{done.nothing} need nothing, {done.refused} refused."
        + ("" if rested else " Not all of it is at rest yet: `tieout sync` goes on.")
        + limit
    )
    _print_refusals(console, done)


def _print_refusals(console: Console, done: Done) -> None:
    for one in done.refusals[:MOST_SHOWN]:
        console.print(f"  {one.subject}: {one.why}", markup=False, soft_wrap=True)
    if done.refused > MOST_SHOWN:
        console.print(f"  … and {done.refused - MOST_SHOWN} more; --json names up to 200.")


def _print_preview(console: Console, seen: Preview) -> None:
    writes = [one for one in seen.documents if one.move in WRITES]
    stopped = [one for one in seen.documents if one.move in ("held", "waits")]
    table = Table("document", "would be", "before", "after", "what differs", box=None)
    for one in [*writes, *stopped][:MOST_SHOWN]:
        table.add_row(
            f"{one.system}.{one.stream} {one.reference}" if one.system else one.reference,
            one.move,
            _money(one.before, one.currency),
            _money(one.after, one.currency),
            _difference(one),
        )
    if writes or stopped:
        console.print(table)
    if len(writes) + len(stopped) > MOST_SHOWN:
        console.print(f"… and {len(writes) + len(stopped) - MOST_SHOWN} more; --json has all.")
    for row in seen.money:
        console.print(
            f"{row['legal_entity']} {row['target']}: {row['documents']} document(s), "
            f"{row['before']:,.2f} → {row['after']:,.2f} {row['currency']} "
            f"({row['difference']:+,.2f})"
        )
    nothing = sum(one.move in ("nothing", "in flight") for one in seen.documents)
    console.print(
        f"{seen.chosen} chosen: {seen.versions} would get a new record version, "
        f"{seen.unchanged} are unchanged, {seen.held} would be held; {len(writes)} document(s) "
        f"would be written, {nothing} are as they should be or under way."
    )
    _print_refusals(console, seen.done)


def _money(amount: Decimal | None, currency: str) -> str:
    return "–" if amount is None else f"{amount:,.2f} {currency}"


def _difference(one: DocumentSeen) -> str:
    if one.why:
        return one.why
    once = f"once {one.once}: " if one.once else ""
    named = [f"{field.field}: {field.before or '–'} → {field.after or '–'}" for field in one.fields]
    return once + "; ".join(named[:4]) + (f" (+{len(named) - 4} fields)" if len(named) > 4 else "")


def _preview_json(seen: Preview) -> dict[str, object]:
    return {
        "mode": seen.mode,
        "chosen": seen.chosen,
        "versions": seen.versions,
        "unchanged": seen.unchanged,
        "held": seen.held,
        "documents": [asdict(one) for one in seen.documents],
        "money": seen.money,
        "refused": [asdict(one) for one in seen.done.refusals],
    }
