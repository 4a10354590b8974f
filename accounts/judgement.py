"""Whether an access token may be used, now: one function for whoever asks."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from accounts.jwt.tokens import AccessToken, read_access_token, refuse_others
from accounts.models import User
from accounts.queries import session_by_id
from accounts.services import sessions
from authsvc.problems import InvalidCredential


def judge(encoded: str, *, now: datetime, audience: str = "") -> tuple[User, AccessToken]:
    """Return the user behind a text, grants narrowed to what the token may do, and the token.

    ``audience`` is whom the caller asks for, where that is not this service itself. Raises InvalidCredential for a
    token that is not good in itself or for somebody else, whose session or other origin has ended, or whose user is
    disabled. One query; none for what is not good in itself.
    """
    token = read_access_token(encoded)
    refuse_others(token, audience)
    for claim, origin in origins.items():
        if claim in token:
            return origin(token, now), token
    raise InvalidCredential("origin", scheme=token.scheme)


def by_session(token: AccessToken, now: datetime) -> User:
    """Return the user of a token that a login gave out."""
    session = session_by_id(token.session_id)
    if session is None or not token.is_of(session):
        raise InvalidCredential("session unknown", scheme=token.scheme)
    if not session.is_live(now):
        raise InvalidCredential("session ended", scheme=token.scheme)
    if not session.user.is_active:
        raise InvalidCredential("user disabled", scheme=token.scheme)
    sessions.note_use(session=session, now=now)
    token.session = session
    return session.user


# By the claim that names where a token comes from, who judges that. An app that gives out tokens of its own adds to it.
origins: dict[str, Callable[[AccessToken, datetime], User]] = {"sid": by_session}
