"""Validates and normalizes the fields of a key: one function each, which raises ValidationError on its field."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any

import orjson
from django.conf import settings
from django.core.exceptions import ValidationError

from accounts.models import Scope, User
from authsvc.config import rates
from authsvc.error_lists import ECHO_LENGTH
from authsvc.request.addresses import parse_network
from authsvc.request.context import masked_excerpt

NAME_LENGTH = 100  # characters
REASON_LENGTH = 200  # characters
METADATA_SIZE = 4096  # bytes of JSON
# orjson's integers, and the floats that PostgreSQL does not return as larger integers.
NUMBERS = "Whole numbers are from -2^63 to 2^64 - 1, numbers with a fraction or an exponent between -2^63 and 2^63"
STORABLE = f"{NUMBERS}, texts have whole characters, and at most 250 objects and arrays are within each other."
MAX_NETWORKS = 100
MAX_OVERLAP = 30 * 24 * 3600  # seconds
# Categories of characters that break lines or control terminals, and the marks that change the writing direction.
CONTROLS = {"Cc", "Cs", "Zl", "Zp"}
BIDI_CONTROLS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")

# Letters, and the one pattern of Braille, that are blank.
FILLERS = frozenset("\u115f\u1160\u3164\uffa0\u2800")


def clean_name(value: str) -> str:
    """Return a key's name without surrounding space."""
    value = value.strip()
    if is_invisible(value[: NAME_LENGTH + 1]):
        raise field_error("name", "blank", "A key needs a name.")
    if len(value) > NAME_LENGTH:
        raise field_error("name", "max_length", f"A name has at most {NAME_LENGTH} characters.")
    if not is_printable(value):
        raise field_error("name", "control_character", "A name has no control characters.")
    return value


def clean_days(value: int) -> int:
    if not 1 <= value <= settings.API_KEY_MAX_EXPIRE_DAYS:
        message = f"A key lives from 1 to {settings.API_KEY_MAX_EXPIRE_DAYS} days."
        raise field_error("expires_in_days", "out_of_range", message)
    return value


def clean_scopes(asked: Iterable[str], owner: User) -> str:
    """Return scopes as they are stored. Each must exist, and the owner must have it."""
    wanted = set(asked)
    possible = set(filter(is_printable, wanted))  # others are not scopes, and some cannot be sent to a database
    known = set(Scope.objects.filter(name__in=possible).values_list("name", flat=True)) if possible else set()
    if unknown := wanted - known:
        raise field_error(
            "scopes", "unknown_scope", f"There is no scope {masked_excerpt(min(unknown), ECHO_LENGTH)!r}."
        )
    if wanted - owner.scopes:
        raise field_error("scopes", "not_granted", "A key cannot have a scope that its owner lacks.")
    return " ".join(sorted(wanted))


def clean_allowed_ips(listed: Iterable[str]) -> str:
    """Return addresses and networks as they are stored; "" for any address."""
    listed = list(listed)
    if len(listed) > MAX_NETWORKS:
        raise field_error("allowed_ips", "max_length", f"At most {MAX_NETWORKS} networks.")
    return " ".join(dict.fromkeys(map(clean_network, listed)))


def clean_network(item: str) -> str:
    """Return an address or a network as it is stored."""
    try:
        return str(parse_network(item))
    except ValueError as error:
        wanted = "an IPv4 or IPv6 address, or a network in CIDR notation without host bits"
        raise field_error(
            "allowed_ips", "invalid_network", f"{masked_excerpt(item, ECHO_LENGTH)!r} is not {wanted}."
        ) from error


def clean_rate_limit(value: str | None) -> str:
    """Return limits as they are stored; "" for none."""
    try:
        return rates.canonical(value) if value else ""
    except ValueError as error:
        message = "Written as 100/minute, or several as 10/second; 1000/hour, each second, minute, hour or day once."
        raise field_error("rate_limit", "invalid_rate_limit", message) from error


def clean_metadata(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return a JSON object that the database can hold."""
    try:
        text = orjson.dumps(value)
        orjson.dumps([[[[value]]]])  # a response nests it deeper, and orjson's depth is bounded
        json.dumps(value, allow_nan=False)  # 1e400 is read as infinity, which orjson would write as null
    except (TypeError, ValueError) as error:  # a number beyond 64 bits, a lone surrogate, or too deep
        raise field_error("metadata", "invalid", STORABLE) from error
    if len(text) > METADATA_SIZE:
        raise field_error("metadata", "max_length", f"Metadata has at most {METADATA_SIZE} bytes of JSON.")
    if exceeds_int64(value):
        raise field_error("metadata", "invalid", f"{NUMBERS}.")
    if has_null(value):
        raise field_error("metadata", "null_character", "Metadata has no null characters.")
    return dict(value)


def exceeds_int64(value: Any) -> bool:
    """Return whether a float in a JSON value is so large that PostgreSQL returns it as an integer beyond 64 bits."""
    if isinstance(value, Mapping):
        return any(map(exceeds_int64, value.values()))
    if isinstance(value, list):
        return any(map(exceeds_int64, value))
    return isinstance(value, float) and abs(value) >= 2**63


def has_null(value: Any) -> bool:
    """Return whether a JSON value has a null character, which PostgreSQL cannot store."""
    if isinstance(value, Mapping):
        return any("\0" in key or has_null(inner) for key, inner in value.items())
    if isinstance(value, list):
        return any(map(has_null, value))
    return isinstance(value, str) and "\0" in value


def json_differs(before: Any, after: Any) -> bool:
    """Return whether two values differ as JSON, in which 1, 1.0 and true differ, unlike in Python."""
    return json.dumps(before, sort_keys=True) != json.dumps(after, sort_keys=True)


def clean_overlap(seconds: int) -> int:
    if not 0 <= seconds <= MAX_OVERLAP:
        raise field_error(
            "overlap_seconds", "out_of_range", f"An outgoing secret lives on for 0 to {MAX_OVERLAP} seconds."
        )
    return seconds


def clean_reason(value: str) -> str:
    value = value.strip()
    if len(value) > REASON_LENGTH or not is_printable(value):
        raise field_error("reason", "invalid", f"A reason is one line of at most {REASON_LENGTH} characters.")
    return value


def is_printable(text: str) -> bool:
    """Return whether a text is free of control characters and direction marks."""
    return BIDI_CONTROLS.isdisjoint(text) and CONTROLS.isdisjoint(map(unicodedata.category, text))


def is_invisible(text: str) -> bool:
    """Return whether a text is blank on screen, such as zero-width spaces, joiners or soft hyphens."""
    return all(letter.isspace() or unicodedata.category(letter) == "Cf" or letter in FILLERS for letter in text)


def field_error(field: str, code: str, message: str) -> ValidationError:
    return ValidationError({field: ValidationError(message, code=code)})
