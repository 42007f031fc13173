"""The verb audit: seal, verify, prove, export."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from tieout.cli.shared import (
    STATE_FOLDER,
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
from tieout.engine.context import Context
from tieout.store import audit as audit_store
from tieout.store import audit_checkpoints, audit_export
from tieout.store.audit_export import NothingToProve
from tieout.store.audit_keys import KeyUnfit, public_keys, public_path
from tieout.store.audit_log import AuditBroken
from tieout.store.audit_verifier import Checkpoint, read_notes
from tieout.store.audit_verify import Verdict
from tieout.store.audit_verify import verify as verify_log
from tieout.store.database import Connection

SEALERS = ("operator", "administrator", "controller", "auditor")
EXPORTERS = ("auditor", "controller", "administrator")

KeyOption = Annotated[
    Path | None,
    typer.Option("--key", show_default=False, help="Your own copy of the public key."),
]


def register(application: typer.Typer) -> None:
    """Put these verbs on the command line."""
    group = typer.Typer(no_args_is_help=True, help="The tamper-evident audit log.")
    for verb in (seal, verify, prove, export):
        group.command(verb.__name__)(told(verb))
    application.add_typer(group, name="audit")


def seal(
    folder: FolderOption = None,
    environment: EnvironmentOption = "",
    actor: ActorOption = "",
    as_json: JsonOption = False,
) -> None:
    """Seal what is committed, and sign a checkpoint outside the database."""
    with _opened(folder, environment, actor) as context:
        context.actor = person(context.landscape, actor, SEALERS).name
        done = audit_checkpoints.seal_all(
            context.database, _state(context), context.landscape.name, context.actor
        )
    note = done.checkpoint
    if note is None:
        raise RuntimeError("sealing made no checkpoint")
    out(as_json).print(
        f"{done.size:,} batches sealed, {done.added:,} of them new, {done.waiting:,} waiting for "
        f"open transactions. Checkpoint of {note.at} in {_notes(context)}.",
        soft_wrap=True,
    )
    if as_json:
        say_json(
            {
                "size": done.size,
                "added": done.added,
                "waiting": done.waiting,
                "at": note.at,
                "checkpoint": note.note,
            }
        )


def verify(
    folder: FolderOption = None,
    environment: EnvironmentOption = "",
    actor: ActorOption = "",
    key: KeyOption = None,
    against: Annotated[
        list[Path] | None,
        typer.Option(show_default=False, help="Checkpoints you kept: a file or a folder."),
    ] = None,
    not_before: Annotated[
        str, typer.Option(help="UTC time; an older newest checkpoint is a finding.")
    ] = "",
    as_json: JsonOption = False,
) -> None:
    """Recompute leaves from rows and the log from leaves, and hold it to what was signed."""
    with _opened(folder, environment, actor) as context:
        person(context.landscape, actor, ())
        keys = public_keys(key or public_path(_state(context)))
        with _snapshot(context) as connection:
            verdict = verify_log(
                connection,
                _notes(context),
                keys,
                anchors=_anchors(against or ()),
                not_before=not_before,
            )
    _say(verdict, as_json)
    if verdict.found:
        raise AnswerIsNo(f"{verdict.found} finding(s): the audit trail was changed.")


def prove(
    any_id: Annotated[str, typer.Argument(metavar="ID", help="Any id of a record or document.")],
    folder: FolderOption = None,
    environment: EnvironmentOption = "",
    actor: ActorOption = "",
    to: Annotated[
        Path | None, typer.Option(show_default=False, help="Folder: one JSON file per proof.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Prove that what we recorded about one id is in the signed log, to somebody without it."""
    with _opened(folder, environment, actor) as context:
        _sees_everything(context, actor)
        with _snapshot(context) as connection:
            proofs = audit_export.prove(connection, any_id, _newest(context))
    for number, proof in enumerate(proofs):
        if to is not None:
            to.mkdir(parents=True, exist_ok=True)
            (to / f"proof-{number:03}.json").write_text(_json(proof), encoding="utf-8")
        out(as_json).print(
            f"{proof['subject']}  log entry {proof['index']}, recorded {proof['batch']['at']} by "
            f"{proof['batch']['actor']} ({proof['batch']['action']})",
            markup=False,
            soft_wrap=True,
        )
    if as_json:
        say_json({"id": any_id, "proofs": proofs})


def export(
    target: Annotated[Path, typer.Argument(metavar="FOLDER", help="A new or empty folder.")],
    folder: FolderOption = None,
    environment: EnvironmentOption = "",
    actor: ActorOption = "",
    with_rows: Annotated[
        bool, typer.Option("--with-rows", help="The rows too: they hold business data.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Write the log, its checkpoints and a stand-alone program that checks them."""
    with _opened(folder, environment, actor) as context:
        who = _sees_everything(context, actor)
        with context.database.transaction() as connection:
            audit_store.action(
                connection, who, "audit export", {"folder": str(target), "rows": with_rows}
            )
        audit_checkpoints.seal_all(context.database, _state(context), context.landscape.name, who)
        keys = public_keys(public_path(_state(context)))
        with _snapshot(context) as connection:
            done = audit_export.export(
                connection, target, _notes(context), keys, with_rows=with_rows
            )
    out(as_json).print(
        f"{done.batches:,} batches, {done.leaves:,} leaves, {done.checkpoints:,} checkpoints in "
        f"{target}. Check them anywhere: python3 {target / audit_export.VERIFIER} {target}",
        soft_wrap=True,
    )
    if as_json:
        say_json({"folder": str(target), **asdict(done)})


@contextmanager
def _opened(folder: Path | None, environment: str, actor: str) -> Iterator[Context]:
    """A context; what stands in the way of sealing or verifying becomes words and exit code 1."""
    try:
        with opened(landscape_folder(folder), environment, actor or operating_user()) as context:
            yield context
    except (AuditBroken, KeyUnfit, NothingToProve) as trouble:
        raise AnswerIsNo(str(trouble)) from trouble


@contextmanager
def _snapshot(context: Context) -> Iterator[Connection]:
    with context.database.transaction() as connection:
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        yield connection


def _state(context: Context) -> Path:
    return context.landscape.folder / STATE_FOLDER


def _notes(context: Context) -> Path:
    return audit_checkpoints.folder_of(_state(context))


def _newest(context: Context) -> Checkpoint:
    found, _ = audit_checkpoints.read_folder(_notes(context))
    if not found:
        raise NothingToProve("nothing was signed yet: run `tieout audit seal` first")
    return found[-1]


def _sees_everything(context: Context, actor: str) -> str:
    """The log is of all legal entities: who takes it out must be allowed to see them all."""
    who = person(context.landscape, actor, EXPORTERS)
    if who.legal_entities and "*" not in who.legal_entities:
        raise NotPermitted(
            f"{who.title} may see {', '.join(who.legal_entities)} only, and the audit log is of "
            "every legal entity; ask somebody who may see all"
        )
    return who.name


def _anchors(paths: list[Path] | tuple[()]) -> list[Checkpoint]:
    found: list[Checkpoint] = []
    for path in paths:
        notes, wrong = (
            audit_checkpoints.read_folder(path)
            if path.is_dir()
            else read_notes(path.read_text(encoding="utf-8"))
        )
        if wrong or not notes:
            raise typer.BadParameter(f"{path}: {wrong[0] if wrong else 'holds no checkpoint'}")
        found += notes
    return found


def _say(verdict: Verdict, as_json: bool) -> None:
    console = out(as_json)
    for one in verdict.findings:
        console.print(str(one), markup=False, soft_wrap=True, style="red")
    console.print(
        f"{verdict.batches:,} batches sealed, {verdict.covered:,} of them under a signed "
        f"checkpoint that agrees, {verdict.waiting:,} not sealed yet; {verdict.leaves:,} leaves, "
        f"{verdict.recomputed:,} recomputed from their rows, {verdict.expired:,} of rows whose "
        f"years are over; {verdict.checkpoints:,} checkpoints, "
        f"the newest of {verdict.newest or 'never'}.",
        soft_wrap=True,
    )
    if not verdict.found:
        console.print("[green]Nothing was changed.[/]")
    if as_json:
        say_json({**asdict(verdict), "holds": not verdict.found})


def _json(proof: dict[str, object]) -> str:
    return json.dumps(proof, ensure_ascii=False, indent=1)
