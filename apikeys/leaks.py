"""Reports of leaked keys, from anybody or from GitHub's secret scanning."""

from __future__ import annotations

import base64
import binascii
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from django.conf import settings
from django.core.exceptions import ValidationError
from django.utils import timezone
from rest_framework import exceptions

from apikeys import keys, services, validators
from apikeys.queries import key_by_digest
from audit.events import Event
from authsvc import mail
from authsvc.api.fields import unknown_fields

KEY_ID, SIGNATURE = "Github-Public-Key-Identifier", "Github-Public-Key-Signature"
MAX_TOKENS = 1000  # of one report

# What reading an invalid file of keys can raise.
WRONG_FILE = (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, UnsupportedAlgorithm)

logger = logging.getLogger(__name__)

MAIL = """An API key of yours was found where it should not be, and has been revoked.

Key:    {prefix}… ({name}, id {id})
Source: {source}

Programs that use it are refused from now on. Issue a new key, and look at what was done with this one.
"""


@dataclass(frozen=True, slots=True)
class Leak:
    """A reported text that may be a key, and where it was found."""

    text: str
    source: str


def read_report(data: Any, *, signed: bool) -> list[Leak]:
    """Return the leaks of a report; ``signed`` is whether GitHub has signed its body.

    Raises ValidationError, Django's or DRF's, for another form, and for an array that is unsigned or too long.
    """
    if isinstance(data, list):
        if not signed:
            raise ValidationError({SIGNATURE: ValidationError("The signature is not GitHub's.", code="invalid")})
        if len(data) > MAX_TOKENS:
            raise ValidationError({"body": ValidationError(f"At most {MAX_TOKENS} in a report.", code="max_length")})
        # An entry of an unknown form is skipped, so that the other keys are still revoked.
        return [from_github(item) for item in data if isinstance(item, dict) and isinstance(item.get("token"), str)]
    if not isinstance(data, dict):
        raise ValidationError({"key": ValidationError('Send {"key": …}, or GitHub\'s array.', code="invalid")})
    if unknown := data.keys() - {"key"}:
        raise exceptions.ValidationError(unknown_fields(unknown))
    if "key" not in data:
        raise ValidationError({"key": ValidationError("This field is required.", code="required")})
    if not isinstance(data["key"], str):
        raise ValidationError({"key": ValidationError("Not a valid string.", code="invalid")})
    return [Leak(data["key"].strip(), "reported by a holder")]


def from_github(item: dict[str, Any]) -> Leak:
    """Return one entry of GitHub's array."""
    url = item.get("url")
    return Leak(item["token"].strip(), f"GitHub: {url}" if isinstance(url, str) and url else "GitHub")


def is_signed(raw: bytes, headers: Mapping[str, str]) -> bool:
    """Return whether GitHub has signed a body (ECDSA over the raw bytes, by its secret scanning partner program)."""
    key_id = headers.get(KEY_ID)
    key = trusted_keys().get(key_id) if key_id else None
    if key is None:
        return False
    try:
        key.verify(base64.b64decode(headers.get(SIGNATURE, ""), validate=True), raw, ec.ECDSA(SHA256()))
    except (InvalidSignature, binascii.Error, ValueError):
        return False
    return True


def trusted_keys() -> dict[str, ec.EllipticCurvePublicKey]:
    """Return the keys that verify reports; where their file is invalid, log an error and return none."""
    try:
        return public_keys(settings.LEAK_REPORT_KEYS_FILE)
    except WRONG_FILE as error:
        logger.error("LEAK_REPORT_KEYS_FILE cannot be used: %s", type(error).__name__)  # noqa: TRY400  no keys in logs
        return {}


@lru_cache(maxsize=1)
def public_keys(path: str) -> dict[str, ec.EllipticCurvePublicKey]:
    """Return keys by identifier, from a file in the form of GitHub's meta API; none without a file.

    Raises one of WRONG_FILE for an invalid file.
    """
    if not path:
        return {}
    found = {}
    for entry in json.loads(Path(path).read_text(encoding="utf-8"))["public_keys"]:
        key = load_pem_public_key(entry["key"].encode())
        if not isinstance(key, ec.EllipticCurvePublicKey):
            raise TypeError("a key for leak reports is not of an elliptic curve")
        found[entry["key_identifier"]] = key
    return found


def revoke_leaked(leak: Leak) -> None:
    """Revoke the key whose plaintext was reported, if it is live, and mail its owner. Reveals nothing to the caller."""
    key = key_by_digest(keys.digest(leak.text)) if keys.is_well_formed(leak.text) else None
    if key is None or key.secret.is_retired(timezone.now()):
        return  # unknown, or a retired secret, which no longer works: the key itself stays
    source = "".join(letter for letter in leak.source if validators.is_printable(letter))[
        : validators.REASON_LENGTH
    ].strip()
    if services.revoke_key(key=key, reason=source, event=Event.KEY_REVOKED_LEAK) and key.owner.email:
        prefix = leak.text[: -keys.CHECKSUM_LENGTH - keys.RANDOM_LENGTH + keys.SHOWN_LENGTH]
        text = MAIL.format(prefix=prefix, name=key.name, id=key.pk, source=source)
        mail.send("An API key of yours was revoked: it had leaked", text, key.owner.email)
