"""What no expression can say: called by name from mappings, controls and conditions.

Once per distinct value of a batch, and pure: no files, no network, no clock. An exception is the
error of its row.
"""

LONGEST = 21  # characters of a reference, by ISO 11649


def creditor_reference(number: str) -> str:
    """The payment reference (ISO 11649) that customers quote: 10248 becomes RF4910248.

    Two check digits (modulo 97, as in an IBAN) let the bank refuse a mistyped reference, so money
    that arrives can be matched to its invoice. Raises ValueError for what no reference can hold.
    """
    plain = "".join(one for one in number.upper() if one not in " -/.")
    if not plain.isascii() or not plain.isalnum() or len(plain) > LONGEST:
        raise ValueError(f"{number} is not 1 to {LONGEST} letters and digits")
    digits = "".join(str(int(one, 36)) for one in f"{plain}RF00")
    return f"RF{98 - int(digits) % 97:02}{plain}"
