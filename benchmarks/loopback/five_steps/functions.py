"""What the flow of five steps calls."""

from decimal import Decimal

LIMIT = Decimal(1_000_000)


def too_large(total: Decimal) -> str | None:
    """What is wrong with an invoice of this total; None where nothing is."""
    return f"{total} is above the limit of {LIMIT}" if total > LIMIT else None
