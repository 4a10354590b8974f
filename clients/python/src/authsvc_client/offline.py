"""Verifies access tokens with the keys that authsvc publishes, without a call. Needs the extra ``offline``."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable
from functools import partial
from types import TracebackType
from typing import Any, Self

import anyio.to_thread
import httpx
import jwt

from authsvc_client import requests
from authsvc_client.errors import BEARER_CHALLENGE, Forbidden, Unauthenticated
from authsvc_client.identity import Headers, Identity
from authsvc_client.keys import KINDS, KeySet

ISSUER = "authsvc"
JWKS = "/.well-known/jwks.json"
TYPES = ("at+jwt", "application/at+jwt")  # RFC 9068, section 2.1
JWT_PATTERN = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
INVALID_TOKEN = f'{BEARER_CHALLENGE}, error="invalid_token"'


class OfflineVerifier:
    """Verifies access tokens with the published keys, which it caches for their max-age (an hour at most).

    **Revocation is not noticed here.** After a logout, a disabled user, a revoked role or a revoked key, a token stays
    valid here until it expires: by default 30 minutes after a login (ACCESS_TOKEN_EXPIRE_MINUTES), and 5 minutes after
    an exchange at /auth/token. Only ``rotate_signing_key --at-once`` ends tokens sooner, once the keys are fetched
    again. Where that is too long, use ``AuthsvcClient``.

    API keys cannot be verified offline, and neither can tokens signed with HS256. ``audience`` is this service's name:
    with it only tokens for that audience are valid, without it only tokens without an audience. ``leeway`` is the
    difference between the clocks that is tolerated, in seconds. Thread-safe.
    """

    def __init__(
        self,
        base_url: str | None = None,
        *,
        jwks_url: str | None = None,
        audience: str | None = None,
        leeway: float = 0,
        timeout: float | httpx.Timeout = requests.TIMEOUT,
        transport: httpx.BaseTransport | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if (base_url is None) == (jwks_url is None):
            raise TypeError("Give base_url, or jwks_url.")
        self.jwks_url = (
            requests.normalize_base_url(jwks_url) if jwks_url else requests.normalize_base_url(base_url or "") + JWKS
        )
        self.audience, self.leeway = audience, leeway
        self._http = httpx.Client(**requests.client_options(timeout, transport))
        self._keys = KeySet(self.jwks_url, self._http, clock)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.jwks_url}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the pooled connection."""
        self._http.close()

    def verify(
        self,
        headers: Headers | None = None,
        *,
        credential: str | None = None,
        scopes: Iterable[str] = (),
        roles: Iterable[str] = (),
        audience: str | None = None,
        client_address: str | None = None,
    ) -> Identity:
        """Return the identity of a valid token that has all of ``scopes`` and ``roles``.

        ``audience`` overrides the verifier's own. ``client_address`` is ignored: no token is bound to an address.
        Raises Unauthenticated, Forbidden, or Unavailable where the keys cannot be fetched.
        """
        token = bearer(requests.credential_headers(headers, credential))
        claims = self._claims(token, audience or self.audience)
        identity = None if claims is None else identity_of(claims)
        if identity is None:
            raise Unauthenticated(INVALID_TOKEN)
        if not identity.may(scopes=scopes, roles=roles):
            raise Forbidden
        return identity

    def _claims(self, token: str, audience: str | None) -> dict[str, Any] | None:
        """Return the claims of a token that authsvc issued for this audience and that has not expired, or None."""
        try:
            header = jwt.get_unverified_header(token)
            kid, kind = header.get("kid"), str(header.get("typ")).lower()
            if header.get("alg") not in KINDS or not isinstance(kid, str) or kind not in TYPES or "crit" in header:
                return None
            key = self._keys.find(kid)
            if key is None:
                return None
            return jwt.decode(
                token,
                key,
                algorithms=[key.algorithm_name],  # the key's, whatever the token says (RFC 8725, section 3.1)
                issuer=ISSUER,
                audience=audience,
                leeway=self.leeway,
                options={"require": ["exp", "iat", "iss", "sub"]},
            )
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError):
            return None


class AsyncOfflineVerifier:
    """``OfflineVerifier`` for coroutines: it runs in a thread, since fetching keys would block the event loop."""

    def __init__(self, verifier: OfflineVerifier) -> None:
        self.verifier = verifier

    async def verify(
        self,
        headers: Headers | None = None,
        *,
        credential: str | None = None,
        scopes: Iterable[str] = (),
        roles: Iterable[str] = (),
        audience: str | None = None,
        client_address: str | None = None,
    ) -> Identity:
        """See ``OfflineVerifier.verify``."""
        wanted: dict[str, Any] = {"scopes": scopes, "roles": roles, "audience": audience}
        return await anyio.to_thread.run_sync(
            partial(self.verifier.verify, headers, credential=credential, client_address=client_address, **wanted)
        )


def bearer(sent: dict[str, bytes]) -> str:
    """Return the bearer token of a request. Raises Unauthenticated where it is absent or malformed."""
    scheme, _, token = sent.get(requests.AUTHORIZATION, b"").decode().partition(" ")
    if scheme.lower() != "bearer":
        raise Unauthenticated(BEARER_CHALLENGE)
    token = token.lstrip(" ")  # several spaces may separate the two (RFC 9110, section 11.4)
    if len(token) > requests.MAX_TOKEN_LENGTH or not JWT_PATTERN.fullmatch(token):
        raise Unauthenticated(INVALID_TOKEN)
    return token


def identity_of(claims: dict[str, Any]) -> Identity | None:
    """Return the identity in the claims of a verified token, or None where it is not an access token."""
    subject, key_id, scope = claims["sub"], claims.get("client_id"), claims.get("scope", "")
    roles = claims.get("roles", [])
    if not (
        claims.get("token_type") == "access"
        and all(isinstance(text, str) for text in (subject, scope, key_id or ""))
        and isinstance(roles, list)
        and all(isinstance(role, str) for role in roles)
        and subject
    ):
        return None
    return Identity(subject, "", "jwt", key_id or None, frozenset(roles), frozenset(scope.split()))
