"""The folder: which files are there, and bytes of one of them, bounded."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from tieout.connectors.files.errors import fault
from tieout.connectors.files.streams import Source
from tieout.ports.session import Session

MOST_FILES = 10_000
SEEN_BYTES = 64 * 1024  # how much of what was read before is looked at again


def files_of(at: Session, source: Source) -> Mapping[str, int]:
    """Name and size in bytes of every file of a stream, in the order of the names.

    Symbolic links and other folders are not followed. Raises VendorFault.
    """
    place = Path(at.setting("folder"))
    if not place.is_absolute():
        raise fault("FOLDER", f"'{place}' is not a full path")
    found: dict[str, int] = {}
    try:
        with os.scandir(place) as entries:
            for entry in entries:
                if source.takes(entry.name) and entry.is_file(follow_symlinks=False):
                    found[entry.name] = entry.stat(follow_symlinks=False).st_size
    except PermissionError as error:
        raise fault("DENIED", str(error)) from None
    except OSError as error:
        raise fault("FOLDER", str(error)) from None
    if len(found) > MOST_FILES:
        raise fault("MANY", f"{len(found)} in {place}, at most {MOST_FILES}")
    return dict(sorted(found.items()))


@contextmanager
def opened(at: Session, name: str) -> Iterator[BinaryIO]:
    """One file of the folder, for reading. Raises VendorFault."""
    path = Path(at.setting("folder")) / name
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
    except PermissionError as error:
        raise fault("DENIED", str(error)) from None
    except OSError as error:
        raise fault("FOLDER", str(error)) from None
    with os.fdopen(descriptor, "rb", buffering=1 << 20) as file:
        yield file


def has_marker(at: Session, name: str) -> bool:
    """Whether NAME.done stands beside the file: its maker says that it is whole."""
    return (Path(at.setting("folder")) / f"{name}.done").exists()


def seen(file: BinaryIO, offset: int) -> str:
    """A digest of what stands before `offset`: the last SEEN_BYTES of it. The file is then at
    `offset`."""
    start = max(0, offset - SEEN_BYTES)
    file.seek(start)
    return hashlib.sha256(file.read(offset - start)).hexdigest()
