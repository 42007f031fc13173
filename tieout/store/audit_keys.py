"""The key that signs checkpoints: a file outside the database, readable by its owner alone."""

from __future__ import annotations

import base64
import os
import re
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tieout.store.audit_verifier import Key, read_keys

KEY_VARIABLE = "TIEOUT_AUDIT_KEY"
PUBLIC_SUFFIX = ".pub"


class KeyUnfit(Exception):
    """The audit key is missing or must not be used. Says what to do."""


@dataclass(frozen=True)
class Signer:
    """The private key and the name it signs under."""

    private: Ed25519PrivateKey
    key: Key

    def line(self, signed: bytes) -> str:
        """The signature line of a signed note over these bytes (C2SP signed-note)."""
        signature = self.key.key_id + self.private.sign(signed)
        return f"— {self.key.name} {base64.b64encode(signature).decode()}\n"


def origin_of(landscape: str) -> str:
    """The name of a landscape's log; a signed note allows neither blanks nor plus signs in it."""
    return "tieout/" + re.sub(r"[\s+]", "-", landscape)


def key_path(state: Path) -> Path:
    """Where the private key is: TIEOUT_AUDIT_KEY, else keys/audit.key in the state folder."""
    given = os.environ.get(KEY_VARIABLE)
    return Path(given) if given else state / "keys" / "audit.key"


def public_path(state: Path) -> Path:
    """Where the public keys are, one a line: beside the private one."""
    return key_path(state).with_suffix(PUBLIC_SUFFIX)


def signer(state: Path, landscape: str, *, may_make: bool) -> Signer:
    """The landscape's signer; made on first use if `may_make`. Raises KeyUnfit.

    `may_make` is only right while nothing was ever signed: a lost key must not be replaced unseen.
    """
    path = key_path(state)
    if not path.exists():
        if not may_make:
            raise KeyUnfit(
                f"the audit key is not at {path}, and checkpoints were signed with it. Bring it "
                f"back from its copy, or point {KEY_VARIABLE} at it"
            )
        _make(path)
    if path.stat().st_mode & 0o077:
        raise KeyUnfit(f"others may read {path}: `chmod 600 {path}`, and ask who did")
    try:
        private = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise KeyUnfit(f"{path} holds no private key in PEM ({error}); bring its copy") from error
    if not isinstance(private, Ed25519PrivateKey):
        raise KeyUnfit(f"{path} holds another kind of key; an Ed25519 key is needed")
    made = Signer(private, Key(origin_of(landscape), private.public_key().public_bytes_raw()))
    _publish(public_path(state), made.key, new=may_make)
    return made


def public_keys(path: Path) -> list[Key]:
    """The public keys of a file. Raises KeyUnfit."""
    try:
        keys = read_keys(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise KeyUnfit(
            f"no public audit key can be read at {path} ({error}); give your copy with --key, or "
            "make the first checkpoint with `tieout audit seal`"
        ) from error
    if not keys:
        raise KeyUnfit(f"{path} is empty; give your copy of the public key with --key")
    return keys


def _make(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    text = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(file, "wb") as out:
        out.write(text)
        out.flush()
        os.fsync(out.fileno())


def _publish(path: Path, key: Key, *, new: bool) -> None:
    known = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    if str(key) in known:
        return
    if known and not new:
        raise KeyUnfit(
            f"the private key does not belong to {path}: it was replaced. Bring back the right "
            f"one; if the change is meant, add the line {key} to {path} and tell your auditors"
        )
    path.write_text("\n".join([*known, str(key)]) + "\n", encoding="utf-8")
