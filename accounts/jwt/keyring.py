"""The keys that sign and verify access tokens, under the algorithm that JWT_ALGORITHM names.

HS256 signs with SECRET_KEY. ES256, RS256 and EdDSA sign with key pairs from the database, whose private halves are
encrypted with SECRET_KEY. Every process reads them again after REFRESH_SECONDS, so a rotation needs no restart. Only
keys are cached, never a credential.
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
REFRESH_SECONDS = 5.0  # how long a process caches the keys
RETRY_SECONDS = 1.0  # between two reads for an unknown kid, at least
MAX_AGE = 300  # seconds that a verifier may keep the published keys
PURPOSE = b"authsvc signing keys"


class NoSigningKey(APIException):
    """503: tokens cannot be signed until an operator makes a key."""

    status_code = 503
    default_detail = "This service has no key to sign tokens with yet; try again later."


@dataclass(frozen=True, slots=True)
class Ring:
    """The keys, and when they were read by the monotonic clock."""

    algorithm: str
    read_at: float
    signing: tuple[str, Any] | None
    verifying: dict[str, Any]
    published: list[dict[str, Any]]


_lock, _ring = Lock(), Ring("", float("-inf"), None, {}, [])


def secrets() -> list[str]:
    """Return SECRET_KEY and its fallbacks."""
    return [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]


def hmac_keys() -> list[PyJWK]:
    return [hmac_key(secret) for secret in secrets()]


@lru_cache(maxsize=16)
def hmac_key(secret: str) -> PyJWK:
    """Return a secret as a JWK (RFC 7518, section 6.4). Raises InvalidKeyError for what is a public key."""
    key = PyJWK({"kty": "oct", "k": base64.urlsafe_b64encode(secret.encode()).decode()}, SYMMETRIC)
    key.Algorithm.prepare_key(key.key)
    key.Algorithm = PreparedHMAC(HMACAlgorithm.SHA256)
    return key


class PreparedHMAC(HMACAlgorithm):
    """HS256 with a secret that ``hmac_key`` has checked; PyJWT by itself checks it again for each token."""

    def prepare_key(self, key: str | bytes) -> bytes:
        return key if isinstance(key, bytes) else key.encode()


def private_key_cipher() -> MultiFernet:
    """Return the cipher of private keys: it encrypts with SECRET_KEY and decrypts with the fallbacks too."""
    derived = [HKDF(SHA256(), length=32, salt=None, info=PURPOSE).derive(secret.encode()) for secret in secrets()]
    return MultiFernet([Fernet(base64.urlsafe_b64encode(key)) for key in derived])


def signing_key() -> tuple[str | None, Any]:
    """Return (kid, key) to sign with. Raises NoSigningKey."""
    if settings.JWT_ALGORITHM == SYMMETRIC:
        return None, settings.SECRET_KEY
    # The first key may be new. Callers are authenticated by now, so junk cannot cause this second read.
    signing = ring().signing or ring(aged=REFRESH_SECONDS).signing
    if signing is None:
        raise NoSigningKey
    return signing


def verification_keys(kid: str | None) -> list[Any]:
    """Return the public key of a ``kid`` in a list, which is empty for an unknown one."""
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
    """Report to /readyz whether there is a signing key, where one is needed."""
    if settings.JWT_ALGORITHM == SYMMETRIC:
        return None
    return "signing_key", "missing" if ring().signing is None else "ok"


def ring(aged: float = 0.0) -> Ring:
    """Return the keys, read again once they are REFRESH_SECONDS old; ``aged`` is added to their age.

    Raises OperationalError where another thread's read takes longer than the request may wait.
    """
    global _ring  # noqa: PLW0603  the one cache of the process; its lock is beside it
    if is_old(_ring, aged):
        with deadlines.holding(_lock):
            if is_old(_ring, aged):  # another thread may have read them meanwhile
                _ring = read()
    return _ring


def is_old(ring: Ring, aged: float) -> bool:
    return ring.algorithm != settings.JWT_ALGORITHM or time.monotonic() - ring.read_at + aged >= REFRESH_SECONDS


def invalidate() -> None:
    """Read the database at the next call: this process has just changed the keys."""
    global _ring  # noqa: PLW0603  as above
    with _lock:
        _ring = Ring("", float("-inf"), None, {}, [])


def read() -> Ring:
    """Return the keys of the configured algorithm that are not retired, from the database."""
    now = timezone.now()
    rows = SigningKey.objects.filter(Q(retires_at=None) | Q(retires_at__gt=now), algorithm=settings.JWT_ALGORITHM)
    keys = list(rows.order_by("-signs_from", "-id"))
    due = (row for row in keys if row.signs_from <= now)
    signing = next((pair for pair in map(decrypted, due) if pair is not None), None)
    verifying = {row.kid: PyJWK(row.public_jwk, row.algorithm) for row in keys}
    jwks = [{**row.public_jwk, "kid": row.kid, "alg": row.algorithm, "use": "sig"} for row in keys]
    return Ring(settings.JWT_ALGORITHM, time.monotonic(), signing, verifying, jwks)


def decrypted(row: SigningKey) -> tuple[str, Any] | None:
    """Return (kid, private key), or log an error and return None where SECRET_KEY does not decrypt it."""
    try:
        return row.kid, load_pem_private_key(private_key_cipher().decrypt(bytes(row.private_key)), password=None)
    except InvalidToken:
        logger.error("%s was encrypted under a SECRET_KEY that is not here", row)  # noqa: TRY400  no keys in logs
        return None
