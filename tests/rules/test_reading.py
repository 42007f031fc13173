"""JSON texts become typed columns; one poison row never takes its batch along."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tieout.rules import reading
from tieout.rules.reading import Reader
from tieout.rules.spec import FieldType

READER = Reader(
    (
        FieldType("Amount", "number"),
        FieldType("total", "amount"),
        FieldType("i", "integer"),
        FieldType("yes", "boolean"),
        FieldType("t", "text"),
        FieldType("d", "date"),
        FieldType("ts", "timestamp"),
        FieldType("lines", "list", fields=(FieldType("q", "quantity"), FieldType("d", "date"))),
    )
)
GOOD = '{"Amount": 1.5}'


@pytest.mark.parametrize(
    ("text", "field", "why"),
    [
        ('{"Amount": "abc"}', "Amount", "Amount: 'abc' is not a number"),
        ('{"Amount": ""}', "Amount", "Amount: '' is not a number"),
        ('{"Amount": true}', "Amount", "Amount: true is not a number"),
        ('{"Amount": "1,000"}', "Amount", "is not a number"),
        ('{"Amount": [1]}', "Amount", "is not a number"),
        ('{"Amount": 1e400}', "Amount", "has more digits than a number can hold"),
        ('{"Amount": 0.1234567890123456789}', "Amount", "has more than 18 decimals"),
        ('{"total": 10000000000000000}', "total", "has more digits than an amount can hold"),
        ('{"total": 1.1234567}', "total", "has more than 6 decimals"),
        ('{"i": 5.5}', "i", "i: 5.5 is not a whole number"),
        ('{"i": 99999999999999999999}', "i", "has more digits"),
        ('{"yes": "maybe"}', "yes", "is not true or false"),
        ('{"d": "2020-02-30"}', "d", "is not a date"),
        ('{"d": "30.02.2020"}', "d", "is not a date"),
        ('{"ts": "noon"}', "ts", "is not a timestamp"),
        ('{"t": {"a": 1}}', "t", "is not a text"),
        ('{"t": "a\\u0000b"}', "t", "holds a NUL character"),
        ('{"lines": [{"q": 1000000000000}]}', "lines[0].q", "has more digits than a quantity"),
        ('{"lines": {"q": 1}}', "lines", "is not a list"),
        ('{"lines": [{"q": 1}, {"q": "x"}]}', "lines[1].q", "lines[1].q: 'x' is not a number"),
        ('{"Amount": 1, "Amount": 2}', "Amount", "stands twice"),
        ('{"lines": [{"q": 1, "q": 2}]}', "lines[0].q", "stands twice"),
        ('{"t": "a\x00b"}', "", "is not JSON"),
        ('{"t": "\\ud800"}', "", "is not JSON"),
        ('{"t": "\ud800"}', "", "is not valid UTF-8"),
        ('{"Amount": NaN}', "", "is not JSON"),
        ("[1]", "", "is not a JSON object"),
        ("1", "", "is not a JSON object"),
        ("", "", "is not JSON"),
        ('{"Amount": 1', "", "is not JSON"),
        ('{"Amount": 1} {"Amount": 2}', "", "is not JSON"),
        ('{"z": ' + "[" * 5000 + "]" * 5000 + "}", "", "nested deeper than 64"),
        ('{"z":' * 200_000 + "1" + "}" * 200_000, "", "more than 100,000 lists and objects"),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else None,
)
def test_a_poison_row_is_named_and_the_others_are_read(text: str, field: str, why: str) -> None:
    read = READER.read([GOOD, text, GOOD])
    assert read.table.column("#row").to_pylist() == [0, 2]
    assert read.table.column("Amount").to_pylist() == [Decimal("1.5")] * 2
    assert [(one.index, one.field) for one in read.bad] == [(1, field)]
    assert why in read.bad[0].why
    assert len(read.bad[0].value) <= 200


@pytest.mark.parametrize(
    ("text", "column", "value"),
    [
        ('{"Amount": 12345678901234567.89}', "Amount", Decimal("12345678901234567.89")),
        ('{"Amount": "12345678901234567.89"}', "Amount", Decimal("12345678901234567.89")),
        ('{"Amount": 1E-7}', "Amount", Decimal("0.0000001")),
        ('{"total": "440.000000000"}', "total", Decimal(440)),
        ('{"i": "5"}', "i", 5),
        ('{"i": 5.0}', "i", 5),
        ('{"yes": "true"}', "yes", True),
        ('{"t": 17}', "t", "17"),
        ('{"t": 1.10}', "t", "1.10"),
        ('{"lines": [null]}', "lines", [None]),
        ('{"lines": null}', "lines", None),
        ('{"other": {"a": [1, {"b": 2}]}, "t": "x"}', "t", "x"),
        ('{"z": 1, "z": 2, "t": "x"}', "t", "x"),
    ],
)
def test_numbers_and_texts_are_read_exactly(text: str, column: str, value: object) -> None:
    read = READER.read([text])
    assert read.bad == ()
    assert read.table.column(column).to_pylist() == [value]


def test_a_text_with_two_objects_never_shifts_the_rows_after_it() -> None:
    texts = ['{"t": "a"}{"t": "b"}', "", '{"t": "c"}']
    read = READER.read(texts)
    assert read.table.column("t").to_pylist() == ["c"]
    assert [one.index for one in read.bad] == [0, 1]


def test_a_batch_full_of_poison_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []
    fast = Reader.fast
    monkeypatch.setattr(
        Reader, "fast", lambda self, texts, start: tried.append(1) or fast(self, texts, start)
    )
    read = READER.read(['{"Amount": "x"}', GOOD] * 2000)
    assert len(read.bad) == 2000
    assert read.table.num_rows == 2000
    assert len(tried) <= 2 * reading.MOST_SPLITS + 1


VALUES = st.fixed_dictionaries(
    {},
    optional={
        "Amount": st.one_of(
            st.decimals(-(10**9), 10**9, places=4).map(str),
            st.sampled_from(["abc", "", None, True, "1e3", "+5", ".5", "5.", 1.5, "NaN"]),
        ),
        "i": st.one_of(st.integers(-(10**20), 10**20), st.sampled_from(["7", 7.0, 7.5, "x"])),
        "t": st.one_of(st.text(max_size=5), st.integers(), st.booleans(), st.none()),
        "d": st.sampled_from(["2020-01-01", "2020-13-01", 5, None]),
    },
)


@given(st.lists(VALUES, max_size=12))
def test_reading_a_batch_is_reading_its_rows_one_by_one(rows: list[dict[str, object]]) -> None:
    texts = [json.dumps(row) for row in rows]
    whole = READER.read(texts)
    tables, bad = [], []
    for index, text in enumerate(texts):
        alone = READER.read([text])
        tables += [{**row, "#row": index} for row in alone.table.to_pylist()]
        bad += [(index, one.field, one.why) for one in alone.bad]
    assert whole.table.to_pylist() == tables
    assert [(one.index, one.field, one.why) for one in whole.bad] == bad
