"""The tokens in mailed links: signed, not stored, and bound to the state that their use changes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from datetime import timedelta

from django.conf import settings
from django.core import signing
from django.core.exceptions import ValidationError
from django.utils.crypto import constant_time_compare, salted_hmac
from django.utils.http import base36_to_int, int_to_base36

from accounts.models import User
from authsvc.ids import MAX_ID

MESSAGES = {
    "invalid": "This link is not valid.",
    "used": "This link has been used already, or the account has changed since it was mailed.",
    "expired": "This link has expired; ask for a new one.",
}


def link_error(code: str) -> ValidationError:
    """Return the error of a link that is ``invalid``, ``used`` or ``expired``."""
    return ValidationError({"token": ValidationError(MESSAGES[code], code=code)})


class LinkTokens(ABC):
    """The tokens of one purpose: a user's id, a MAC of the user's state, and the time, signed together.

    The signature shows that this service made the link, and the MAC that the user's state has not changed since.
    """

    salt = ""

    @abstractmethod
    def state_of(self, user: User) -> str:
        """Return the state that a token is bound to: the token is void once it changes."""

    def is_done(self, user: User) -> bool:
        """Return whether the user already has what the token is for; its age then does not matter."""
        return False

    def make(self, user: User) -> str:
        return self._signer().sign(f"{int_to_base36(user.pk)}-{self._mac(user, settings.SECRET_KEY)}")

    def find(self, token: str) -> User:
        """Return the user of a valid token. Raises ValidationError on ``token``, with a code of MESSAGES."""
        try:
            number, _, mac = self._signer().unsign(token).partition("-")
        except signing.BadSignature as error:
            raise link_error("invalid") from error
        user: User | None = User.objects.filter(
            pk=min(base36_to_int(number), MAX_ID), is_active=True, is_service=False
        ).first()
        if user is None:
            raise link_error("invalid")
        keys = (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)
        if not any(constant_time_compare(self._mac(user, key), mac) for key in keys):
            raise link_error("used")
        if not self.is_done(user) and self._is_expired(token):
            raise link_error("expired")
        return user

    def _is_expired(self, token: str) -> bool:
        try:
            self._signer().unsign(token, max_age=timedelta(seconds=settings.PASSWORD_RESET_TIMEOUT))
        except signing.SignatureExpired:
            return True
        return False

    def _signer(self) -> signing.TimestampSigner:
        return signing.TimestampSigner(salt=self.salt, sep=".", algorithm="sha256")

    def _mac(self, user: User, key: str) -> str:
        return salted_hmac(self.salt, self.state_of(user), secret=key, algorithm="sha256").hexdigest()[:32]


class ResetTokens(LinkTokens):
    """Void after another password, another address or a login of the console."""

    salt = "authsvc password reset"

    def state_of(self, user: User) -> str:
        return f"{user.pk} {user.password} {user.email} {user.last_login} {user.security_stamp}"


class ConfirmationTokens(LinkTokens):
    """Void after another address; a link that has confirmed its address can be opened again."""

    salt = "authsvc address confirmation"

    def state_of(self, user: User) -> str:
        return f"{user.pk} {user.email} {user.security_stamp}"

    def is_done(self, user: User) -> bool:
        return user.email_verified_at is not None


reset_tokens, confirmation_tokens = ResetTokens(), ConfirmationTokens()
