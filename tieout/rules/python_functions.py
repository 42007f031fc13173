"""A landscape's own typed Python functions, called from expressions by name, set-wise.

For every batch the distinct argument tuples are collected first, each is given to Python once, and
the answers are joined to the rows, as lookups are. One bad call is the error of the rows that made
it, never of their batch.
"""

from __future__ import annotations

import datetime as dt
import decimal
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

import pyarrow as pa

from tieout.rules.column_types import decimal_size, is_integer
from tieout.rules.expression import MOST_CHARACTERS, short
from tieout.rules.place import Place

MOST_BYTES = MOST_CHARACTERS  # of a text that a function returns
MOST_DECIMALS = 18  # of a Decimal that a function returns
MOST_DIGITS = 38
MOST_SHOWN = 200  # characters of arguments, or of an exception's words, in an error
_EXACT = decimal.Context(prec=60)


@dataclass(frozen=True, slots=True)
class PythonType:
    """The type of a parameter or a result as `functions.py` declares it.

    `name` is one of Decimal, str, int, bool, date; `optional` says that it may be None.
    """

    name: str
    optional: bool = False

    @classmethod
    def of(cls, written: str) -> PythonType:
        """Of an annotation such as `Decimal` or `Decimal | None`."""
        parts = [one.strip() for one in written.split("|")]
        return cls(next(one for one in parts if one != "None"), "None" in parts)

    @property
    def kind(self) -> str:
        """What expressions call such a value."""
        return _KINDS[self.name]

    @property
    def arrow(self) -> pa.DataType:
        return _ARROW[self.name]

    def takes(self, compiled: str) -> bool:
        """Whether a value of a compiled DuckDB type can be given for it."""
        if compiled in ('"NULL"', "NULL"):
            return True
        if self.name == "Decimal":
            return decimal_size(compiled) is not None
        if self.name == "int":
            return is_integer(compiled) and compiled not in _WIDER_THAN_64_BITS
        return compiled == {"str": "VARCHAR", "bool": "BOOLEAN", "date": "DATE"}[self.name]

    def __str__(self) -> str:
        return f"{self.name} | None" if self.optional else self.name


_WIDER_THAN_64_BITS = ("HUGEINT", "UHUGEINT", "UBIGINT")
_KINDS = {"Decimal": "number", "str": "text", "int": "integer", "bool": "boolean", "date": "date"}
_ARROW: dict[str, pa.DataType] = {
    "Decimal": pa.decimal128(MOST_DIGITS, MOST_DECIMALS),
    "str": pa.string(),
    "int": pa.int64(),
    "bool": pa.bool_(),
    "date": pa.date32(),
}
_CLASSES: dict[str, type] = {
    "Decimal": Decimal,
    "str": str,
    "int": int,
    "bool": bool,
    "date": dt.date,
}


class _BadResult(Exception):
    """A function returned what its signature does not allow."""


@dataclass(frozen=True, slots=True)
class PythonFunction:
    """A function that expressions may call. `place` is where `functions.py` defines it;
    `code_file` is the file name its code was compiled under."""

    name: str
    parameters: tuple[tuple[str, PythonType], ...]
    returns: PythonType
    place: Place
    call: Callable[..., object]
    code_file: str = ""

    @property
    def usage(self) -> str:
        inside = ", ".join(f"{name}: {kind}" for name, kind in self.parameters)
        return f"{self.name}({inside}) -> {self.returns}"

    def answer(self, arguments: Sequence[object]) -> tuple[object, str]:
        """(result, "") or (None, why there is none) for one tuple of arguments."""
        given = [_plain(one) if isinstance(one, Decimal) else one for one in arguments]
        try:
            return self._checked(self.call(*given)), ""
        except _BadResult as error:
            return None, f"{self.name}() ({self.place}) {error} for {self._shown(given)}"
        # Whatever a landscape's own code raises for one row is the error of that row.
        except Exception as error:  # noqa: BLE001 - its code may raise anything at all
            words = short("".join(traceback.format_exception_only(error)), MOST_SHOWN)
            spot = f"{self.place.file}:{self._line(error)}"
            return None, f"{self.name}() ({spot}) failed for {self._shown(given)}: {words}"

    def _line(self, error: Exception) -> int:
        """The innermost line of the landscape's own code that the error came through."""
        line = self.place.line
        for frame, number in traceback.walk_tb(error.__traceback__):
            if frame.f_code.co_filename == self.code_file:
                line = number
        return line

    def _shown(self, given: Sequence[object]) -> str:
        if not given:
            return "no arguments"
        pairs = zip(self.parameters, given, strict=True)
        parts = [
            f"{name} = {'nothing' if value is None else short(str(value), 80)}"
            for (name, _), value in pairs
        ]
        return short(", ".join(parts), MOST_SHOWN)

    def _checked(self, result: object) -> object:
        """The result as a column of its type can hold it. Raises _BadResult."""
        if result is None:
            if self.returns.optional:
                return None
            raise _BadResult(f"returned None, not {_a(self.returns.name)},")
        # Exactly this class: True is an int and a datetime a date only to Python.
        if type(result) is not _CLASSES[self.returns.name]:
            raise _BadResult(f"returned {_a(type(result).__name__)}, not {_a(self.returns.name)},")
        if isinstance(result, Decimal):
            return _held(result)
        if isinstance(result, str):
            return _text(result)
        if isinstance(result, int) and not -(2**63) <= result < 2**63:
            raise _BadResult("returned a whole number of more than 64 bits")
        return result


def _held(result: Decimal) -> Decimal:
    if not result.is_finite():
        raise _BadResult(f"returned {result}, which is no number,")
    plain = _plain(result)
    exponent = plain.as_tuple().exponent
    assert isinstance(exponent, int)
    if -exponent > MOST_DECIMALS:
        raise _BadResult(
            f"returned {short(str(result), 50)}, which has more than {MOST_DECIMALS} decimals "
            "(quantize it),"
        )
    if plain and plain.adjusted() >= MOST_DIGITS - MOST_DECIMALS:
        raise _BadResult(
            f"returned {short(str(result), 50)}, which has more than "
            f"{MOST_DIGITS - MOST_DECIMALS} digits before the point,"
        )
    return plain


def _text(result: str) -> str:
    try:
        size = len(result.encode())
    except UnicodeEncodeError:
        raise _BadResult("returned a text that is not valid UTF-8") from None
    if "\x00" in result:
        raise _BadResult("returned a text that holds a NUL character")
    if size > MOST_BYTES:
        raise _BadResult(f"returned a text of {size} bytes, more than {MOST_BYTES // 1024} KB,")
    return result


def _plain(value: Decimal) -> Decimal:
    """The same number without trailing zeros, so that a column's width is not seen."""
    if not value.is_finite() or len(value.as_tuple().digits) > _EXACT.prec:
        return value
    short_one = value.normalize(_EXACT)
    exponent = short_one.as_tuple().exponent
    assert isinstance(exponent, int)
    if 0 < exponent < MOST_DIGITS:
        return short_one.quantize(Decimal(1), context=_EXACT)
    return short_one


def _a(name: str) -> str:
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"


class PythonAnswers:
    """The answers of one batch; no function is asked the same twice, whatever level needs it."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, tuple[object, ...]], tuple[object, str]] = {}

    def table(self, function: PythonFunction, asked: pa.Table) -> pa.Table:
        """`asked`, distinct arguments in columns a0, a1, …, with columns `value` and `error`.

        A column more than the function has parameters only says that the call is reached.
        """
        count = len(function.parameters)
        columns = [one.to_pylist() for one in asked.columns]
        values: list[object] = []
        errors: list[str | None] = []
        for row in zip(*columns, strict=True):
            arguments = row[:count]
            key = (function.name, arguments)
            if key not in self._known:
                self._known[key] = function.answer(arguments)
            value, error = self._known[key]
            values.append(value)
            errors.append(error or None)
        return asked.append_column("value", pa.array(values, function.returns.arrow)).append_column(
            "error", pa.array(errors, pa.string())
        )


Functions = Mapping[str, PythonFunction]
