"""The verb for approvers: what waits for a yes, and saying it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

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
from tieout.cli.telling import AnswerIsNo, NotPermitted, say_json, told
from tieout.landscape.people import is_among, same_person
from tieout.landscape.schema import Landscape, Person
from tieout.store import approvals
from tieout.store.approvals import Approval


def register(application: typer.Typer) -> None:
    """Put the verb on the command line."""
    application.command("approve")(told(approve))


def approve(
    any_id: Annotated[
        str,
        typer.Argument(
            metavar="[ID]", help="Number of an approval, case:12, or any id of its record."
        ),
    ] = "",
    folder: FolderOption = None,
    environment: EnvironmentOption = "",
    actor: ActorOption = "",
    decline: Annotated[bool, typer.Option("--decline", help="Say no; needs --because.")] = False,
    because: Annotated[str, typer.Option(help="Why; it stays with the record.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Say yes or no to what a flow asks; without an id, list what waits for an answer."""
    if decline and not (any_id and because.strip()):
        raise typer.BadParameter("--decline needs an id and --because: the maker must know why")
    with opened(landscape_folder(folder), environment, actor or operating_user()) as context:
        who = person(context.landscape, actor, ())
        with context.database.transaction(who.legal_entities or ("*",)) as connection:
            number = any_id.removeprefix("approval:")
            is_number = number.isascii() and number.isdigit() and len(number) < 19
            found = approvals.asked(connection, approval_id=int(number)) if is_number else []
            found = found or approvals.asked(connection, any_id=any_id)
        if not any_id:
            _list(found, as_json)
            return
        if len(found) != 1:
            raise AnswerIsNo(_which(any_id, found))
        _judge(context.landscape, who, found[0])
        with context.database.transaction() as connection:
            decision: approvals.Decision = "declined" if decline else "approved"
            approvals.decide(connection, found[0], decision, who.name, because.strip())
    out(as_json).print(f"{decision} by {who.name}: {_told(found[0])}", markup=False)
    if as_json:
        say_json({"approval": found[0].approval_id, "decision": decision, "by": who.name})


def _judge(landscape: Landscape, who: Person, one: Approval) -> None:
    """Whether this person may answer. Raises NotPermitted, which says who may."""
    if not is_among(who, one.may_decide):
        may = [p.name for p in landscape.people.values() if is_among(p, one.may_decide)]
        raise NotPermitted(
            f"'{who.name}' may not answer approval:{one.approval_id}; it asks "
            f"{' or '.join(one.may_decide)}: {', '.join(may) or 'nobody has that role'}"
        )
    if same_person(who, one.maker):
        raise NotPermitted(f"'{who.name}' made this {one.record_type}; somebody else must check it")


def _which(any_id: str, found: list[Approval]) -> str:
    if not found:
        return f"nothing about '{any_id}' waits for an answer; `tieout approve` lists what does"
    numbers = ", ".join(str(one.approval_id) for one in found)
    return f"several approvals are about '{any_id}': {numbers}. Name one by its number"


def _list(found: list[Approval], as_json: bool) -> None:
    if as_json:
        say_json({"approvals": [asdict(one) for one in found]})
        return
    for one in found:
        out(as_json).print(_told(one), markup=False, soft_wrap=True)
        why = f" because {one.because}" if one.because else ""
        said = f"  asks {' or '.join(one.may_decide)} since {one.asked_at:%Y-%m-%d %H:%M}{why}"
        out(as_json).print(said, markup=False, soft_wrap=True)
    out(as_json).print(f"{len(found)} approval(s) wait for an answer.")


def _told(one: Approval) -> str:
    money = f"{one.amount:,.2f} {one.currency}" if one.amount is not None else ""
    parts = (f"{one.record_type} {one.source_key}", money, one.legal_entity, one.digest[:12])
    return f"approval:{one.approval_id} {' · '.join(part for part in parts if part)}"
