"""Evidence for somebody who does not trust us: the log as files, and proofs of single rows.

An exported folder holds `log.jsonl` (one batch a line, in log order), `checkpoints.txt`,
`audit.pub` and `audit_verifier.py`, the stand-alone program that checks them without a database.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from tieout.store import audit_checkpoints, audit_log, audit_search, audit_tree
from tieout.store.audit_search import FoundLeaf
from tieout.store.audit_verifier import Checkpoint, Key, leaf_hash
from tieout.store.audit_verify import chunks, log_entries
from tieout.store.database import Connection
from tieout.store.evidence import KINDS, Stored, text_of

VERIFIER = "audit_verifier.py"
MOST_PROOFS = 200


class NothingToProve(Exception):
    """No sealed leaf is about this id. Says what to do."""


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written."""

    batches: int
    leaves: int
    checkpoints: int


def export(
    connection: Connection,
    target: Path,
    checkpoints: Path,
    keys: Sequence[Key],
    *,
    with_rows: bool = False,
) -> Exported:
    """Write the log into `target`, as far as it is signed; `with_rows` adds the rows as they are.

    The transaction should be REPEATABLE READ. Raises FileExistsError if `target` holds anything.
    """
    target.mkdir(parents=True, exist_ok=True)
    if any(target.iterdir()):
        raise FileExistsError(17, "the folder is not empty; export into a new one", str(target))
    notes, _ = audit_checkpoints.read_folder(checkpoints)
    batches = leaves = 0
    with (target / "log.jsonl").open("x", encoding="utf-8") as out:
        for some in chunks(log_entries(connection)):
            if with_rows:
                _add_rows(connection, some)
            for entry in some:
                if notes and entry["index"] >= notes[-1].size:
                    break  # sealed since, and signed by nothing yet: the next export has it
                out.write(json.dumps(entry, ensure_ascii=False, separators=(",", ":")) + "\n")
                batches, leaves = batches + 1, leaves + len(entry["leaves"])
    text = "\n".join(one.note for one in notes)
    (target / "checkpoints.txt").write_text(text, encoding="utf-8")
    (target / "audit.pub").write_text("".join(f"{key}\n" for key in keys), encoding="utf-8")
    program = (files("tieout.store") / VERIFIER).read_text(encoding="utf-8")
    (target / VERIFIER).write_text(program, encoding="utf-8")
    return Exported(batches, leaves, len(notes))


def prove(connection: Connection, any_id: str, checkpoint: Checkpoint) -> list[dict[str, Any]]:
    """The proofs of every sealed leaf about this id: a subject, record key, source key, document
    number or write key. Each can be checked alone, against the checkpoint in it.

    Raises NothingToProve.
    """
    subjects = _subjects(connection, any_id)
    leaves = audit_search.leaves_about(connection, subjects, checkpoint.size, MOST_PROOFS)
    if not leaves:
        raise NothingToProve(
            f"no sealed leaf is about '{any_id}'; `tieout show` lists the ids of a record, "
            "`tieout audit seal` seals what is new"
        )
    return [_proof(connection, leaf, checkpoint) for leaf in leaves]


def _subjects(connection: Connection, any_id: str) -> list[str]:
    rows = connection.execute(
        "WITH keys AS (SELECT record_key FROM records WHERE source_key = %(id)s "
        "OR record_key = %(id)s OR number = %(id)s "
        "UNION SELECT record_key FROM documents WHERE target_id = %(id)s OR number = %(id)s "
        "OR reference = %(id)s) "
        "SELECT 'record/' || record_type || '/' || record_key || '/' || version FROM records "
        "JOIN keys USING (record_key) UNION ALL "
        "SELECT unnest(ARRAY['dispatch/' || dispatch_id, 'proof/' || write_key, "
        "'proof/' || write_key || '#' || dispatch_id]) FROM intents "
        "JOIN keys USING (record_key)",
        {"id": any_id},
    ).fetchall()
    return [any_id, f"proof/{any_id}", *(str(subject) for (subject,) in rows)]


def _proof(connection: Connection, found: FoundLeaf, checkpoint: Checkpoint) -> dict[str, Any]:
    batch = connection.execute(
        "SELECT batch_id, at, actor, action, leaves, root, subjects, leaf_hashes "
        "FROM audit_batches WHERE batch_id = %s",
        (found.batch_id,),
    ).fetchone()
    if batch is None:
        raise audit_log.AuditBroken(
            f"batch {found.batch_id} was removed; `tieout audit verify` says more"
        )
    subject, leaf_no, index = found.subject, found.leaf_no, found.log_index
    hashes = [hashed for _, hashed in audit_search.leaves_of(*batch[6:])]
    log_path = audit_log.inclusion_path(connection, index, checkpoint.size)
    leaf = [subject, hashes[leaf_no].hex()]
    _add_rows(connection, [{"leaves": [leaf]}])
    return {
        "subject": subject,
        "leaf_hash": leaf[1],
        **dict(zip(("text", "row"), leaf[2:], strict=False)),
        "leaf_no": leaf_no,
        "batch_path": [step.hex() for step in audit_tree.proof_in(hashes, leaf_no)],
        "batch": audit_log.entry(batch[:6]),
        "index": index,
        "log_path": [step.hex() for step in log_path],
        "checkpoint": checkpoint.note,
    }


def _add_rows(connection: Connection, entries: Sequence[dict[str, Any]]) -> None:
    """Add text and row to every leaf whose row we know how to read: the matching one, if any."""
    by_kind: dict[str, set[str]] = defaultdict(set)
    for entry in entries:
        for leaf in entry["leaves"]:
            by_kind[leaf[0].partition("/")[0]].add(leaf[0])
    rows: dict[str, list[Stored]] = defaultdict(list)
    for name in by_kind.keys() & KINDS.keys():
        for row in KINDS[name].rows(connection, sorted(by_kind[name])):
            rows[row.subject].append(row)
    for entry in entries:
        for leaf in entry["leaves"]:
            for row in rows[leaf[0]]:
                leaf[2:] = _said(leaf[0], leaf[1], row)
                if leaf_hash(f"{leaf[0]}\n{leaf[2]}".encode()).hex() == leaf[1]:
                    break


def _said(subject: str, hashed: str, row: Stored) -> list[str]:
    older = leaf_hash(f"{subject}\n{row.older}".encode()).hex() == hashed
    return [row.older] if older or not row.text else [text_of(row.text), row.text]
