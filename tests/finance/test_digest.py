import datetime as dt
import hashlib
import hmac
import json
import uuid
from decimal import Decimal

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tieout.finance.digest import (
    NotCanonical,
    canonical_json,
    canonical_texts,
    digest,
    digest_bytes,
    keyed_digest,
    leaf_hash,
    merkle_root,
    record_key,
)
from tieout.store.audit_verifier import node_hash

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**53) + 1, 2**53 - 1), TEXT),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(TEXT, inner, max_size=4)),
    max_leaves=12,
)
LEAVES = st.lists(st.binary(max_size=8).map(leaf_hash), max_size=40)


def reference_root(leaves: list[bytes]) -> bytes:
    """RFC 6962, 2.1, word for word: split at the largest power of two below n."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    left, right = reference_root(leaves[:split]), reference_root(leaves[split:])
    return hashlib.sha256(b"\x01" + left + right).digest()


@given(VALUES)
def test_canonical_json_reads_back_and_ignores_the_order_of_keys(value: object) -> None:
    written = canonical_json(value)
    assert json.loads(written) == value
    reversed_keys = json.loads(json.dumps(value), object_pairs_hook=lambda p: dict(reversed(p)))
    assert canonical_json(reversed_keys) == written
    assert digest(value) == hashlib.sha256(written).hexdigest() == digest_bytes(written)


def test_keys_sort_by_utf_16_as_the_standard_says() -> None:
    """RFC 8785, 3.2.3: U+FB33 comes after an emoji, whose first UTF-16 unit is 0xD83D."""
    assert canonical_json({"\ufb33": 1, "😀": 2}) == '{"😀":2,"\ufb33":1}'.encode()


def test_equal_numbers_dates_and_instants_have_one_text() -> None:
    assert digest({"total": Decimal("9.80")}) == digest({"total": Decimal("9.8")})
    assert digest(Decimal("-0.0")) == digest(Decimal(0)) == digest("0")
    berlin = dt.timezone(dt.timedelta(hours=2))
    noon = dt.datetime(2021, 7, 1, 12, 0, tzinfo=berlin)
    assert canonical_json(noon) == b'"2021-07-01T10:00:00Z"'
    assert canonical_json(dt.date(2021, 7, 1)) == b'"2021-07-01"'
    assert canonical_json(uuid.UUID(int=1)) == b'"00000000-0000-0000-0000-000000000001"'
    assert canonical_json((1, 2)) == b"[1,2]"


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"lines": [{"amount": 9.8}]}, r"\$\.lines\[0\]\.amount: 9\.8 is a float"),
        ({"n": 2**53}, r"\$\.n: .* beyond"),
        ({1: "x"}, "key 1 is not text"),
        ([b"x"], r"\$\[0\]: bytes"),
        (dt.datetime(2021, 1, 1, tzinfo=dt.UTC).replace(tzinfo=None), "no time zone"),
        ("\ud800", "no canonical JSON"),
    ],
)
def test_what_has_no_canonical_form_is_refused_with_its_path(value: object, words: str) -> None:
    with pytest.raises(NotCanonical, match=words):
        digest(value)


def test_nesting_is_bounded() -> None:
    deep: list[object] = []
    for _ in range(70):
        deep = [deep]
    with pytest.raises(NotCanonical, match="deep"):
        digest(deep)


def test_the_record_key_is_what_sql_computes() -> None:
    ids = ["001", "001é|x", "😀", "a|b|c", "'quoted'", "006000000000001AAA", "x" * 500, "\n"]
    connection = duckdb.connect()
    connection.execute("create table source (id varchar)")
    connection.executemany("insert into source values (?)", [[one] for one in ids])
    rows = connection.execute(
        "select id, substr(sha256(concat('customer|salesforce|', id)), 1, 32) from source"
    ).fetchall()
    assert len(rows) == len(ids)
    assert {one: record_key("customer", "salesforce", one) for one in ids} == dict(rows)
    assert all(len(key) == 32 for _, key in rows)


@given(st.lists(TEXT.filter(lambda one: one and "\x00" not in one), min_size=1, max_size=20))
def test_any_source_id_has_the_same_key_in_sql(ids: list[str]) -> None:
    rows = CONNECTION.execute(
        "select id, substr(sha256(concat('product|netsuite|', id)), 1, 32) "
        "from (select unnest(?::varchar[]) as id)",
        [ids],
    ).fetchall()
    assert rows == [(one, record_key("product", "netsuite", one)) for one in ids]


CONNECTION = duckdb.connect()


@pytest.mark.parametrize(
    ("record_type", "system", "source_id"),
    [("a|b", "c", "1"), ("a", "b|c", "1"), ("", "c", "1"), ("a", "", "1"), ("a", "c", "")],
)
def test_parts_that_could_collide_are_refused(
    record_type: str, system: str, source_id: str
) -> None:
    with pytest.raises(ValueError, match="record key"):
        record_key(record_type, system, source_id)


def test_a_keyed_digest_depends_on_its_key() -> None:
    key, other = b"k" * 32, b"o" * 32
    expected = hmac.new(key, b'"a@example.com"', "sha256").hexdigest()
    assert keyed_digest("a@example.com", key) == expected
    assert keyed_digest("a@example.com", other) != expected
    with pytest.raises(ValueError, match="at least 32 bytes"):
        keyed_digest("a@example.com", b"short")


@given(LEAVES)
def test_the_merkle_root_is_that_of_the_rfc(leaves: list[bytes]) -> None:
    assert merkle_root(leaves) == reference_root(leaves)


@given(st.lists(st.binary(max_size=8), min_size=1, max_size=20, unique=True), st.data())
def test_any_tampering_changes_the_root(entries: list[bytes], data: st.DataObject) -> None:
    leaves = [leaf_hash(one) for one in entries]
    root, at = merkle_root(leaves), data.draw(st.integers(0, len(leaves) - 1))
    changed = leaf_hash(entries[at] + b"!")
    assert merkle_root([*leaves[:at], changed, *leaves[at + 1 :]]) != root
    assert merkle_root(leaves[:at] + leaves[at + 1 :]) != root
    assert merkle_root([*leaves, leaf_hash(b"")]) != root
    if len(leaves) > 1:
        assert merkle_root(leaves[::-1]) != root


def test_the_published_vectors_of_certificate_transparency() -> None:
    """The reference tree of the RFC 6962 implementations: eight entries, known roots."""
    entries = [
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    ]
    leaves = [leaf_hash(bytes.fromhex(one)) for one in entries]
    assert leaves[0].hex() == "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
    assert merkle_root(leaves).hex() == (
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"
    )
    assert merkle_root([]).hex().startswith("e3b0c44298fc1c14")
    assert node_hash(leaves[0], leaves[1]) == merkle_root(leaves[:2])


@given(st.dictionaries(st.text(max_size=8), st.text(max_size=20), max_size=8))
def test_flat_texts_have_the_same_canonical_form_on_the_short_way(texts: dict[str, str]) -> None:
    try:
        expected = canonical_json(texts).decode()
    except NotCanonical:
        with pytest.raises(NotCanonical):
            canonical_texts(texts)
    else:
        assert canonical_texts(texts) == expected
