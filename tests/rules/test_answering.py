"""The engine is asked each distinct question once, and every row gets the answer to its own."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from tieout.rules.answering import with_answers
from tieout.rules.level import Call
from tieout.rules.lookups import Answers, NoLookups

TEXTS = st.sampled_from(["a", "b", "c", None])
DAYS = st.sampled_from([1, 2, None])


class Echo(Answers):
    """Answers with the arguments themselves; remembers what it was asked."""

    def __init__(self) -> None:
        super().__init__(NoLookups())
        self.asked: list[tuple[object, ...]] = []

    def table(self, calls: Sequence[Call], asked: dict[int, pa.Table]) -> dict[int, pa.Table]:  # type: ignore[override]
        made = {}
        for one in calls:
            rows = list(zip(*(c.to_pylist() for c in asked[one.number].columns), strict=True))
            self.asked += rows
            value = pa.array([repr(row) for row in rows], pa.string())
            made[one.number] = asked[one.number].append_column("value", value)
        return made


@given(st.lists(st.tuples(TEXTS, DAYS, TEXTS), max_size=30))
def test_every_row_gets_the_answer_to_its_own_question(
    rows: list[tuple[str | None, int | None, str | None]],
) -> None:
    types = (pa.string(), pa.int64(), pa.string())
    arguments = {
        f"#a1_{index}": pa.array([row[index] for row in rows], kind)
        for index, kind in enumerate(types)
    }
    call = Call(1, "period", (), ("x", "y", "z"), 1, "period(x, y, z)")
    echo = Echo()
    found = with_answers(pa.table(arguments), [call], echo)
    whole = [row for row in rows if None not in row]
    assert sorted(echo.asked) == sorted(set(whole))
    assert found.column("#c1").to_pylist() == [None if None in row else repr(row) for row in rows]


@given(st.lists(TEXTS, max_size=30))
def test_a_row_without_an_argument_asks_nothing(rows: list[str | None]) -> None:
    call = Call(1, "id_in", ("erp", "customer"), ("x",), 1, "id_in(x)")
    echo = Echo()
    found = with_answers(pa.table({"#a1_0": pa.array(rows, pa.string())}), [call], echo)
    assert echo.asked == [(one,) for one in dict.fromkeys(rows) if one is not None]
    assert found.column("#c1").to_pylist() == [one and repr((one,)) for one in rows]
