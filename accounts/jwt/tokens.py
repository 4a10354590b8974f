"""JSON Web Tokens (RFC 7519), with simplejwt: the claims that we issue and the tokens that we accept."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from datetime import timedelta
from functools import lru_cache
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar

import jwt
from django.conf import settings
from django.utils import timezone
from django.utils.functional import cached_property
from rest_framework_simplejwt import tokens
from rest_framework_simplejwt.backends import TokenBackend
from rest_framework_simplejwt.exceptions import TokenBackendError, TokenError

from accounts.jwt import bindings, keyring
from accounts.jwt.decoder import decoder
from accounts.models import Session, User
from authsvc.ids import parse_id
from authsvc.problems import InvalidCredential

MAX_LENGTH = 16_000  # characters; what fits into a header field of 16 KiB beside its name and scheme
# Three parts in base64url without padding (RFC 7515, section 7.1); the decoder itself accepts other forms.
FORM = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
MAX_HEADER_LENGTH = 200  # characters of the header of a token of ours
ISSUER = "authsvc"
EXCHANGED_LIFETIME = timedelta(minutes=5)  # of the tokens that a key is exchanged for, at most


class AccessBackend(TokenBackend):
    """How access tokens are signed and verified: the configured algorithm, whatever a header says (RFC 8725, 3.1).

    The header's ``typ`` must name this kind of token (RFC 8725, 3.11).
    """

    typ = "at+jwt"  # RFC 9068, section 2.1

    def __init__(self, algorithm: str) -> None:
        super().__init__(algorithm, issuer=ISSUER)

    def find_signing_key(self) -> tuple[str | None, Any]:
        """Return (kid, key)."""
        return keyring.signing_key()

    def find_verification_keys(self, token: Any) -> list[Any]:
        """Return the keys that may have signed. Raises InvalidTokenError for a header that cannot be read."""
        if self.algorithm == keyring.SYMMETRIC:
            return keyring.hmac_keys()
        return keyring.verification_keys(jwt.get_unverified_header(token).get("kid"))

    def encode(self, payload: dict[str, Any]) -> str:
        kid, key = self.find_signing_key()
        claims = {**payload, "iss": self.issuer}
        headers = {"typ": self.typ} if kid is None else {"typ": self.typ, "kid": kid}
        return jwt.encode(claims, key, algorithm=self.algorithm, headers=headers)

    def decode(self, token: Any, verify: bool = True) -> dict[str, Any]:
        """Return the claims. Raises TokenBackendError. The clock's leeway is for ``nbf`` and ``iat``: simplejwt's own
        look at ``exp`` after this one gives none."""
        try:
            for key in self.find_verification_keys(token):
                try:
                    verified = decoder.decode_complete(
                        token,
                        key,
                        algorithms=[self.algorithm],
                        issuer=self.issuer,
                        leeway=settings.JWT_LEEWAY_SECONDS,
                        options={"verify_aud": False},  # check_audience does that
                    )
                except jwt.InvalidSignatureError:
                    continue
                if not self.is_own_type(verified["header"].get("typ")):
                    raise TokenBackendError("another type of token")
                claims: dict[str, Any] = verified["payload"]
                return claims
        except jwt.InvalidTokenError as error:
            raise TokenBackendError("malformed or out of date") from error
        raise TokenBackendError("signature")

    def is_own_type(self, typ: Any) -> bool:
        """Return whether a ``typ`` is this kind's, in any case, with or without ``application/`` (RFC 7515, 4.1.9)."""
        return isinstance(typ, str) and typ.lower().removeprefix("application/") == self.typ


class RefreshBackend(AccessBackend):
    """Refresh tokens are always signed with HS256 and SECRET_KEY: only this service reads them."""

    typ = "rt+jwt"

    def find_signing_key(self) -> tuple[str | None, Any]:
        return None, settings.SECRET_KEY


@lru_cache(maxsize=8)
def backend(kind: type[AccessBackend], algorithm: str) -> AccessBackend:
    return kind(algorithm)


class ServiceToken:
    """The claims of both kinds of token: a user in ``sub`` and a session in ``sid``."""

    # The authentication scheme that carries it; "" for one that comes in a body.
    scheme = ""

    @cached_property
    def user_id(self) -> int:
        """The user's id. Raises InvalidCredential for a claim that is not an id."""
        return self.id_claim("sub")

    @property
    def session_id(self) -> int:
        """The session's id. Raises InvalidCredential for a claim that is not an id."""
        return self.id_claim("sid")

    def belongs_to(self, session: Session) -> bool:
        """Return whether it was issued for this session, and not for one with the same id from before a restore."""
        return self.user_id == session.user_id and bindings.is_bound(self, session.binding)

    def id_claim(self, claim: str) -> int:
        """Return the id in a claim, written as a string. Raises InvalidCredential."""
        found = parse_id(self.get(claim))  # type: ignore[attr-defined]  # simplejwt's token, which this is mixed into
        if found is None:
            raise InvalidCredential(f"claim {claim}", scheme=self.scheme)
        return found


class AccessToken(ServiceToken, tokens.AccessToken):
    """A short-lived bearer token. Its roles and scopes are for other services; this one reads its database."""

    scheme = "Bearer"
    method = "jwt"
    # Set by verification; None for a token without a session.
    session: Session | None = None
    # What its use adds to the response, such as the headers of a rate limit.
    headers: Mapping[str, str] = MappingProxyType({})

    @property
    def lifetime(self) -> timedelta:  # type: ignore[override]  # bound at import there; settings are read when used
        return timedelta(minutes=settings.ACCESS_TOKEN_EXPIRE_MINUTES)

    @property
    def token_backend(self) -> TokenBackend:
        return backend(AccessBackend, settings.JWT_ALGORITHM)

    @property
    def key_id(self) -> Any:
        """The id of the key that was exchanged for it; None for a token of a session."""
        return self.get("client_id")

    @cached_property
    def audiences(self) -> set[str]:
        """The ``aud`` claim (RFC 7519, 4.1.3). Raises InvalidCredential unless it is a name or a list of names."""
        named = self.get("aud", [])
        names = [named] if isinstance(named, str) else named
        if not (isinstance(names, list) and all(isinstance(name, str) for name in names)):
            raise InvalidCredential("audience", scheme=self.scheme)
        return set(names)


class RefreshToken(ServiceToken, tokens.RefreshToken):  # type: ignore[misc]  # the stubs of its bases disagree
    """A token that is exchanged once for a new pair. It expires with its session."""

    @property
    def lifetime(self) -> timedelta:  # type: ignore[override]  # as above
        return timedelta(days=settings.REFRESH_TOKEN_EXPIRE_DAYS)

    @property
    def token_backend(self) -> TokenBackend:
        return backend(RefreshBackend, keyring.SYMMETRIC)

    @property
    def digest(self) -> bytes:
        """What is stored: the SHA-256 of ``jti``, which has 122 random bits."""
        return hashlib.sha256(str(self.get("jti")).encode()).digest()


T = TypeVar("T", AccessToken, RefreshToken)


class TokenPair(NamedTuple):
    """The encoded tokens of a login or a refresh, and the seconds until the access token expires."""

    access_token: str
    refresh_token: str
    expires_in: int


def issue_pair(user: User, session: Session) -> tuple[TokenPair, bytes]:
    """Return new tokens of a session and the refresh token's digest; neither token outlives the session.

    ``user`` has its roles and scopes loaded. Raises NoSigningKey.
    """
    access, refresh = AccessToken(), RefreshToken()
    access["sub"] = refresh["sub"] = str(user.pk)
    access["sid"] = refresh["sid"] = str(session.pk)
    if session.binding is not None:
        access[bindings.CLAIM] = refresh[bindings.CLAIM] = session.binding
    access["roles"], access["scope"] = list(user.roles), " ".join(sorted(user.scopes))
    if settings.JWT_AUDIENCE:
        access["aud"] = settings.JWT_AUDIENCE
    refresh["exp"] = int(session.expires_at.timestamp())
    access["exp"] = min(access["exp"], refresh["exp"])
    expires_in = max(0, access["exp"] - int(timezone.now().timestamp()))
    return TokenPair(str(access), str(refresh), expires_in), refresh.digest


def read_access_token(encoded: str) -> AccessToken:
    """Return the access token behind a text, once its signature, dates and type are verified.

    Raises InvalidCredential for anything else. RFC 8725 (JWT best current practices), sections 3.1, 3.2 and 3.11:
    the algorithm is the configured one whatever the header says, and a refresh token is not an access token.
    """
    token = read(AccessToken, encoded)
    token.audiences, token.user_id  # noqa: B018  reading them validates them
    return token


def check_audience(token: AccessToken, audience: str = "") -> None:
    """Raise InvalidCredential for a token of another audience than ``audience``, or than JWT_AUDIENCE without one.

    A token without an audience passes where neither is set.
    """
    named, wanted = token.audiences, audience or settings.JWT_AUDIENCE
    if "aud" not in token and (audience or not settings.JWT_AUDIENCE):
        return
    if not wanted or wanted not in named:
        raise InvalidCredential("audience", scheme=token.scheme)


def read_refresh_token(encoded: str) -> RefreshToken:
    """Return the refresh token behind a text. Raises InvalidCredential."""
    return read(RefreshToken, encoded)


def is_refresh_token(encoded: str) -> bool:
    """Return whether a text claims to be a refresh token. Nothing is verified."""
    head = encoded[:MAX_HEADER_LENGTH].partition(".")[0]
    try:
        return f'"{RefreshBackend.typ}"'.encode() in base64.urlsafe_b64decode(head + "=" * (-len(head) % 4))
    except ValueError:
        return False


def read(kind: type[T], encoded: str) -> T:
    scheme = kind.scheme
    if len(encoded) > MAX_LENGTH or not FORM.fullmatch(encoded):
        raise InvalidCredential("malformed", scheme=scheme)
    try:
        return kind(encoded)  # type: ignore[arg-type]  # simplejwt's annotation is wrong: it takes the text
    except TokenError as error:
        raise InvalidCredential(str(error), scheme=scheme) from error
    except (RecursionError, ValueError, TypeError, OverflowError, OSError) as error:
        # A thousand nested brackets end in json and not in PyJWT; a time beyond the calendar, in simplejwt.
        raise InvalidCredential("malformed", scheme=scheme) from error
