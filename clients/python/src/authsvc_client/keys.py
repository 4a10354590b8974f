"""The public keys that authsvc signs tokens with, as they were published lately."""

from __future__ import annotations

import re
from collections.abc import Callable
from threading import Lock
from typing import Any, NamedTuple

import httpx
import jwt

from authsvc_client.answers import SHORT, parsed
from authsvc_client.errors import Unavailable

# By algorithm, what a key of it is. None is symmetric: with a shared secret, whoever verifies could also sign.
KINDS = {"ES256": ("EC", "P-256"), "RS256": ("RSA", None), "EdDSA": ("OKP", "Ed25519")}
AGAIN = 1.0  # seconds before the keys are asked for once more, whatever the tokens say
DEFAULT_AGE, OLDEST = 300, 3600  # seconds that keys are kept: where the answer does not say, and at most
MAX_AGE = re.compile(r"(?:^|[\s,])max-age=\"?([0-9]{1,9})", re.IGNORECASE | re.ASCII)
NO_STORE = re.compile(r"(?:^|[\s,])(?:no-store|no-cache)\b", re.IGNORECASE)


class Known(NamedTuple):
    """The keys by ``kid``, until when they count, when they were last asked for, and what was wrong then, or ""."""

    keys: dict[str, jwt.PyJWK]
    until: float
    asked_at: float
    failure: str


class KeySet:
    """Keys of an address, good for any number of threads; ``clock`` is monotonic, in seconds."""

    def __init__(self, url: str, http: httpx.Client, clock: Callable[[], float]) -> None:
        self._url, self._http, self._clock = url, http, clock
        self._lock, self._known = Lock(), Known({}, float("-inf"), float("-inf"), "")

    def find(self, kid: str) -> jwt.PyJWK | None:
        """Return a key, None where there is none of this name. Asks anew when the keys are too old or do not have it,
        but at most once in AGAIN. Raises Unavailable where that failed and it therefore cannot be told."""
        known = self._known
        if not self._has(known, kid):
            with self._lock:  # of threads that miss the same key, one asks; those that miss none do not wait here
                known = self._known
                if not self._has(known, kid) and self._clock() - known.asked_at >= AGAIN:
                    known = self._known = self._ask(known)
        if not self._has(known, kid) and known.failure:
            raise Unavailable(known.failure)
        return known.keys.get(kid) if self._clock() < known.until else None

    def _has(self, known: Known, kid: str) -> bool:
        """Say whether a key is there and counts."""
        return kid in known.keys and self._clock() < known.until

    def _ask(self, before: Known) -> Known:
        """Return the keys as they are published now; the ones before, with what was wrong, where that fails."""
        asked_at = self._clock()
        try:
            with self._http.stream("GET", self._url) as response:
                body = b""
                for chunk in response.iter_raw():
                    body += chunk
                    if len(body) > SHORT:
                        return before._replace(asked_at=asked_at, failure="the keys are too long")
            if response.status_code != 200:
                return before._replace(asked_at=asked_at, failure=f"the keys: status {response.status_code}")
            keys = read(body)
        except (httpx.HTTPError, Unavailable) as error:
            return before._replace(asked_at=asked_at, failure=f"the keys: {type(error).__name__}")
        # At least until they may be asked for again, so that a max-age of 0 is not the end of all tokens.
        until = max(asked_at + age(response.headers), self._clock() + AGAIN)
        return Known(keys, until, asked_at, "" if keys else "no key is published, as under HS256")


def age(headers: httpx.Headers) -> int:
    """Return for how many seconds an answer may be kept (RFC 9111, sections 4.2.1 and 5.1)."""
    control, since = headers.get("Cache-Control", ""), headers.get("Age", "0")
    if NO_STORE.search(control):
        return 0
    found = MAX_AGE.search(control)
    seconds = int(found[1]) if found else DEFAULT_AGE
    return min(seconds, OLDEST) - (int(since) if since.isascii() and since.isdecimal() else 0)


def read(body: bytes) -> dict[str, jwt.PyJWK]:
    """Return the keys of a JWK Set that can verify our tokens; others are ignored (RFC 7517, section 5)."""
    found = parsed(body)
    listed = found.get("keys") if isinstance(found, dict) else None
    pairs = ((jwk.get("kid"), usable(jwk)) for jwk in listed or [] if isinstance(jwk, dict))
    return {kid: key for kid, key in pairs if isinstance(kid, str) and key is not None}


def usable(jwk: dict[str, Any]) -> jwt.PyJWK | None:
    """Return a key that is what its algorithm says, and is for signatures."""
    algorithm = str(jwk.get("alg"))
    if KINDS.get(algorithm) != (jwk.get("kty"), jwk.get("crv")) or jwk.get("use", "sig") != "sig":
        return None
    try:
        return jwt.PyJWK(jwk, algorithm)
    except (jwt.PyJWTError, ValueError, TypeError):
        return None
