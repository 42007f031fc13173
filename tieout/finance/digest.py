"""Digests: what makes two documents the same, and what lets an auditor check a log offline.

Documents are serialised by RFC 8785 (canonical JSON), decimals as strings, so that the digest of a
document does not depend on key order, trailing zeros or the program that wrote it.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
import json
import uuid
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Final

import rfc8785

from tieout.finance.decimals import canonical_decimal

LEAST_KEY_BYTES: Final = 32  # RFC 2104: a key shorter than the hash weakens the HMAC
RECORD_KEY_CHARACTERS: Final = 32
MOST_DEPTH: Final = 64  # levels of lists and objects in one document
MOST_WHOLE: Final = 2**53 - 1  # RFC 8785: a JSON number is read as an IEEE 754 double
_LEAF: Final = b"\x00"
_NODE: Final = b"\x01"  # before the hashes of an inner node's two sides


_Json = bool | int | str | None | list["_Json"] | dict[str, "_Json"]


class NotCanonical(ValueError):
    """A value that has no canonical JSON form; the message names its path."""


def canonical_json(value: object) -> bytes:
    """The RFC 8785 bytes of `value`: keys sorted, no blanks, UTF-8.

    A Decimal becomes the string `canonical_decimal` gives (9.8 and 9.80 are one number), a date
    its ISO form, an aware timestamp its UTC form ending in Z, a UUID its text. Floats, timestamps
    without a zone, bytes and whole numbers beyond 2**53 raise NotCanonical.
    """
    prepared = _prepared(value, "$")
    try:
        return rfc8785.dumps(prepared)
    except (rfc8785.CanonicalizationError, UnicodeError) as problem:
        raise NotCanonical(f"no canonical JSON: {problem}") from problem


def canonical_texts(texts: Mapping[str, str]) -> str:
    """The canonical JSON of a flat object of texts: what `canonical_json` gives, many times faster.

    Names that are not ASCII take the long way: RFC 8785 sorts by UTF-16 code units.
    """
    if "".join(texts).isascii():
        said = json.dumps(texts, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
        try:
            said.encode()
        except UnicodeEncodeError as problem:
            raise NotCanonical(f"no canonical JSON: {problem}") from problem
        return said
    return canonical_json(dict(texts)).decode()


def _prepared(value: object, path: str, depth: int = 0) -> _Json:
    if depth > MOST_DEPTH:
        raise NotCanonical(f"{path[:80]}: nested more than {MOST_DEPTH} deep")
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, int):
        if abs(value) > MOST_WHOLE:
            raise NotCanonical(f"{path}: {value} is beyond 2**53; give it as text")
        return value
    if isinstance(value, Decimal):
        return canonical_decimal(value)
    if isinstance(value, dt.datetime):
        if value.tzinfo is None:
            raise NotCanonical(f"{path}: {value.isoformat()} has no time zone")
        return value.astimezone(dt.UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, dt.date):
        return value.isoformat()
    if isinstance(value, uuid.UUID):
        return str(value)
    if isinstance(value, Mapping):
        prepared: dict[str, _Json] = {}
        for name, item in value.items():
            if not isinstance(name, str):
                raise NotCanonical(f"{path}: the key {name!r} is not text")
            prepared[name] = _prepared(item, f"{path}.{name}", depth + 1)
        return prepared
    if isinstance(value, (list, tuple)):
        return [_prepared(item, f"{path}[{index}]", depth + 1) for index, item in enumerate(value)]
    if isinstance(value, float):
        raise NotCanonical(f"{path}: {value!r} is a float; give it as a Decimal or as text")
    raise NotCanonical(f"{path}: {type(value).__name__} has no JSON form")


def digest(value: object) -> str:
    """The SHA-256 of the canonical JSON of `value`, as 64 hexadecimal characters."""
    return hashlib.sha256(canonical_json(value)).hexdigest()


def digest_bytes(content: bytes) -> str:
    """The SHA-256 of bytes as they came, as 64 hexadecimal characters."""
    return hashlib.sha256(content).hexdigest()


def keyed_digest(value: object, key: bytes) -> str:
    """HMAC-SHA-256 of the canonical JSON of `value` (RFC 2104), as 64 hexadecimal characters.

    For personal fields: without the key nobody can confirm a guess, and destroying the key erases
    the link. Raises ValueError if `key` is shorter than 32 bytes.
    """
    if len(key) < LEAST_KEY_BYTES:
        raise ValueError(f"a digest key has at least {LEAST_KEY_BYTES} bytes, this has {len(key)}")
    return hmac.new(key, canonical_json(value), hashlib.sha256).hexdigest()


def record_key(record_type: str, system: str, source_id: str) -> str:
    """The deterministic key of a record: known before the record itself has arrived.

    The first 32 hexadecimal characters of SHA-256 over the UTF-8 text `type|system|source_id`.
    In SQL: `substr(sha256(concat('type|system|', id)), 1, 32)`. Raises ValueError if a part is
    empty, or if type or system holds the separator (two records could share one key).
    """
    if "|" in record_type or "|" in system:
        raise ValueError(f"'|' separates the parts of a record key: {record_type!r}, {system!r}")
    if not (record_type and system and source_id):
        raise ValueError(
            f"a record key needs type, system and id: {record_type!r}, {system!r}, {source_id!r}"
        )
    text = f"{record_type}|{system}|{source_id}"
    return hashlib.sha256(text.encode()).hexdigest()[:RECORD_KEY_CHARACTERS]


def leaf_hash(content: bytes) -> bytes:
    """The 32-byte Merkle leaf hash of one entry (RFC 6962, 2.1: prefix 0x00)."""
    return hashlib.sha256(_LEAF + content).digest()


def merkle_root(leaf_hashes: Sequence[bytes]) -> bytes:
    """The 32-byte root over leaf hashes in their order (RFC 6962, 2.1); of none, SHA-256 of "".

    Pairing level by level and carrying an odd last node up gives the RFC's tree, whose left part
    is always the largest full one.
    """
    if not leaf_hashes:
        return hashlib.sha256(b"").digest()
    sha256 = hashlib.sha256
    level = list(leaf_hashes)
    while len(level) > 1:
        pairs = zip(level[::2], level[1::2], strict=False)
        above = [sha256(_NODE + left + right).digest() for left, right in pairs]
        level = above + level[-1:] if len(level) % 2 else above
    return level[0]
