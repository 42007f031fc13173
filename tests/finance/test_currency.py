import pytest

from tieout.finance.currency import ALL_CODES, CURRENT_CODES, UnknownCurrency, currency


@pytest.mark.parametrize(
    ("code", "minor_units"),
    [
        ("EUR", 2),
        ("USD", 2),
        ("JPY", 0),
        ("KWD", 3),
        ("CLF", 4),
        ("UYW", 4),
        ("TND", 3),
        ("ISK", 0),
    ],
)
def test_minor_units_are_those_of_iso_4217(code: str, minor_units: int) -> None:
    assert currency(code).minor_units == minor_units


def test_every_current_code_is_there_once() -> None:
    assert len(CURRENT_CODES) == 165
    assert len(set(ALL_CODES)) == len(ALL_CODES)
    assert all(len(code) == 3 and code.isupper() and currency(code).name for code in ALL_CODES)


def test_old_documents_keep_their_withdrawn_currency() -> None:
    assert currency("HRK").withdrawn == "2023-01"
    assert "HRK" not in CURRENT_CODES
    assert currency("EUR").withdrawn == ""


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("eur", "use 'EUR'"),
        (" USD ", "use 'USD'"),
        ("XAU", "no minor units"),
        ("EURO", "near to it: EUR"),
        ("QQQ", "not an ISO 4217"),
        ("", "empty"),
        (None, "not None"),
        (978, "not 978"),
    ],
)
def test_an_unknown_code_is_told_apart(code: str, words: str) -> None:
    with pytest.raises(UnknownCurrency, match=words):
        currency(code)
