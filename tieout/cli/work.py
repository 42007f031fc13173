"""Verbs for daily work: show, cases, reconcile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from decimal import Decimal
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from tieout.cli.life import print_life
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
from tieout.engine.reconcile import TieOut
from tieout.engine.reconcile import reconcile as run_reconciliation
from tieout.engine.tie_out_json import tie_out_json
from tieout.rules.matching import Break
from tieout.store import cases as case_store
from tieout.store.life import life_of

RECONCILERS = ("operator", "controller", "finance maker", "finance checker", "auditor")
MOST_CASES_SHOWN = 200
MOST_BREAKS_SHOWN = 30


def register(application: typer.Typer) -> None:
    """Put these verbs on the command line."""
    application.command("show")(told(show))
    application.command("cases")(told(cases))
    application.command("reconcile")(told(reconcile))


def show(
    any_id: Annotated[str, typer.Argument(metavar="ANY-ID", help="Any id of any system.")],
    folder: FolderOption = None,
    environment: EnvironmentOption = "",
    actor: ActorOption = "",
    as_json: JsonOption = False,
) -> None:
    """One record's life: arrival → record → dispatches → proofs → cases."""
    with opened(landscape_folder(folder), environment, actor or operating_user()) as context:
        who = person(context.landscape, actor, ())
        with context.database.transaction(who.legal_entities or ("*",)) as connection:
            lives = life_of(connection, any_id)
    if as_json:
        say_json({"id": any_id, "lives": [asdict(one) for one in lives]})
    if not lives:
        raise AnswerIsNo(
            f"nobody here knows '{any_id}'. Ids of the source, of any target, document numbers, "
            "references, record keys and case:12 are understood"
        )
    for one in lives:
        print_life(out(as_json), one)


def cases(
    folder: FolderOption = None,
    environment: EnvironmentOption = "",
    actor: ActorOption = "",
    state: Annotated[str, typer.Option(help="open, closed, or all.")] = "open",
    as_json: JsonOption = False,
) -> None:
    """What failed, who owns it, and what to do next."""
    with opened(landscape_folder(folder), environment, actor or operating_user()) as context:
        who = person(context.landscape, actor, ())
        with context.database.transaction(who.legal_entities or ("*",)) as connection:
            found = case_store.read(connection, state="" if state == "all" else state)
    if as_json:
        say_json({"cases": [asdict(one) for one in found]})
        return
    for one in found[:MOST_CASES_SHOWN]:
        money = f"{one.amount:,.2f} {one.currency}" if one.amount is not None else ""
        out(as_json).print(
            f"[bold]case:{one.case_id}[/] {one.reason} · {one.control} · {money} "
            f"{one.legal_entity} {one.period} · {one.owner}"
            + ("" if one.state == "open" else f" · closed: {one.closed_because}")
        )
        said = f"  {one.words}" + (f" (seen {one.times} times)" if one.times > 1 else "")
        out(as_json).print(said, markup=False, soft_wrap=True)
        what = f"  {one.field} = {one.value}" if one.field else ""
        out(as_json).print(
            f"{what}  at {one.place}  record {one.source_key or one.record_key}",
            markup=False,
            soft_wrap=True,
        )
        out(as_json).print(f"  → {one.next_action}", markup=False, soft_wrap=True, style="cyan")
    if len(found) > MOST_CASES_SHOWN:
        out(as_json).print(f"… and {len(found) - MOST_CASES_SHOWN} more; --json lists all.")
    out(as_json).print(f"{len(found)} {'' if state == 'all' else state + ' '}case(s).")


def reconcile(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]...", help="None: all reconciliations.")
    ] = None,
    folder: FolderOption = None,
    environment: EnvironmentOption = "",
    actor: ActorOption = "",
    as_json: JsonOption = False,
) -> None:
    """Read every side afresh from its system and compare: count, sum, record by record."""
    with opened(landscape_folder(folder), environment, actor or operating_user()) as context:
        context.actor = person(context.landscape, actor, RECONCILERS).name
        known = context.landscape.reconciliations
        for name in names or ():
            if name not in known:
                raise typer.BadParameter(
                    f"no reconciliation '{name}'; there are: {', '.join(sorted(known))}"
                )
        runs = [run_reconciliation(context, known[name]) for name in names or sorted(known)]
    for tie_outs in runs:
        print_tie_outs(out(as_json), tie_outs)
    found = [one for tie_outs in runs for one in tie_outs]
    if as_json:
        say_json({"tie_outs": [tie_out_json(one) for one in found]})
    if not all(one.agrees or one.explained for one in found):
        raise AnswerIsNo("There are differences that no open case explains.")


def print_tie_outs(console: Console, found: Sequence[TieOut]) -> None:
    """Tie-outs for people: the verdicts, then each record that differs and what explains it."""
    if not found:
        return
    table = Table("side", "records", "sums by currency", box=None, pad_edge=False)
    for side in (found[0].left, *(one.right for one in found)):
        sums = "  ".join(f"{currency} {readable(sum_)}" for currency, sum_ in side.sums.items())
        table.add_row(side.name, f"{side.count:,}", sums)
    console.print(table)
    for one in found:
        console.print(f"{_verdict(one)}  {one.name}")
    gaps = _by_record(found)
    if not gaps:
        return
    names = [one.right.name for one in found]
    breaks = Table("record", "group", found[0].left.name, *names, "case", box=None, pad_edge=False)
    for (key, group), row in list(gaps.items())[:MOST_BREAKS_SHOWN]:
        left = next(iter(row.values())).left
        amounts = [readable(row[name].right if name in row else left) for name in names]
        case_id = next(iter(row.values())).case_id
        breaks.add_row(
            key,
            " ".join(group),
            readable(left),
            *amounts,
            f"case:{case_id}" if case_id else "[red]unexplained[/]",
        )
    console.print(breaks)
    if len(gaps) > MOST_BREAKS_SHOWN:
        console.print(f"… and {len(gaps) - MOST_BREAKS_SHOWN} more records.")


def _verdict(one: TieOut) -> str:
    if one.agrees:
        return "[green]agrees to the cent[/]           "
    gaps = ", ".join(f"{currency} {readable(gap)}" for currency, gap in one.differences.items())
    if one.explained:
        return f"[yellow]differs by {gaps}, all of it explained by open cases[/]"
    return f"[red]DIFFERS by {gaps}, {one.comparison.unexplained} record(s) unexplained[/]"


def _by_record(found: Sequence[TieOut]) -> dict[tuple[str, tuple[str, ...]], dict[str, Break]]:
    gaps: dict[tuple[str, tuple[str, ...]], dict[str, Break]] = {}
    for one in found:
        for gap in one.breaks:
            gaps.setdefault((gap.key, gap.group), {})[one.right.name] = gap
    return dict(sorted(gaps.items()))


def readable(amount: Decimal | None) -> str:
    """An amount for reading: thousands separated, two places; a dash where there is none."""
    return "–" if amount is None else f"{amount:,.2f}"
