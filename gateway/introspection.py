"""Introspects tokens and keys (RFC 7662). It only reads: no use is counted, and no rate limit."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from accounts.jwt.tokens import ISSUER, AccessToken, is_refresh_token, read_access_token, read_refresh_token
from accounts.queries import is_unspent
from accounts.verification import live_session
from apikeys import keys
from apikeys.models import APIKey
from apikeys.queries import key_by_digest
from apikeys.verification import rejection_reason
from authsvc.problems import InvalidCredential
from gateway.exchange import key_for_token

INACTIVE: dict[str, Any] = {"active": False}  # and nothing more, whatever is wrong (RFC 7662, section 2.2)


def introspect(text: str, *, now: datetime) -> dict[str, Any]:
    """Return the introspection of a text. A checksum or a signature rejects junk without a query."""
    if keys.is_well_formed(text):
        return introspect_key(text, now)
    # First as the type that it claims to be: the other type costs a second verification.
    readers = (
        (introspect_refresh_token, introspect_access_token)
        if is_refresh_token(text)
        else (introspect_access_token, introspect_refresh_token)
    )
    for read in readers:
        try:
            return read(text, now)
        except InvalidCredential:
            continue
    return INACTIVE


def introspect_key(text: str, now: datetime) -> dict[str, Any]:
    key = key_by_digest(keys.digest(text))
    if key is None or rejection_reason(key, now):
        return INACTIVE
    ends = min(end for end in (key.expires_at, key.secret.retires_at) if end is not None)
    return {
        "active": True,
        "scope": " ".join(sorted(key.effective_scopes)),
        "client_id": str(key.pk),
        "username": key.owner.username,
        "token_type": "api_key",
        "exp": int(ends.timestamp()),
        "iat": int(key.created_at.timestamp()),
        "sub": str(key.owner.pk),
        "iss": ISSUER,
        "jti": f"api_key:{key.secret.pk}",
    }


def introspect_access_token(text: str, now: datetime) -> dict[str, Any]:
    """Introspect an access token of a session or a key, for any audience. Raises InvalidCredential."""
    token = read_access_token(text)
    if "sid" in token:
        session = live_session(token, now)
        owner, held = session.user, session.user.scopes
    else:
        key = usable_key(token, now)
        owner, held = key.owner, key.effective_scopes
    scope = " ".join(sorted(held.intersection(str(token.get("scope", "")).split())))
    named = {claim: token[claim] for claim in ("client_id", "aud") if claim in token}
    return {
        "active": True,
        "scope": scope,
        "username": owner.username,
        "token_type": "bearer",
        **common_claims(token),
        **named,
    }


def introspect_refresh_token(text: str, now: datetime) -> dict[str, Any]:
    """Introspect a refresh token; a spent one is inactive. Raises InvalidCredential."""
    token = read_refresh_token(text)
    session = live_session(token, now)
    if not is_unspent(token.digest, session):
        return INACTIVE
    scope = " ".join(sorted(session.user.scopes))
    named = {"scope": scope, "username": session.user.username, "token_type": "refresh_token"}
    return {"active": True, **named, **common_claims(token)}


def common_claims(token: Any) -> dict[str, Any]:
    """Return the claims that a response repeats."""
    return {claim: token[claim] for claim in ("exp", "iat", "sub", "iss", "jti")}


def usable_key(token: AccessToken, now: datetime) -> APIKey:
    """Return the key of an exchanged token. Raises InvalidCredential where the key would be rejected."""
    key = key_for_token(token)
    if rejection_reason(key, now):
        raise InvalidCredential("key ended", scheme=token.scheme)
    return key
