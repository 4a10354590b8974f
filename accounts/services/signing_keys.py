"""Every write about signing keys. A new key is published before it signs, and the old one until its tokens expire."""

from __future__ import annotations

import base64
import hashlib
import json
from datetime import datetime, timedelta
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Q
from django.utils import timezone
from jwt.algorithms import get_default_algorithms

from accounts.jwt import keyring
from accounts.jwt.tokens import EXCHANGED_LIFETIME
from accounts.models import SigningKey
from audit import services as audit
from audit.events import Event

RSA_BITS = 3072  # 128 bits of security, as the other algorithms have (NIST SP 800-57, part 1, table 2)
# A verifier may keep the set of keys for MAX_AGE; as long again for those that are slow.
PUBLISHED_FIRST = timedelta(seconds=2 * keyring.MAX_AGE)
# What a thumbprint is computed over (RFC 7638, section 3.2; RFC 8037, section 2).
REQUIRED = {"EC": ("crv", "kty", "x", "y"), "RSA": ("e", "kty", "n"), "OKP": ("crv", "kty", "x")}


@transaction.atomic
def rotate(*, at_once: bool = False) -> SigningKey:
    """Create a key of the configured algorithm and return it.

    It is published now and signs after PUBLISHED_FIRST, by when every verifier has fetched it. Its predecessors stay
    published until their last token has expired. With ``at_once``, for a leaked key, it signs now, and the others and
    their tokens are void now. The first key signs now. Raises ValidationError under HS256.
    """
    algorithm, now = settings.JWT_ALGORITHM, timezone.now()
    if algorithm == keyring.SYMMETRIC:
        message = "HS256 signs with SECRET_KEY; set JWT_ALGORITHM to ES256, RS256 or EdDSA for keys of their own."
        raise ValidationError({"algorithm": ValidationError(message, code="symmetric")})
    before = SigningKey.objects.select_for_update().filter(Q(retires_at=None) | Q(retires_at__gt=now))
    others = list(before.filter(algorithm=algorithm))
    # Nothing to wait for where nothing signs now: there is no key, or none that this SECRET_KEY opens.
    signs_from = now if at_once or keyring.read().signing is None else now + PUBLISHED_FIRST
    retire(others, now if at_once else signs_from + last_token())
    key = build(algorithm, now, signs_from)
    key.save(force_insert=True)
    keyring.invalidate()
    audit.record(Event.SIGNING_KEY_ROTATED, subject=key, reason="at once" if at_once else "")
    return key


def retire(keys: list[SigningKey], at: datetime) -> None:
    """Set ``retires_at`` of keys that have none, or a later one."""
    named = SigningKey.objects.filter(pk__in=[key.pk for key in keys])
    named.filter(Q(retires_at=None) | Q(retires_at__gt=at)).update(retires_at=at)


def last_token() -> timedelta:
    """Return how long the last token of a key stays valid, with a minute for clocks that differ."""
    return max(timedelta(minutes=settings.ACCESS_TOKEN_EXPIRE_MINUTES), EXCHANGED_LIFETIME) + timedelta(seconds=60)


def build(algorithm: str, now: datetime, signs_from: datetime) -> SigningKey:
    """Return a new key pair, not yet stored, its private half encrypted."""
    private = generate(algorithm)
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    jwk = public_jwk(algorithm, private.public_key())
    return SigningKey(
        kid=thumbprint(jwk),
        algorithm=algorithm,
        private_key=keyring.private_key_cipher().encrypt(pem),
        public_jwk=jwk,
        created_at=now,
        signs_from=signs_from,
    )


def generate(algorithm: str) -> Any:
    """Return a new private key for an algorithm of RFC 7518 and RFC 8037."""
    if algorithm == "ES256":
        return ec.generate_private_key(ec.SECP256R1())
    if algorithm == "RS256":
        return rsa.generate_private_key(public_exponent=65537, key_size=RSA_BITS)
    return ed25519.Ed25519PrivateKey.generate()


def public_jwk(algorithm: str, public: Any) -> dict[str, Any]:
    """Return the members of a public key that RFC 7638 counts as its own."""
    whole = get_default_algorithms()[algorithm].to_jwk(public, as_dict=True)
    return {name: whole[name] for name in REQUIRED[whole["kty"]]}


def thumbprint(jwk: dict[str, Any]) -> str:
    """Return the base64url SHA-256 of a public key (RFC 7638, section 3)."""
    canonical = json.dumps(jwk, sort_keys=True, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(hashlib.sha256(canonical).digest()).decode().rstrip("=")
