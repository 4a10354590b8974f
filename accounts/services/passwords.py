"""Authenticating passwords, and changing them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.conf import settings
from django.contrib.auth.hashers import make_password
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import transaction

from accounts import signals
from accounts.models import Session, User
from accounts.services import lockout, sessions
from audit import services as audit
from audit.events import Event
from authsvc.problems import InvalidCredential, ProblemException
from authsvc.telemetry import metrics


class EmailNotConfirmed(ProblemException):
    """403: the password is right, and the address must be confirmed before a login."""

    status_code = 403
    default_detail = "The e-mail address of this account is not confirmed; open the link that was mailed to it."
    field, default_code = "email", "email_not_confirmed"


def authenticate_password(*, username: str, password: str, where: str = "") -> User:
    """Return the user with this username or address and password, grants loaded.

    Raises InvalidCredential, LockedOut after too many failures, or EmailNotConfirmed after the right password, which is
    not a failure. An unknown name costs the same bcrypt as a wrong password, and a disabled user or a service account
    is rejected after it (ASVS 5.0, 6.3.8), so that the time does not reveal who has an account. No transaction is open
    while bcrypt runs.
    """
    user: User | None = User.objects.known_as(username).first_with_grants()
    counted = lockout.counters(username, user)
    lockout.check_limits(counted)
    if user is None:
        make_password(password)
    reason = rejection_reason(user, password)
    if user is not None and reason is None:
        lockout.reset_on_success(counted)
        require_confirmed_email(user, where)
        metrics.logins.labels("ok").inc()
        return user
    lockout.count_failure(counted)
    metrics.logins.labels("failed").inc()
    # An unknown name is not recorded: people type passwords into the wrong field.
    audit.record(Event.USER_LOGIN_FAILED, subject=user, reason=f"{where}: {reason}".removeprefix(": "))
    raise InvalidCredential(str(reason))


def rejection_reason(user: User | None, password: str) -> str | None:
    """Return why this user cannot log in with this password, or None."""
    if user is None:
        return "user unknown"
    if not user.check_password(password):
        return "password wrong"
    if not user.is_active:
        return "user disabled"
    if user.is_service:
        return "service account"
    return None


def require_confirmed_email(user: User, where: str) -> None:
    """Raise EmailNotConfirmed, and record it, where REQUIRE_VERIFIED_EMAIL asks for an address that is confirmed."""
    if settings.REQUIRE_VERIFIED_EMAIL and user.email_verified_at is None:
        metrics.logins.labels("unconfirmed").inc()
        reason = f"{where}: address not confirmed".removeprefix(": ")
        audit.record(Event.USER_LOGIN_FAILED, subject=user, reason=reason)
        raise EmailNotConfirmed


def validate_strength(password: str, user: User, field: str = "password") -> None:
    """Raise the ValidationError of AUTH_PASSWORD_VALIDATORS, on ``field``."""
    try:
        validate_password(password, user)
    except ValidationError as error:
        raise ValidationError({field: error.error_list}) from error


def change(*, user: User, session: Session, current_password: str, new_password: str) -> None:
    """Change a password, given the current one, and end every other session.

    Raises ValidationError on ``current_password`` or ``new_password``, LockedOut after too many guesses.
    """
    held = User.objects.get(pk=user.pk)
    if not is_current(held, current_password):
        raise wrong_password()
    validate_strength(new_password, held, "new_password")
    if not replace(held, new_password, Event.USER_PASSWORD_CHANGED, except_session=session):
        raise wrong_password()  # a parallel change came first


def is_current(user: User, password: str) -> bool:
    """Return whether this is the password of a logged-in user. A failure counts like a failed login.

    Raises LockedOut.
    """
    counted = lockout.counters(user.username, user)
    lockout.check_limits(counted)
    if user.check_password(password):
        lockout.reset_on_success(counted)
        return True
    lockout.count_failure(counted)
    audit.record(Event.USER_LOGIN_FAILED, actor=user, subject=user, reason="password change: password wrong")
    return False


def wrong_password() -> ValidationError:
    message = "This is not the current password."
    return ValidationError({"current_password": ValidationError(message, code="invalid_password")})


def replace(
    held: User,
    password: str,
    event: Event,
    *,
    except_session: Session | None = None,
    revoke_keys: str = "",
    revoke_before: datetime | None = None,
    **columns: Any,
) -> bool:
    """Replace the password and end the sessions; return False where the user has changed since it was read.

    ``except_session`` is not ended. ``revoke_keys`` is the reason to revoke keys too, "" for none: those made before
    ``revoke_before``, or all. ``columns`` are written along.
    """
    hashed = make_password(password)  # bcrypt takes its time before the transaction, not inside it
    with transaction.atomic():
        same = User.objects.filter(pk=held.pk, is_active=True, password=held.password, email=held.email)
        if not same.filter(security_stamp=held.security_stamp).update(password=hashed, **columns):
            return False
        audit.record(event, actor=held, subject=held)
        sessions.end_all(user=held, reason="password changed", actor=held, except_session=except_session)
        if revoke_keys:
            signals.revoke_keys.send(sender=User, user=held, reason=revoke_keys, actor=held, before=revoke_before)
    return True
