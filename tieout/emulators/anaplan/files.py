"""Uploads: a chunk count, then the chunks; each one raw or its own gzip stream.

Source: vendor help "Upload files"; a chunk count sent to an unknown file id creates a new file.
Bytes are kept as base64 text, since every table holds plain JSON values.
"""

from __future__ import annotations

import base64
import gzip
import zlib
from typing import cast

from tieout.emulators.anaplan.answers import Refusal, Row, Tables, one, page, text
from tieout.emulators.anaplan.seed import a_file
from tieout.emulators.kit import read_json, whole_number
from tieout.ports.http import Request, Response

MOST_CHUNK_BYTES = 50 * 1024 * 1024
EXPORT_CHUNK_BYTES = 10 * 1024 * 1024
BYTES_TYPE = {"Content-Type": "application/octet-stream"}
HEADER_FIELDS = ("separator", "delimiter", "encoding", "headerRow", "firstDataRow")


class Shelf:
    """The model's files and what was uploaded into them."""

    def __init__(self, tables: Tables) -> None:
        self.tables = tables

    def announce(self, request: Request, file_id: str) -> Response:
        """`POST files/{id}`: an upload begins; what the file held before is gone."""
        said = body_of(request)
        count = said.get("chunkCount")
        if not isinstance(count, int) or count < -1:
            raise Refusal(400, "chunkCount must be -1 or a number of chunks")
        files = self.tables["files"]
        if file_id not in files:
            new_id = str(max((int(known) for known in files), default=113_000_000_000) + 1)
            files[new_id] = a_file(new_id, file_id)
            file_id = new_id
        file = files[file_id]
        file["chunkCount"] = max(count, 0)
        file.update({name: said[name] for name in HEADER_FIELDS if name in said})
        self.tables["uploads"][file_id] = {"expected": count, "chunks": {}}
        return one("file", file)

    def put(self, request: Request, file_id: str, number: str) -> Response:
        """`PUT files/{id}/chunks/{n}`: 204, and the same chunk again replaces it."""
        upload = self.tables["uploads"].get(file_id)
        if upload is None:
            raise Refusal(404, f"File {file_id} not found or no upload was begun")
        expected = cast(int, upload["expected"])
        place = whole_number(number)
        if place is None or (expected >= 0 and place >= expected):
            raise Refusal(400, f"Chunk {number} is outside the announced {expected} chunks")
        kind = request.header("Content-Type").split(";")[0].strip()
        data = request.body
        if kind in {"application/x-gzip", "application/gzip"}:
            try:
                data = gzip.decompress(data)
            except (OSError, EOFError, zlib.error):
                raise Refusal(400, "Chunk is not a gzip stream") from None
        elif kind != "application/octet-stream":
            raise Refusal(415, f"Content type {kind or 'missing'} is not supported")
        if len(data) > MOST_CHUNK_BYTES:
            raise Refusal(413, "A chunk may hold at most 50 MB")
        cast(dict[str, str], upload["chunks"])[str(place)] = base64.b64encode(data).decode()
        return Response(204)

    def complete(self, file_id: str) -> Response:
        """`POST files/{id}/complete`: an upload of unknown length has ended."""
        upload = self.tables["uploads"].get(file_id)
        if upload is None:
            raise Refusal(404, f"File {file_id} not found or no upload was begun")
        upload["expected"] = len(cast(dict[str, str], upload["chunks"]))
        self.tables["files"][file_id]["chunkCount"] = upload["expected"]
        return one("file", self.tables["files"][file_id])

    def chunk_list(self, request: Request, file_id: str) -> Response:
        """`GET files/{id}/chunks`."""
        count = len(self._chunks(file_id))
        return page(request, "chunk", "chunks", chunk_rows(count))

    def chunk(self, file_id: str, number: str) -> Response:
        """`GET files/{id}/chunks/{n}`."""
        chunks = self._chunks(file_id)
        place = whole_number(number)
        if place is None or place >= len(chunks):
            raise Refusal(404, f"Chunk {number} of file {file_id} not found")
        return Response(200, BYTES_TYPE, chunks[place])

    def whole(self, file_id: str) -> Response:
        """`GET files/{id}`: every chunk in one body."""
        return Response(200, BYTES_TYPE, b"".join(self._chunks(file_id)))

    def content(self, file_id: str) -> bytes | None:
        """What an import would read; None while an upload is unfinished or never happened."""
        upload = self.tables["uploads"].get(file_id)
        if upload is None:
            return None
        chunks = cast(dict[str, str], upload["chunks"])
        expected = cast(int, upload["expected"])
        if expected < 1 or len(chunks) != expected:
            return None
        return b"".join(self._chunks(file_id))

    def store_export(self, export_id: str, name: str, data: bytes) -> None:
        """An export's result is a file whose id equals the export's."""
        pieces = cut(data, EXPORT_CHUNK_BYTES)
        self.tables["files"][export_id] = {
            **a_file(export_id, name),
            "chunkCount": len(pieces),
        }
        self.tables["uploads"][export_id] = {
            "expected": len(pieces),
            "chunks": {
                str(number): base64.b64encode(piece).decode() for number, piece in enumerate(pieces)
            },
        }

    def _chunks(self, file_id: str) -> list[bytes]:
        if file_id not in self.tables["files"]:
            raise Refusal(404, f"File {file_id} not found")
        upload = self.tables["uploads"].get(file_id, {"chunks": {}})
        chunks = cast(dict[str, str], upload["chunks"])
        return [base64.b64decode(chunks[number]) for number in sorted(chunks, key=int)]


def cut(data: bytes, size: int) -> list[bytes]:
    """Pieces of at most `size` bytes, wherever that cuts."""
    return [data[start : start + size] for start in range(0, len(data), size)]


def chunk_rows(count: int) -> list[Row]:
    return [{"id": str(number), "name": f"Chunk {number}"} for number in range(count)]


def body_of(request: Request) -> Row:
    """The JSON object of a request body. Refuses anything else with 400."""
    try:
        said = read_json(request.body or b"{}")
    except ValueError:
        raise Refusal(400, f"Malformed JSON in request to {text(request.path())}") from None
    if not isinstance(said, dict):
        raise Refusal(400, "A JSON object is expected")
    return said
