"""Currencies: the ISO 4217 codes, their names and minor units.

Source: ISO 4217 table A.1 (current currencies and funds) as published by its maintenance agency.
Currencies withdrawn since the ECB's rate history began (1999) are kept, because old documents
still carry them.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Final


class UnknownCurrency(ValueError):
    """A code that is no ISO 4217 currency; the message says what to write instead."""


@dataclass(frozen=True, slots=True)
class Currency:
    """One currency: `minor_units` is the number of decimal places that can be paid.

    `withdrawn` is the month (2023-01) from which it is no longer a currency, empty while it is.
    """

    code: str
    name: str
    minor_units: int
    withdrawn: str = ""


_CURRENT: Final = """
AED 2 UAE Dirham
AFN 2 Afghani
ALL 2 Lek
AMD 2 Armenian Dram
AOA 2 Kwanza
ARS 2 Argentine Peso
AUD 2 Australian Dollar
AWG 2 Aruban Florin
AZN 2 Azerbaijan Manat
BAM 2 Convertible Mark
BBD 2 Barbados Dollar
BDT 2 Taka
BHD 3 Bahraini Dinar
BIF 0 Burundi Franc
BMD 2 Bermudian Dollar
BND 2 Brunei Dollar
BOB 2 Boliviano
BOV 2 Mvdol
BRL 2 Brazilian Real
BSD 2 Bahamian Dollar
BTN 2 Ngultrum
BWP 2 Pula
BYN 2 Belarusian Ruble
BZD 2 Belize Dollar
CAD 2 Canadian Dollar
CDF 2 Congolese Franc
CHE 2 WIR Euro
CHF 2 Swiss Franc
CHW 2 WIR Franc
CLF 4 Unidad de Fomento
CLP 0 Chilean Peso
CNY 2 Yuan Renminbi
COP 2 Colombian Peso
COU 2 Unidad de Valor Real
CRC 2 Costa Rican Colon
CUP 2 Cuban Peso
CVE 2 Cabo Verde Escudo
CZK 2 Czech Koruna
DJF 0 Djibouti Franc
DKK 2 Danish Krone
DOP 2 Dominican Peso
DZD 2 Algerian Dinar
EGP 2 Egyptian Pound
ERN 2 Nakfa
ETB 2 Ethiopian Birr
EUR 2 Euro
FJD 2 Fiji Dollar
FKP 2 Falkland Islands Pound
GBP 2 Pound Sterling
GEL 2 Lari
GHS 2 Ghana Cedi
GIP 2 Gibraltar Pound
GMD 2 Dalasi
GNF 0 Guinean Franc
GTQ 2 Quetzal
GYD 2 Guyana Dollar
HKD 2 Hong Kong Dollar
HNL 2 Lempira
HTG 2 Gourde
HUF 2 Forint
IDR 2 Rupiah
ILS 2 New Israeli Sheqel
INR 2 Indian Rupee
IQD 3 Iraqi Dinar
IRR 2 Iranian Rial
ISK 0 Iceland Krona
JMD 2 Jamaican Dollar
JOD 3 Jordanian Dinar
JPY 0 Yen
KES 2 Kenyan Shilling
KGS 2 Som
KHR 2 Riel
KMF 0 Comorian Franc
KPW 2 North Korean Won
KRW 0 Won
KWD 3 Kuwaiti Dinar
KYD 2 Cayman Islands Dollar
KZT 2 Tenge
LAK 2 Lao Kip
LBP 2 Lebanese Pound
LKR 2 Sri Lanka Rupee
LRD 2 Liberian Dollar
LSL 2 Loti
LYD 3 Libyan Dinar
MAD 2 Moroccan Dirham
MDL 2 Moldovan Leu
MGA 2 Malagasy Ariary
MKD 2 Denar
MMK 2 Kyat
MNT 2 Tugrik
MOP 2 Pataca
MRU 2 Ouguiya
MUR 2 Mauritius Rupee
MVR 2 Rufiyaa
MWK 2 Malawi Kwacha
MXN 2 Mexican Peso
MXV 2 Mexican Unidad de Inversion
MYR 2 Malaysian Ringgit
MZN 2 Mozambique Metical
NAD 2 Namibia Dollar
NGN 2 Naira
NIO 2 Cordoba Oro
NOK 2 Norwegian Krone
NPR 2 Nepalese Rupee
NZD 2 New Zealand Dollar
OMR 3 Rial Omani
PAB 2 Balboa
PEN 2 Sol
PGK 2 Kina
PHP 2 Philippine Peso
PKR 2 Pakistan Rupee
PLN 2 Zloty
PYG 0 Guarani
QAR 2 Qatari Rial
RON 2 Romanian Leu
RSD 2 Serbian Dinar
RUB 2 Russian Ruble
RWF 0 Rwanda Franc
SAR 2 Saudi Riyal
SBD 2 Solomon Islands Dollar
SCR 2 Seychelles Rupee
SDG 2 Sudanese Pound
SEK 2 Swedish Krona
SGD 2 Singapore Dollar
SHP 2 Saint Helena Pound
SLE 2 Leone
SOS 2 Somali Shilling
SRD 2 Surinam Dollar
SSP 2 South Sudanese Pound
STN 2 Dobra
SVC 2 El Salvador Colon
SYP 2 Syrian Pound
SZL 2 Lilangeni
THB 2 Baht
TJS 2 Somoni
TMT 2 Turkmenistan New Manat
TND 3 Tunisian Dinar
TOP 2 Pa'anga
TRY 2 Turkish Lira
TTD 2 Trinidad and Tobago Dollar
TWD 2 New Taiwan Dollar
TZS 2 Tanzanian Shilling
UAH 2 Hryvnia
UGX 0 Uganda Shilling
USD 2 US Dollar
USN 2 US Dollar (Next day)
UYI 0 Uruguay Peso en Unidades Indexadas
UYU 2 Peso Uruguayo
UYW 4 Unidad Previsional
UZS 2 Uzbekistan Sum
VED 2 Bolívar Digital
VES 2 Bolívar Soberano
VND 0 Dong
VUV 0 Vatu
WST 2 Tala
XAD 2 Arab Accounting Dinar
XAF 0 CFA Franc BEAC
XCD 2 East Caribbean Dollar
XCG 2 Caribbean Guilder
XOF 0 CFA Franc BCEAO
XPF 0 CFP Franc
YER 2 Yemeni Rial
ZAR 2 Rand
ZMW 2 Zambian Kwacha
ZWG 2 Zimbabwe Gold
"""

_WITHDRAWN: Final = """
ANG 2 2025-07 Netherlands Antillean Guilder
BGN 2 2026-01 Bulgarian Lev
BYR 0 2017-01 Belarusian Ruble (until 2016)
CUC 2 2021-06 Peso Convertible
CYP 2 2008-01 Cyprus Pound
EEK 2 2011-01 Kroon
HRK 2 2023-01 Kuna
LTL 2 2015-01 Lithuanian Litas
LVL 2 2014-01 Latvian Lats
MRO 2 2017-12 Ouguiya (until 2017)
MTL 2 2008-01 Maltese Lira
ROL 2 2005-06 Old Leu
SIT 2 2007-01 Tolar
SKK 2 2009-01 Slovak Koruna
SLL 2 2023-12 Leone (until 2023)
STD 2 2018-04 Dobra (until 2017)
TRL 2 2005-12 Old Turkish Lira
USS 2 2014-03 US Dollar (Same day)
VEF 2 2018-08 Bolívar (until 2018)
ZWL 2 2024-09 Zimbabwe Dollar
"""

# Codes that ISO lists with minor unit "N.A.": metals, units of account, testing. No money is
# payable in them, so there is nothing an amount could be rounded to.
_NOT_PAYABLE: Final = frozenset(
    ("XAG", "XAU", "XBA", "XBB", "XBC", "XBD", "XDR", "XPD", "XPT", "XSU", "XTS", "XUA", "XXX")
)


def _table() -> dict[str, Currency]:
    found: dict[str, Currency] = {}
    for line in _CURRENT.strip().splitlines():
        code, minor_units, name = line.split(maxsplit=2)
        found[code] = Currency(code, name, int(minor_units))
    for line in _WITHDRAWN.strip().splitlines():
        code, minor_units, withdrawn, name = line.split(maxsplit=3)
        found[code] = Currency(code, name, int(minor_units), withdrawn)
    return found


_CURRENCIES: Final = _table()

CURRENT_CODES: Final = tuple(sorted(c.code for c in _CURRENCIES.values() if not c.withdrawn))
ALL_CODES: Final = tuple(sorted(_CURRENCIES))


def currency(code: str) -> Currency:
    """The currency of an ISO 4217 alphabetic code, withdrawn ones included.

    Raises UnknownCurrency: the message tells wrong case, a code without minor units, and a likely
    misspelling apart.
    """
    found = _CURRENCIES.get(code)
    if found is None:
        raise UnknownCurrency(_why(code))
    return found


def _why(code: object) -> str:
    if not isinstance(code, str):
        return f"a currency is a three-letter ISO 4217 code, not {code!r}"
    if not code.strip():
        return "the currency is empty: write its three-letter ISO 4217 code, like EUR"
    tidy = code.strip().upper()
    if tidy in _CURRENCIES:
        return f"{code!r} is not written as ISO 4217 writes it: use {tidy!r}"
    if tidy in _NOT_PAYABLE:
        return f"{code!r} has no minor units in ISO 4217, so no money can be in it"
    near = difflib.get_close_matches(tidy[:20], CURRENT_CODES, n=3)
    hint = f"; near to it: {', '.join(near)}" if near else ""
    return f"{code[:40]!r} is not an ISO 4217 currency code{hint}"
