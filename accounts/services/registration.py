"""Sign-up, and the accounts of services."""

from __future__ import annotations

import logging
from contextlib import suppress

from django.contrib.auth.hashers import make_password
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts.models import User
from accounts.names import fold
from accounts.services import mail_links, passwords
from audit import services as audit
from audit.events import Event

logger = logging.getLogger(__name__)

TAKEN = {"username": "This username is taken.", "email": "This e-mail address is taken."}


def sign_up(*, email: str, username: str, password: str) -> User:
    """Create a user and mail a link that confirms the address. A mail that fails does not fail the sign-up.

    Raises ValidationError by field: "unique" for a duplicate name or address, in any case and Unicode form, and the
    codes of Django's validators. Of concurrent sign-ups with one name the database accepts one.
    """
    user = User(username=fold(username), email=email, confirmation_sent_at=timezone.now())
    user.set_unusable_password()
    user.clean_fields()
    ensure_unique(user)
    passwords.validate_strength(password, user)
    user.password = make_password(password)  # bcrypt takes its time before the transaction, not inside it
    try:
        with transaction.atomic():
            user.save(force_insert=True)
            audit.record(Event.USER_SIGNED_UP, actor=user, subject=user)
    except IntegrityError as error:
        clashes = [field for field in TAKEN if f"accounts_user_{field}_unique" in str(error)]
        raise duplicate_error(clashes) from error
    user.set_grants(None, None)
    try:
        mail_links.send_confirmation(user)
    except Exception:  # the user is there: to answer with an error would have the client try again in vain
        logger.exception("a confirmation could not be mailed")
    return user


@transaction.atomic
def get_or_create_service_account(*, name: str) -> User:
    """Return the service account of that name, created where there is none: no password, no address, no login.

    Raises ValidationError on ``service`` where a person has the name. Parallel calls return the same account.
    """
    fresh = User(username=fold(name), is_service=True)
    fresh.set_unusable_password()
    fresh.clean_fields()
    if not User.objects.named(name).exists():
        with suppress(IntegrityError), transaction.atomic():  # created by a parallel call
            fresh.save(force_insert=True)
            audit.record(Event.USER_CREATED, subject=fresh, reason="service account")
    user: User = User.objects.named(name).first_with_grants()
    if not user.is_service:
        message = f"{user.username} is a person's account; give it with --user."
        raise ValidationError({"service": ValidationError(message, code="not_a_service")})
    return user


def ensure_unique(user: User) -> None:
    """Raise the ValidationError for each duplicate of a new user's name and address, before any hashing."""
    held = {"username": User.objects.named(user.username), "email": User.objects.with_email(user.email)}
    clashes = [field for field, holders in held.items() if holders.exists()]
    if clashes:
        raise duplicate_error(clashes)


def duplicate_error(fields: list[str]) -> ValidationError:
    return ValidationError({field: ValidationError(TAKEN[field], code="unique") for field in fields})
