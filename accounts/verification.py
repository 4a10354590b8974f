"""Whether an access token may be used now: one function for the API, forward auth and the gateway."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from accounts.jwt.tokens import AccessToken, ServiceToken, check_audience, read_access_token
from accounts.models import Session, User
from accounts.queries import session_by_id
from accounts.services import sessions
from authsvc.problems import InvalidCredential


def verify_access_token(encoded: str, *, now: datetime, audience: str = "") -> tuple[User, AccessToken]:
    """Return the user of a token, with scopes and roles narrowed to what the token may do, and the token.

    ``audience`` is the service that the caller verifies for, "" for this one. Raises InvalidCredential for a token that
    is not valid in itself or is for another audience, and what the verifier of its origin raises. One query; none for
    a token that is not valid in itself.
    """
    token = read_access_token(encoded)
    check_audience(token, audience)
    for claim, verify in token_verifiers.items():
        if claim in token:
            return verify(token, now), token
    raise InvalidCredential("origin", scheme=token.scheme)


def verify_session_token(token: AccessToken, now: datetime) -> User:
    """Return the user of a token from a login, and record that its session was used."""
    token.session = session = live_session(token, now)
    sessions.record_use(session=session, now=now)
    return session.user


def live_session(token: ServiceToken, now: datetime) -> Session:
    """Return the session of a token, with its user's scopes and roles. Raises InvalidCredential."""
    session = session_by_id(token.session_id)
    if session is None or not token.belongs_to(session):
        raise InvalidCredential("session unknown", scheme=token.scheme)
    reason = rejection_reason(session, now)
    if reason is not None:
        raise InvalidCredential(reason, scheme=token.scheme)
    return session


def rejection_reason(session: Session, now: datetime) -> str | None:
    """Return why the tokens of a session cannot be used, or None where they can."""
    if not session.is_live(now):
        return "session ended"
    if not session.user.is_active:
        return "user disabled"
    return None


# The claim that names where a token comes from, and the function that verifies that. Apps that issue tokens add theirs.
token_verifiers: dict[str, Callable[[AccessToken, datetime], User]] = {"sid": verify_session_token}
