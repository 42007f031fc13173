"""Months as Parquet files, and the chain of manifests that says what each file must be.

The same rows give the same bytes: rows are sorted, groups have a fixed size, nothing of the moment
is written into a file. A manifest names the one before it by digest, so that none can be left out
or changed unseen; the database keeps each manifest's digest too.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tieout.store.archive_tables import ByMonth, RowsDigest

READ_BYTES = 1 << 20
UNFINISHED = ".unfinished"


class ArchiveBroken(Exception):
    """A file of the archive is missing, or is not what was written. Names it, and what to do."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What one archived file must be. `audit_*` is the newest signed checkpoint at that time."""

    number: int
    previous: str
    landscape: str
    table: str
    month: str
    part: int
    file: str
    rows: int
    bytes: int
    sha256: str
    rows_sha256: str
    first_id: int
    last_id: int
    first_key: int
    last_key: int
    columns: tuple[tuple[str, str], ...]
    audit_checkpoint: int
    audit_size: int
    audit_note_sha256: str

    @property
    def text(self) -> str:
        return json.dumps(asdict(self), indent=2, sort_keys=True) + "\n"

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Written:
    """A file that was written and read again."""

    file: str
    rows: int
    bytes: int
    sha256: str
    rows_sha256: str
    first_id: int
    last_id: int
    first_key: int
    last_key: int


def manifest_name(number: int) -> str:
    return f"manifest-{number:06d}.json"


def file_name(table: ByMonth, month: str, part: int) -> str:
    """proofs-2020-03.parquet, and proofs-2020-03.2.parquet for rows that came later."""
    return f"{table.name}-{month}{'' if part == 1 else f'.{part}'}.parquet"


def write_rows(
    folder: Path, name: str, table: ByMonth, groups: Iterable[Sequence[Sequence[Any]]]
) -> Written:
    """Write sorted groups of rows to a file and read it again.

    The file appears under its name only when it is whole and on the disk. Raises ArchiveBroken when
    what was read again differs.
    """
    folder.mkdir(parents=True, exist_ok=True)
    unfinished = folder / (name + UNFINISHED)
    digest = RowsDigest()
    ids: list[int] = []
    keys: list[int] = []
    id_at, key_at = table.names.index(table.id), table.names.index(table.key)
    with pq.ParquetWriter(
        unfinished, table.schema, compression="zstd", compression_level=6, version="2.6"
    ) as writer:
        for group in groups:
            digest.add(group)
            found = [row[id_at] for row in group]
            ids += [min(found), max(found)]
            keys += [group[0][key_at], group[-1][key_at]]
            writer.write_table(_as_table(table, group))
    written = Written(
        name,
        digest.rows,
        unfinished.stat().st_size,
        digest_of(unfinished),
        digest.hexdigest(),
        min(ids, default=0),
        max(ids, default=0),
        min(keys, default=0),
        max(keys, default=0),
    )
    if (again := rows_digest(unfinished, table)) != written.rows_sha256:
        raise ArchiveBroken(
            f"{unfinished} was written and reads back otherwise ({again[:12]}… instead of "
            f"{written.rows_sha256[:12]}…); nothing was removed from the database. Look at the disk"
        )
    _on_the_disk(unfinished)
    unfinished.rename(folder / name)
    _on_the_disk(folder)
    return written


def _as_table(table: ByMonth, group: Sequence[Sequence[Any]]) -> pa.Table:
    columns = list(zip(*group, strict=True))
    return pa.table(
        [pa.array(one, type=kind) for one, (_, kind) in zip(columns, table.columns, strict=True)],
        schema=table.schema,
    )


def rows_digest(path: Path, table: ByMonth) -> str:
    """The digest of a file's rows, in their order. Raises ArchiveBroken."""
    digest = RowsDigest()
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(use_threads=False):
                columns = [batch.column(name).to_pylist() for name in table.names]
                digest.add(zip(*columns, strict=True))
    except (pa.ArrowException, OSError, KeyError) as error:
        raise ArchiveBroken(f"{path} cannot be read: {error}") from error
    return digest.hexdigest()


def digest_of(path: Path) -> str:
    """SHA-256 of a file. Raises ArchiveBroken when it is not there."""
    found = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while some := file.read(READ_BYTES):
                found.update(some)
    except OSError as error:
        raise ArchiveBroken(
            f"{path} cannot be read ({error.strerror}); bring it back from where the archive "
            "folder is backed up"
        ) from error
    return found.hexdigest()


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Put a manifest beside its file, whole or not at all."""
    path = folder / manifest_name(manifest.number)
    unfinished = path.with_name(path.name + UNFINISHED)
    unfinished.write_text(manifest.text, encoding="utf-8")
    _on_the_disk(unfinished)
    unfinished.rename(path)
    _on_the_disk(folder)


def read_rows(
    path: Path, table: ByMonth, column: str, wanted: Sequence[int], columns: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """Rows whose `column` is one of these; only row groups that can have one are read.

    Raises ArchiveBroken.
    """
    if not path.is_file():
        raise ArchiveBroken(
            f"{path} is not there; bring it back from where the archive folder is backed up, or "
            "say where it is with `tieout archive --moved-to FOLDER`"
        )
    try:
        found = pq.read_table(
            path,
            columns=list(columns) or table.names,
            filters=[
                (column, ">=", min(wanted)),
                (column, "<=", max(wanted)),
                (column, "in", sorted(set(wanted))),
            ],
            use_threads=False,
        )
    except (pa.ArrowException, OSError, ValueError) as error:
        raise ArchiveBroken(f"{path} cannot be read: {error}") from error
    rows: list[dict[str, Any]] = found.to_pylist()
    return rows


def clear_unfinished(folder: Path) -> None:
    """Remove what a crash left half written."""
    for path in folder.glob(f"*{UNFINISHED}"):
        with contextlib.suppress(FileNotFoundError):
            path.unlink()


def _on_the_disk(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def manifests(folder: Path) -> Iterator[tuple[int, str]]:
    """(number, text) of every manifest in a folder, in order."""
    for path in sorted(folder.glob("manifest-*.json")):
        number = path.name.removeprefix("manifest-").removesuffix(".json")
        if number.isdigit():
            yield int(number), path.read_text(encoding="utf-8")
