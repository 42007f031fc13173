"""Secret references: an environment file names where a secret is, never what it is.

`env:NAME` reads an environment variable, `file:PATH` a file (one trailing newline is dropped; a
relative path starts at the landscape's folder);
`literal:TEXT` is for emulated systems only, which `check` enforces.
"""

from __future__ import annotations

import os
from pathlib import Path


class SecretMissing(Exception):
    """A secret could not be read. Names the reference, never a value."""


def resolve(name: str, reference: str, folder: Path = Path()) -> str:
    """The secret behind a reference of the landscape in `folder`. Raises SecretMissing."""
    scheme, _, rest = reference.partition(":")
    if scheme == "literal":
        return rest
    if scheme == "env":
        value = os.environ.get(rest)
        if not value:
            raise SecretMissing(f"secret '{name}': environment variable {rest} is not set")
        return value
    if scheme == "file":
        try:
            return (folder / Path(rest).expanduser()).read_text(encoding="utf-8").removesuffix("\n")
        except OSError as error:
            raise SecretMissing(f"secret '{name}': cannot read {rest}: {error.strerror}") from None
    raise SecretMissing(
        f"secret '{name}': '{scheme}:' is not a known kind of reference; use env:NAME or file:PATH"
    )
