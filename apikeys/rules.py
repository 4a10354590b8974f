"""What may be asked of a key: one function for each field, raising ValidationError on it."""

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
# orjson's whole numbers, and the fractions that PostgreSQL does not give back as whole ones beyond those.
NUMBERS = "Whole numbers are from -2^63 to 2^64 - 1, numbers with a fraction or an exponent between -2^63 and 2^63"
STORABLE = f"{NUMBERS}, texts have whole characters, and at most 250 objects and arrays are within each other."
MOST_NETWORKS = 100
MOST_OVERLAP = 30 * 24 * 3600  # seconds
# Categories of characters that break lines or terminals, and the marks that turn the writing direction around.
CONTROLS = {"Cc", "Cs", "Zl", "Zp"}
BIDI_CONTROLS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")

# Letters, and the one pattern of Braille, that are blank.
FILLERS = frozenset("\u115f\u1160\u3164\uffa0\u2800")


def name(value: str) -> str:
    """Return a key's name without surrounding space."""
    value = value.strip()
    if is_invisible(value[: NAME_LENGTH + 1]):
        raise invalid("name", "blank", "A key needs a name.")
    if len(value) > NAME_LENGTH:
        raise invalid("name", "max_length", f"A name has at most {NAME_LENGTH} characters.")
    if not is_printable(value):
        raise invalid("name", "control_character", "A name has no control characters.")
    return value


def days(value: int) -> int:
    """Return a life in days."""
    if not 1 <= value <= settings.API_KEY_MAX_EXPIRE_DAYS:
        message = f"A key lives from 1 to {settings.API_KEY_MAX_EXPIRE_DAYS} days."
        raise invalid("expires_in_days", "out_of_range", message)
    return value


def scopes(asked: Iterable[str], owner: User) -> str:
    """Return scopes as they are stored; each must exist and be one of the owner's."""
    wanted = set(asked)
    possible = set(filter(is_printable, wanted))  # the others are no scopes, and no database could be asked for them
    known = set(Scope.objects.filter(name__in=possible).values_list("name", flat=True)) if possible else set()
    if unknown := wanted - known:
        raise invalid("scopes", "unknown_scope", f"There is no scope {masked_excerpt(min(unknown), ECHO_LENGTH)!r}.")
    if wanted - owner.scopes:
        raise invalid("scopes", "not_granted", "A key cannot have a scope that its owner lacks.")
    return " ".join(sorted(wanted))


def allowed_ips(listed: Iterable[str]) -> str:
    """Return addresses and networks as they are stored; none is any address."""
    listed = list(listed)
    if len(listed) > MOST_NETWORKS:
        raise invalid("allowed_ips", "max_length", f"At most {MOST_NETWORKS} networks.")
    return " ".join(dict.fromkeys(map(network, listed)))


def network(item: str) -> str:
    """Return an address or a network as it is stored."""
    try:
        return str(parse_network(item))
    except ValueError as error:
        wanted = "an IPv4 or IPv6 address, or a network in CIDR notation without host bits"
        raise invalid(
            "allowed_ips", "invalid_network", f"{masked_excerpt(item, ECHO_LENGTH)!r} is not {wanted}."
        ) from error


def rate_limit(value: str | None) -> str:
    """Return limits as they are stored; "" for none."""
    try:
        return rates.canonical(value) if value else ""
    except ValueError as error:
        message = "Written as 100/minute, or several as 10/second; 1000/hour, each second, minute, hour or day once."
        raise invalid("rate_limit", "invalid_rate_limit", message) from error


def metadata(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return a JSON object that the database can hold."""
    try:
        text = orjson.dumps(value)
        orjson.dumps([[[[value]]]])  # an answer holds it some levels down, and orjson's depth is bounded
        json.dumps(value, allow_nan=False)  # 1e400 is read as infinity, which orjson would write as null
    except (TypeError, ValueError) as error:  # a number beyond 64 bits, half a surrogate pair, a bottomless nesting
        raise invalid("metadata", "invalid", STORABLE) from error
    if len(text) > METADATA_SIZE:
        raise invalid("metadata", "max_length", f"Metadata has at most {METADATA_SIZE} bytes of JSON.")
    if is_beyond(value):
        raise invalid("metadata", "invalid", f"{NUMBERS}.")
    if has_null(value):
        raise invalid("metadata", "null_character", "Metadata has no null characters.")
    return dict(value)


def is_beyond(value: Any) -> bool:
    """Say whether a number anywhere in a JSON value would come back from PostgreSQL as one of more than 64 bits."""
    if isinstance(value, Mapping):
        return any(map(is_beyond, value.values()))
    if isinstance(value, list):
        return any(map(is_beyond, value))
    return isinstance(value, float) and abs(value) >= 2**63


def has_null(value: Any) -> bool:
    """Say whether a null character, which PostgreSQL's JSON has none of, is anywhere in a JSON value."""
    if isinstance(value, Mapping):
        return any("\0" in key or has_null(inner) for key, inner in value.items())
    if isinstance(value, list):
        return any(map(has_null, value))
    return isinstance(value, str) and "\0" in value


def differs(before: Any, after: Any) -> bool:
    """Say whether two values of a column are told apart in JSON, where 1, 1.0 and true are three, unlike in Python."""
    return json.dumps(before, sort_keys=True) != json.dumps(after, sort_keys=True)


def overlap(seconds: int) -> int:
    """Return how long an outgoing secret may live on, in seconds."""
    if not 0 <= seconds <= MOST_OVERLAP:
        raise invalid(
            "overlap_seconds", "out_of_range", f"An outgoing secret lives on for 0 to {MOST_OVERLAP} seconds."
        )
    return seconds


def reason(value: str) -> str:
    """Return a reason for the record."""
    value = value.strip()
    if len(value) > REASON_LENGTH or not is_printable(value):
        raise invalid("reason", "invalid", f"A reason is one line of at most {REASON_LENGTH} characters.")
    return value


def is_printable(text: str) -> bool:
    """Say whether a text can stand in a list or a terminal as it is, without steering either."""
    return BIDI_CONTROLS.isdisjoint(text) and CONTROLS.isdisjoint(map(unicodedata.category, text))


def is_invisible(text: str) -> bool:
    """Say whether nobody would see anything of a text, as of one of zero-width spaces, joiners or soft hyphens."""
    return all(letter.isspace() or unicodedata.category(letter) == "Cf" or letter in FILLERS for letter in text)


def invalid(field: str, code: str, message: str) -> ValidationError:
    """Return the error of one field."""
    return ValidationError({field: ValidationError(message, code=code)})
