"""The ids of rows, as clients and operators send them."""

from typing import Any

MAX_ID = 2**63 - 1  # of the database's bigint
MAX_DIGITS = 19


def parse_id(text: Any) -> int | None:
    """Return the id that a text is in ASCII digits, or None for anything that no row can have as its id."""
    if not (isinstance(text, str) and text.isascii() and text.isdecimal() and len(text) <= MAX_DIGITS):
        return None
    number = int(text)
    return number if number <= MAX_ID else None
