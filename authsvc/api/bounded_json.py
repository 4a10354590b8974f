"""JSON from a client: strict, in UTF-8, without a member twice, and bounded in members, depth and digits."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from rest_framework.exceptions import ErrorDetail, ParseError, ValidationError

MAX_CONTAINERS = 10_000  # arrays and objects in all, which cost ten times what a number does
MAX_MEMBERS = 100_000  # items of arrays and members of objects in all; a report of 1,000 keys by GitHub has 6,000
MAX_DEPTH = 850  # arrays and objects within each other
MAX_DIGITS = 4300  # characters of a number, which is Python's own default for whole ones

TOO_DEEP = "The request body is nested too deeply."
TOO_LONG = "The request body has a number that is too long."
TWICE = "The request body has a member twice in one object."


def loads(body: bytes) -> Any:
    """Return the value of a JSON text (RFC 8259).

    Raises ParseError for what is not one, is nested too deeply, or has a member twice or a number that is too long, and
    ValidationError on ``body`` for too many members.
    """
    # What stands within strings counts too: that errs on the safe side, and needs no look at each character. Without a
    # comma there is nothing but nesting.
    openings, commas = body.count(b"[") + body.count(b"{"), body.count(b",")
    if commas and (openings > MAX_CONTAINERS or openings + commas > MAX_MEMBERS):
        message = f"A body has at most {MAX_CONTAINERS} arrays and objects, and {MAX_MEMBERS} members and items."
        raise ValidationError({"body": [ErrorDetail(message, "too_many_members")]})
    try:
        value = decoder.decode(body.decode("utf-8"))
    except ValueError as error:
        raise ParseError("The request body is not valid JSON.") from error
    except RecursionError as error:
        raise ParseError(TOO_DEEP) from error
    if openings > MAX_DEPTH:
        require_depth(value)
    return value


def refuse_constant(name: str) -> NoReturn:
    """Raise ValueError: NaN and the infinities are JavaScript, not JSON (RFC 8259, section 6)."""
    raise ValueError(name)


def whole_number(text: str) -> int:
    """Return an integer. Raises ParseError for too many digits, whatever Python's own limit is set to."""
    if len(text) > MAX_DIGITS:
        raise ParseError(TOO_LONG)
    return int(text)


def fraction(text: str) -> float:
    """Return a float. Raises ParseError for too many digits."""
    if len(text) > MAX_DIGITS:
        raise ParseError(TOO_LONG)
    return float(text)


def unique_members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object. Raises ParseError where two members have one name: readers differ on which counts."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ParseError(TWICE)
    return found


decoder = json.JSONDecoder(
    object_pairs_hook=unique_members, parse_int=whole_number, parse_float=fraction, parse_constant=refuse_constant
)


def require_depth(value: Any) -> None:
    """Raise ParseError where more than MAX_DEPTH arrays and objects are within each other. Does not recurse."""
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        containers = [item for item in level if isinstance(item, dict | list)]
        level = [inner for item in containers for inner in (item.values() if isinstance(item, dict) else item)]
    if containers:
        raise ParseError(TOO_DEEP)
