"""Exchanges a key for a token of five minutes, which other services can verify themselves."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from django.conf import settings
from django.core.exceptions import ValidationError

from accounts.jwt import bindings
from accounts.jwt.tokens import EXCHANGED_LIFETIME, AccessToken
from accounts.models import User
from apikeys.models import APIKey
from apikeys.queries import key_by_secret_id
from apikeys.recording import count_use, record_rejection
from apikeys.verification import KeyRejected, authorize_use
from authsvc.problems import InvalidCredential
from authsvc.request.context import current

TOKEN_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"  # noqa: S105  RFC 8693, section 2.1
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105  RFC 8693, section 3


class ExchangedToken(NamedTuple):
    """The result of an exchange (RFC 6749, section 5.1)."""

    access_token: str
    expires_in: int
    scope: str


class KeyToken(AccessToken):
    """An access token that a key was exchanged for: ``client_id`` is the key's id, ``sub`` its owner's.

    ``secret_id`` is the secret that was used and ``bind`` a hash of it, so the token ends with that secret. Services
    that verify it offline may accept it until it expires.
    """

    lifetime = EXCHANGED_LIFETIME


def exchange(*, key: APIKey, now: datetime, scope: str | None = None, audience: str = "") -> ExchangedToken:
    """Return a token for an authenticated key.

    ``scope`` is a space-separated part of the key's scopes, and None all of them. The token expires no later than the
    key and the secret that was used. Raises ValidationError on ``scope`` (RFC 6749, section 5.2).
    """
    held = key.owner.scopes
    wanted = held if scope is None else frozenset(scope.split())
    if wanted - held:
        message = "The key does not have every scope asked for."
        raise ValidationError({"scope": ValidationError(message, code="invalid_scope")})
    token = KeyToken()
    token["sub"], token["client_id"] = str(key.owner.pk), str(key.pk)
    token["secret_id"], token[bindings.CLAIM] = str(key.secret.pk), key.secret.binding
    token["roles"], token["scope"] = [], " ".join(sorted(wanted))
    if audience or settings.JWT_AUDIENCE:
        token["aud"] = audience or settings.JWT_AUDIENCE
    ends = [end for end in (now + EXCHANGED_LIFETIME, key.expires_at, key.secret.retires_at) if end is not None]
    token["exp"] = int(min(ends).timestamp())
    return ExchangedToken(str(token), max(0, token["exp"] - int(now.timestamp())), token["scope"])


def verify_key_token(token: AccessToken, now: datetime) -> User:
    """Return the owner of the key that a token was exchanged for, and count a use of the key.

    What the owner may do is narrowed to the token's scopes ∩ the key's ∩ the owner's. Raises InvalidCredential where
    the key itself would be rejected, and RateLimited.
    """
    key = key_for_token(token)
    try:
        authorize_use(key, now=now, context=current.get())
    except KeyRejected as rejection:
        record_rejection(key, rejection.outcome, rejection.reason, now=now)
        raise InvalidCredential(rejection.reason, scheme=token.scheme) from rejection
    token.headers = count_use(key, now=now)
    key.owner.scopes = key.owner.scopes.intersection(str(token.get("scope", "")).split())
    return key.owner


def key_for_token(token: AccessToken) -> APIKey:
    """Return the key that was exchanged for a token, in any state, with the secret that was used.

    Raises InvalidCredential.
    """
    named = (token.user_id, token.id_claim("client_id"), token.id_claim("secret_id"))
    key = key_by_secret_id(named[-1])
    if key is None or (key.owner.pk, key.pk, key.secret.pk) != named:
        raise InvalidCredential("key unknown", scheme=token.scheme)
    if not bindings.is_bound(token, key.secret.binding):  # the ids were assigned again after a restore
        raise InvalidCredential("another secret", scheme=token.scheme)
    return key
