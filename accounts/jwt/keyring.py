"""Which keys sign access tokens and which verify them, under the one algorithm that JWT_ALGORITHM names.

HS256 signs with SECRET_KEY. ES256, RS256 and EdDSA sign with key pairs of the database, whose private halves are
encrypted under SECRET_KEY. Every process looks at the database again after REFRESH_SECONDS, so that all follow a
rotation without a restart; what is kept so long are keys, never a credential.
"""

from __future__ import annotations

import base64
import logging
import time
from dataclasses import dataclass
from functools import lru_cache
from threading import Lock
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from django.conf import settings
from django.db.models import Q
from django.utils import timezone
from jwt import PyJWK
from jwt.algorithms import HMACAlgorithm
from rest_framework.exceptions import APIException

from accounts.models import SigningKey
from authsvc.database import deadlines

logger = logging.getLogger(__name__)

SYMMETRIC = "HS256"
REFRESH_SECONDS = 5.0  # how long a process trusts what it last read of the keys
RETRY_SECONDS = 1.0  # how soon it looks again for a key that it does not know, and no sooner
MAX_AGE = 300  # seconds that a verifier may keep the published keys
PURPOSE = b"authsvc signing keys"


class NoSigningKey(APIException):
    """503: tokens cannot be signed until an operator makes a key."""

    status_code = 503
    default_detail = "This service has no key to sign tokens with yet; try again later."


@dataclass(frozen=True, slots=True)
class Ring:
    """The keys as they were read at a moment of the monotonic clock."""

    algorithm: str
    read_at: float
    signing: tuple[str, Any] | None
    verifying: dict[str, Any]
    published: list[dict[str, Any]]


_lock, _ring = Lock(), Ring("", float("-inf"), None, {}, [])


def secrets() -> list[str]:
    """Return SECRET_KEY and the ones before it that still verify."""
    return [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]


def hmac_keys() -> list[PyJWK]:
    """Return the same as keys of HS256."""
    return [hmac_key(secret) for secret in secrets()]


@lru_cache(maxsize=16)
def hmac_key(secret: str) -> PyJWK:
    """Return a secret as a JWK (RFC 7518, section 6.4). Raises InvalidKeyError for what is a public key."""
    key = PyJWK({"kty": "oct", "k": base64.urlsafe_b64encode(secret.encode()).decode()}, SYMMETRIC)
    key.Algorithm.prepare_key(key.key)
    key.Algorithm = PreparedHMAC(HMACAlgorithm.SHA256)
    return key


class PreparedHMAC(HMACAlgorithm):
    """HS256 with a secret that was looked at when it was prepared; PyJWT by itself does so again for each token."""

    def prepare_key(self, key: str | bytes) -> bytes:
        return key if isinstance(key, bytes) else key.encode()


def private_key_cipher() -> MultiFernet:
    """Return what encrypts private keys: under SECRET_KEY, and readable under its predecessors too."""
    derived = [HKDF(SHA256(), length=32, salt=None, info=PURPOSE).derive(secret.encode()) for secret in secrets()]
    return MultiFernet([Fernet(base64.urlsafe_b64encode(key)) for key in derived])


def signing_key() -> tuple[str | None, Any]:
    """Return (kid, key) to sign with. Raises NoSigningKey."""
    if settings.JWT_ALGORITHM == SYMMETRIC:
        return None, settings.SECRET_KEY
    # The first key may have just been made. Who asks has proven a password or a key, so junk cannot make it look.
    signing = ring().signing or ring(aged=REFRESH_SECONDS).signing
    if signing is None:
        raise NoSigningKey
    return signing


def verification_keys(kid: str | None) -> list[Any]:
    """Return the key of a pair that a token with this ``kid`` may be signed by; none for a kid that is not ours."""
    if kid is None:
        return []
    found = ring().verifying.get(kid) or ring(REFRESH_SECONDS - RETRY_SECONDS).verifying.get(kid)
    return [] if found is None else [found]


def published_keys() -> tuple[list[dict[str, Any]], int]:
    """Return the public keys as a JWK Set has them (RFC 7517, section 5), and for how many seconds they may be kept.

    0 while no key signs: the next one signs as soon as it is made.
    """
    if settings.JWT_ALGORITHM == SYMMETRIC:
        return [], MAX_AGE
    found = ring()
    return found.published, 0 if found.signing is None else MAX_AGE


def examine(**signal: Any) -> tuple[str, str] | None:
    """Receiver of /readyz's question: whether there is a key to sign with, where one is needed."""
    if settings.JWT_ALGORITHM == SYMMETRIC:
        return None
    return "signing_key", "missing" if ring().signing is None else "ok"


def ring(aged: float = 0.0) -> Ring:
    """Return the keys, read again once they are REFRESH_SECONDS old; ``aged`` adds to their age.

    Raises Django's OperationalError where another thread's reading takes longer than the request may wait.
    """
    global _ring  # noqa: PLW0603  the one cache of the process; its lock is beside it
    if is_old(_ring, aged):
        with deadlines.holding(_lock):
            if is_old(_ring, aged):  # another thread may have read them meanwhile
                _ring = read()
    return _ring


def is_old(ring: Ring, aged: float) -> bool:
    """Return whether keys are to be read again."""
    return ring.algorithm != settings.JWT_ALGORITHM or time.monotonic() - ring.read_at + aged >= REFRESH_SECONDS


def invalidate() -> None:
    """Look at the database at the next call: this process has just changed the keys."""
    global _ring  # noqa: PLW0603  as above
    with _lock:
        _ring = Ring("", float("-inf"), None, {}, [])


def read() -> Ring:
    """Return the keys as the database has them now: those of the configured algorithm that are not retired."""
    now = timezone.now()
    rows = SigningKey.objects.filter(Q(retires_at=None) | Q(retires_at__gt=now), algorithm=settings.JWT_ALGORITHM)
    keys = list(rows.order_by("-signs_from", "-id"))
    due = (row for row in keys if row.signs_from <= now)
    signing = next((pair for pair in map(decrypted, due) if pair is not None), None)
    verifying = {row.kid: PyJWK(row.public_jwk, row.algorithm) for row in keys}
    jwks = [{**row.public_jwk, "kid": row.kid, "alg": row.algorithm, "use": "sig"} for row in keys]
    return Ring(settings.JWT_ALGORITHM, time.monotonic(), signing, verifying, jwks)


def decrypted(row: SigningKey) -> tuple[str, Any] | None:
    """Return (kid, private key), or None, and a word to the operator, for one that SECRET_KEY does not open."""
    try:
        return row.kid, load_pem_private_key(private_key_cipher().decrypt(bytes(row.private_key)), password=None)
    except InvalidToken:
        logger.error("%s was encrypted under a SECRET_KEY that is not here", row)  # noqa: TRY400  no keys in logs
        return None
