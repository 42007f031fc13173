"""Prints one record's life for people: what came, what we hold, what went out, what was proven."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape

from tieout.store.life import Life
from tieout.store.life_seen import DispatchSeen


def print_life(console: Console, life: Life) -> None:
    """Arrival → record → run → dispatches → proofs → cases, oldest first."""
    console.print(f"\n[bold]{escape(life.title)}[/]  ({escape(life.found_as)})")
    console.print(f"  record {life.record_type} {life.record_key}", markup=False)
    for link in life.xrefs:
        number = f" {link.number}" if link.number else ""
        console.print(f"  = {link.system}.{link.stream} {link.external_id}{number}", markup=False)
    for arrival in life.arrivals:
        again = f", {arrival.times} times" if arrival.times > 1 else ""
        console.print(
            f"  {_at(arrival.received_at)}  arrival:{arrival.arrival_id} {arrival.system}."
            f"{arrival.stream} version {arrival.source_version} by {arrival.received_by}{again}"
            f" → {arrival.state}",
            markup=False,
        )
    for version in life.versions:
        amount = f" {version.amount:,.2f} {version.currency}" if version.amount is not None else ""
        console.print(
            f"  {_at(version.recorded_at)}  record version {version.version}: {version.status}"
            f"{amount} {version.legal_entity} {version.period} by {version.mapping} "
            f"v{version.mapping_version}",
            markup=False,
        )
        for change in version.changes:
            console.print(
                f"      {change.field}: {change.before or '(nothing)'} → {change.after}",
                markup=False,
            )
    for run in life.runs:
        waits = f", waits for {run.waits_for}" if run.waits_for else ""
        console.print(
            f"  {_at(run.started_at)}  run:{run.run_id} {run.flow} {run.state}{waits}",
            markup=False,
        )
    for dispatch in life.dispatches:
        _print_dispatch(console, dispatch)
    for case in life.cases:
        console.print(
            f"  [red]case:{case.case_id}[/] {case.state}: {escape(case.words)} "
            f"({escape(case.field)} = {escape(case.value)}) at {case.place}",
            soft_wrap=True,
        )
    for words in life.left_out:
        console.print(f"  ({words})", markup=False)


def _print_dispatch(console: Console, dispatch: DispatchSeen) -> None:
    console.print(
        f"  {_at(dispatch.planned_at)}  dispatch:{dispatch.dispatch_id} {dispatch.action} "
        f"{dispatch.system}.{dispatch.stream} {dispatch.reference} → {dispatch.state} "
        f"{dispatch.number}",
        markup=False,
    )
    for attempt in dispatch.attempts:
        words = f": {attempt.words}" if attempt.words else ""
        console.print(
            f"      {attempt.kind} {attempt.outcome}{words}", markup=False, soft_wrap=True
        )
    for proof in dispatch.proofs:
        facts = ", ".join(
            f"{fact.name} {fact.found}"
            if fact.agrees
            else f"{fact.name} MEANT {fact.meant} FOUND {fact.found}"
            for fact in proof.facts
        )
        console.print(f"      proof {proof.verdict}: {facts}", markup=False, soft_wrap=True)


def _at(instant: object) -> str:
    return f"{instant:%Y-%m-%d %H:%M:%S}"
