"""Audit: every state change leaves a leaf, every transaction a root over its leaves.

Leaves and nodes are hashed as RFC 6962 §2.1 says, so that a log sealed over the roots can be
checked by anyone without trusting us.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from tieout import clock
from tieout.finance.digest import leaf_hash, merkle_root
from tieout.store import evidence
from tieout.store.database import Connection


def record(
    connection: Connection, actor: str, action: str, leaves: Sequence[tuple[str, str]]
) -> None:
    """Add one batch of (subject, canonical text) leaves, one row, in the caller's transaction.

    Subjects look like `record/sales_order/<key>/3`; the text is what must not change unseen.
    """
    if not leaves:
        return
    hashes = [leaf_hash(f"{subject}\n{text}".encode()) for subject, text in leaves]
    subjects = [subject for subject, _ in leaves]
    connection.execute(
        "INSERT INTO audit_batches (at, actor, action, leaves, root, subjects, leaf_hashes) "
        "VALUES (%s, %s, %s, %s, %s, %s, %s)",
        (clock.now(), actor, action, len(leaves), merkle_root(hashes), subjects, b"".join(hashes)),
    )


def action(connection: Connection, actor: str, verb: str, detail: dict[str, object]) -> None:
    """What a person did, with its own audit leaf."""
    text = json.dumps(detail, sort_keys=True, default=str)
    row = connection.execute(
        "INSERT INTO actions (at, actor, verb, detail) VALUES (%s, %s, %s, %s) RETURNING action_id",
        (clock.now(), actor, verb, text),
    ).fetchone()
    if row is None:
        raise RuntimeError("the action was not stored")
    subject = f"action/{verb}/{row[0]}"
    record(connection, actor, verb, [evidence.of_stored(connection, subject)])
