"""Access tokens verified without asking authsvc, by the keys that it publishes. Needs the extra ``offline``."""

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

from authsvc_client import questions
from authsvc_client.errors import Forbidden, Unauthenticated
from authsvc_client.identity import Headers, Identity
from authsvc_client.keys import KINDS, KeySet

ISSUER = "authsvc"
JWKS = "/.well-known/jwks.json"
TYPES = ("at+jwt", "application/at+jwt")  # RFC 9068, section 2.1
FORM = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
CHALLENGE = 'Bearer realm="authsvc"'
BAD = f'{CHALLENGE}, error="invalid_token"'


class OfflineVerifier:
    """Verifies access tokens by the published keys, which are kept for as long as their max-age says (an hour at most).

    **Revocation is not noticed here.** A logout, a disabled user, a role taken away, a revoked key: a token that was
    given out before stays good here until it expires, which is 30 minutes after a login by default
    (ACCESS_TOKEN_EXPIRE_MINUTES) and 5 minutes after an exchange at /auth/token. Only ``rotate_signing_key --at-once``
    ends tokens sooner, as soon as the keys are asked for again. Where that is too long, use ``AuthsvcClient``.

    API keys cannot be verified offline, nor tokens of a service that signs with HS256. ``audience`` is this service's
    name: then only tokens for it are good, and without it only tokens for nobody in particular. ``leeway`` is how many
    seconds the clocks may differ. Good for any number of threads.
    """

    def __init__(
        self,
        base_url: str | None = None,
        *,
        jwks_url: str | None = None,
        audience: str | None = None,
        leeway: float = 0,
        timeout: float | httpx.Timeout = questions.TIMEOUT,
        transport: httpx.BaseTransport | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if (base_url is None) == (jwks_url is None):
            raise TypeError("Give base_url, or jwks_url.")
        self.jwks_url = questions.base_of(jwks_url) if jwks_url else questions.base_of(base_url or "") + JWKS
        self.audience, self.leeway = audience, leeway
        self._http = httpx.Client(**questions.options(timeout, transport))
        self._keys = KeySet(self.jwks_url, self._http, clock)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.jwks_url}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection that is kept."""
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
        """Return who a token was given to, if it is good in itself and has all of these scopes and roles.

        ``audience`` counts instead of the verifier's own; ``client_address`` is for verifiers that ask, and no token
        is bound to one. Raises Unauthenticated, Forbidden, or Unavailable where the keys cannot be had.
        """
        token = bearer(questions.credentials(headers, credential))
        claims = self._claims(token, audience or self.audience)
        identity = None if claims is None else identity_of(claims)
        if identity is None:
            raise Unauthenticated(BAD)
        if not identity.may(scopes=scopes, roles=roles):
            raise Forbidden
        return identity

    def _claims(self, token: str, audience: str | None) -> dict[str, Any] | None:
        """Return the claims of a token that is ours, in date, and for this audience; None for another."""
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
    """The same for coroutines: in a thread, since asking for the keys and checking a signature would block the loop."""

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
        """As ``OfflineVerifier.verify``."""
        wanted: dict[str, Any] = {"scopes": scopes, "roles": roles, "audience": audience}
        return await anyio.to_thread.run_sync(
            partial(self.verifier.verify, headers, credential=credential, client_address=client_address, **wanted)
        )


def bearer(sent: dict[str, bytes]) -> str:
    """Return the token of a request. Raises Unauthenticated where there is none, or one that is none in form."""
    scheme, _, token = sent.get(questions.AUTHORIZATION, b"").decode().partition(" ")
    if scheme.lower() != "bearer":
        raise Unauthenticated(CHALLENGE)
    token = token.lstrip(" ")  # several spaces may separate the two (RFC 9110, section 11.4)
    if len(token) > questions.LONGEST or not FORM.fullmatch(token):
        raise Unauthenticated(BAD)
    return token


def identity_of(claims: dict[str, Any]) -> Identity | None:
    """Return who the claims of a good token are about; None where they are not an access token's."""
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
