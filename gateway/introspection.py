"""What a token or a key is and may do, now (RFC 7662). It only looks: nothing is counted, and no limit is used up."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from accounts.jwt.tokens import ISSUER, AccessToken, is_refresh_token, read_access_token, read_refresh_token
from accounts.models import Session
from accounts.queries import is_unspent, session_by_id
from apikeys import keys
from apikeys.judgement import fault, is_retired
from apikeys.models import APIKey
from apikeys.queries import key_by_digest
from authsvc.problems import InvalidCredential
from gateway.exchange import key_behind

INACTIVE: dict[str, Any] = {"active": False}  # and nothing more, whatever is wrong (RFC 7662, section 2.2)


def introspect(text: str, *, now: datetime) -> dict[str, Any]:
    """Return what is to be said of a text. Junk falls at a checksum or a signature, before the database is asked."""
    if keys.is_well_formed(text):
        return of_key(text, now)
    # First as what it claims to be: a second look costs another verification.
    looks = (of_refresh_token, of_access_token) if is_refresh_token(text) else (of_access_token, of_refresh_token)
    for look in looks:
        try:
            return look(text, now)
        except InvalidCredential:
            continue
    return INACTIVE


def of_key(text: str, now: datetime) -> dict[str, Any]:
    """Say what a key is."""
    key = key_by_digest(keys.digest(text))
    if key is None or is_retired(key.secret, now) or fault(key, now):
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


def of_access_token(text: str, now: datetime) -> dict[str, Any]:
    """Say what an access token is, of a session or of a key, whomever it is for. Raises InvalidCredential."""
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
        **shared(token),
        **named,
    }


def of_refresh_token(text: str, now: datetime) -> dict[str, Any]:
    """Say what a refresh token is: good for one refresh, or nothing. Raises InvalidCredential."""
    token = read_refresh_token(text)
    session = live_session(token, now)
    if not is_unspent(token.digest, session):
        return INACTIVE
    scope = " ".join(sorted(session.user.scopes))
    named = {"scope": scope, "username": session.user.username, "token_type": "refresh_token"}
    return {"active": True, **named, **shared(token)}


def shared(token: Any) -> dict[str, Any]:
    """Return the claims that an answer repeats."""
    return {claim: token[claim] for claim in ("exp", "iat", "sub", "iss", "jti")}


def live_session(token: Any, now: datetime) -> Session:
    """Return the session of a token. Raises InvalidCredential where it or its user is not good any more."""
    session = session_by_id(token.session_id)
    if session is None or not token.is_of(session) or not session.is_live(now) or not session.user.is_active:
        raise InvalidCredential("session ended", scheme=token.scheme)
    return session


def usable_key(token: AccessToken, now: datetime) -> APIKey:
    """Return the key of an exchanged token. Raises InvalidCredential where it is not good any more."""
    key = key_behind(token)
    if is_retired(key.secret, now) or fault(key, now):
        raise InvalidCredential("key ended", scheme=token.scheme)
    return key
