"""Who may log in to the operator's console."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib.auth.backends import ModelBackend
from django.http import HttpRequest

from accounts.models import User
from accounts.services import passwords
from authsvc.api.throttling import limit_address
from authsvc.problems import InvalidCredential


class ConsoleBackend(ModelBackend):
    """Django's own for permissions and sessions; passwords are verified as in the API, lockout included."""

    def authenticate(
        self, request: HttpRequest | None, username: str | None = None, password: str | None = None, **kwargs: Any
    ) -> User | None:
        """Return the user with this username or address and password, or None. Raises RateLimited."""
        if not username or not password:
            return None
        limit_address(settings.LOGIN_RATE, "login")
        try:
            return passwords.authenticate_password(username=username, password=password, where="console")
        except (InvalidCredential, passwords.EmailNotConfirmed):
            return None
