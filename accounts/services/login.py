"""Logging in, through the API and in the console."""

from __future__ import annotations

from typing import Any

from accounts.jwt.tokens import TokenPair
from accounts.models import User
from accounts.services import passwords, sessions
from audit import services as audit
from audit.events import Event
from authsvc.problems import InvalidCredential

# A login whose user changes meanwhile is authenticated again: a parallel login may have renewed the hash.
ATTEMPTS = 3


def log_in(*, username: str, password: str) -> TokenPair:
    """Return the tokens of a new session for a username or address. Raises what ``authenticate_password`` raises."""
    for _ in range(ATTEMPTS):
        pair = sessions.start(user=passwords.authenticate_password(username=username, password=password))
        if pair is not None:
            return pair
    raise InvalidCredential("user changed meanwhile")


def record_console_login(*, user: User, **signal: Any) -> None:
    """Record a login to the console (a receiver of Django's user_logged_in)."""
    audit.record(Event.USER_LOGGED_IN, actor=user, subject=user, reason="console")
