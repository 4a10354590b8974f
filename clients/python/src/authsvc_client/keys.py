"""A cache of the public keys that verify authsvc's tokens."""

from __future__ import annotations

import re
from collections.abc import Callable
from threading import Lock
from typing import Any, NamedTuple

import httpx
import jwt

from authsvc_client.errors import Unavailable
from authsvc_client.responses import MAX_BODY, parse_json

# The type and curve of the keys of each algorithm. None is symmetric: who verifies with a shared secret could sign.
KINDS = {"ES256": ("EC", "P-256"), "RS256": ("RSA", None), "EdDSA": ("OKP", "Ed25519")}
RETRY_SECONDS = 1.0  # seconds between two requests for the keys, at least
DEFAULT_MAX_AGE, MAX_MAX_AGE = 300, 3600  # seconds that keys are cached: without a max-age, and at most
MAX_AGE = re.compile(r"(?:^|[\s,])max-age=\"?([0-9]{1,9})", re.IGNORECASE | re.ASCII)
NO_STORE = re.compile(r"(?:^|[\s,])(?:no-store|no-cache)\b", re.IGNORECASE)


class Known(NamedTuple):
    """The keys by ``kid``, when they expire, when they were last requested, and the error of that request, or ""."""

    keys: dict[str, jwt.PyJWK]
    until: float
    asked_at: float
    failure: str


class KeySet:
    """The key set at a URL. Thread-safe. ``clock`` is monotonic, in seconds."""

    def __init__(self, url: str, http: httpx.Client, clock: Callable[[], float]) -> None:
        self._url, self._http, self._clock = url, http, clock
        self._lock, self._known = Lock(), Known({}, float("-inf"), float("-inf"), "")

    def find(self, kid: str) -> jwt.PyJWK | None:
        """Return the key ``kid``, or None where there is none.

        Fetches the keys again when they have expired or lack it, at most once in RETRY_SECONDS. Raises Unavailable
        where that failed and the key is therefore unknown.
        """
        known = self._known
        if not self._has(known, kid):
            with self._lock:  # of the threads that miss a key, one fetches; the others do not wait here
                known = self._known
                if not self._has(known, kid) and self._clock() - known.asked_at >= RETRY_SECONDS:
                    known = self._known = self._fetch(known)
        if not self._has(known, kid) and known.failure:
            raise Unavailable(known.failure)
        return known.keys.get(kid) if self._clock() < known.until else None

    def _has(self, known: Known, kid: str) -> bool:
        return kid in known.keys and self._clock() < known.until

    def _fetch(self, before: Known) -> Known:
        """Return the keys as published now; on failure the previous ones, with the error."""
        asked_at = self._clock()
        try:
            with self._http.stream("GET", self._url) as response:
                body = b""
                for chunk in response.iter_raw():
                    body += chunk
                    if len(body) > MAX_BODY:
                        return before._replace(asked_at=asked_at, failure="the keys are too long")
            if response.status_code != 200:
                return before._replace(asked_at=asked_at, failure=f"the keys: status {response.status_code}")
            keys = read(body)
        except (httpx.HTTPError, Unavailable) as error:
            return before._replace(asked_at=asked_at, failure=f"the keys: {type(error).__name__}")
        # At least until they may be requested again, so that a max-age of 0 does not reject every token.
        until = max(asked_at + age(response.headers), self._clock() + RETRY_SECONDS)
        return Known(keys, until, asked_at, "" if keys else "no key is published, as under HS256")


def age(headers: httpx.Headers) -> int:
    """Return for how many seconds a response may be cached (RFC 9111, sections 4.2.1 and 5.1)."""
    control, since = headers.get("Cache-Control", ""), headers.get("Age", "0")
    if NO_STORE.search(control):
        return 0
    found = MAX_AGE.search(control)
    seconds = int(found[1]) if found else DEFAULT_MAX_AGE
    return min(seconds, MAX_MAX_AGE) - (int(since) if since.isascii() and since.isdecimal() else 0)


def read(body: bytes) -> dict[str, jwt.PyJWK]:
    """Return the keys of a JWK Set that can verify authsvc's tokens; others are ignored (RFC 7517, section 5)."""
    found = parse_json(body)
    listed = found.get("keys") if isinstance(found, dict) else None
    pairs = ((jwk.get("kid"), usable(jwk)) for jwk in listed or [] if isinstance(jwk, dict))
    return {kid: key for kid, key in pairs if isinstance(kid, str) and key is not None}


def usable(jwk: dict[str, Any]) -> jwt.PyJWK | None:
    """Return a signature key whose type fits its algorithm, or None for another."""
    algorithm = str(jwk.get("alg"))
    if KINDS.get(algorithm) != (jwk.get("kty"), jwk.get("crv")) or jwk.get("use", "sig") != "sig":
        return None
    try:
        return jwt.PyJWK(jwk, algorithm)
    except (jwt.PyJWTError, ValueError, TypeError):
        return None
