"""Mailed links that set a new password or confirm an address, once, within 30 minutes."""

from __future__ import annotations

import hashlib
import re
from contextlib import suppress
from typing import Any
from urllib.parse import quote

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone

from accounts import authority, signals
from accounts.authority import Right
from accounts.link_tokens import confirmation_tokens, link_error, reset_tokens
from accounts.models import User
from accounts.services import lockout
from accounts.services.passwords import replace, validate_strength
from audit import services as audit
from audit.events import Event
from authsvc import mail, mailboxes, ratelimit

MAILS = "5/hour"  # to one address for one purpose; more are silently dropped, since the response must reveal nothing

REFUSED, COUNTED = "1/day", "1000000/day"

RESET_MAIL = """\
Somebody, most likely you, asked to set a new password for {username}.

To do so within {minutes} minutes, open

    {link}

{keys}If it was not you, leave it: nothing has changed, and nobody can do anything without this mail.
"""

KEYS = """\
This address was never confirmed, so these API keys of the account may be somebody else's. A new password revokes them:

{listed}

{choice}"""

EARLIER_KEYS = """\
These API keys were made before this address was confirmed:

{listed}

If you did not make them, revoke them: send "keep_keys": false with the new password.

"""

CHOICE = """\
To keep them, which you should only do if you made them yourself, send "keep_keys": true with the new password.

"""
LISTED_KEYS = 20  # in a mail; more are counted
UNLINKED = re.compile(r"[^\w ()#+-]")  # a key's name is anybody's text: nothing in it may become a link

CONFIRMATION_MAIL = """\
Somebody, most likely you, gave this address for the account {username}.

To confirm it within {minutes} minutes, open

    {link}

If you did not sign up, leave it: whoever did could use the account under your address.
"""


def request_password_reset(*, email: str) -> None:
    """Mail a one-time link to the user of an address; an unknown address takes the same work and the same response."""
    user = User.objects.with_email(email).filter(is_active=True, is_service=False).first()
    if user is not None and not user.has_usable_password():  # an operator has taken it away, and that stays
        user = None
    audit.record(Event.USER_PASSWORD_RESET_ASKED, subject=user, reason="" if user else "nobody to send it to")
    user = user or placeholder_user(email)
    token = reset_tokens.make(user)
    send(user, "Set a new password", RESET_MAIL, "reset-password", token, keys=describe_keys(user))


def describe_keys(user: User) -> str:
    """Return the part of a reset mail on keys made before the address was confirmed; "" where there are none."""
    confirmed_at = user.email_verified_at
    answers: list[Any] = signals.list_keys.send(sender=User, user=user, limit=LISTED_KEYS, before=confirmed_at)
    owned = [keys for _, keys in answers if keys.total]
    if not owned:
        return ""
    rows = [
        f"    {UNLINKED.sub('_', key.name)} ({key.prefix}..., created {key.created_at:%Y-%m-%d})"
        for keys in owned
        for key in keys.newest
    ]
    more = sum(keys.total for keys in owned) - len(rows)
    listed = "\n".join([*rows, *([f"    and {more} more"] if more else [])])
    if confirmed_at is not None:
        return EARLIER_KEYS.format(listed=listed)
    return KEYS.format(listed=listed, choice=CHOICE if may_keep_keys(user) else "")


def may_keep_keys(user: User) -> bool:
    """Return whether a reset may keep the keys: the address was confirmed, or never had to be."""
    return user.email_verified_at is not None or user.confirmation_sent_at is None


def reset_password(*, token: str, new_password: str, keep_keys: bool | None = None) -> None:
    """Set a new password with a token from the mail, which proves the address too; every session ends.

    Somebody else may have signed up with the address. Where it was not confirmed before, every key is revoked, unless
    ``keep_keys`` is true and ``may_keep_keys``; where it was, the keys made before that are revoked if ``keep_keys`` is
    false. Raises ValidationError on ``token`` for a link that cannot be used, and on ``new_password`` or ``keep_keys``.
    """
    user = reset_tokens.find(token)
    confirmed_at = user.email_verified_at
    if keep_keys and not may_keep_keys(user):
        message = "An account whose address was never confirmed cannot keep its keys."
        raise ValidationError({"keep_keys": ValidationError(message, code="not_allowed")})
    validate_strength(new_password, user, "new_password")
    revokes = not keep_keys if confirmed_at is None else keep_keys is False
    reason = "made before the address was confirmed" if revokes else ""
    if not replace(
        user,
        new_password,
        Event.USER_PASSWORD_RESET,
        revoke_keys=reason,
        revoke_before=confirmed_at,
        email_verified_at=confirmed_at or timezone.now(),
    ):
        raise link_error("used")  # meanwhile
    lockout.reset_user(user)


def request_email_confirmation(*, email: str) -> None:
    """Mail a link that confirms an address; a confirmed or unknown one takes the same work and the same response."""
    unconfirmed = User.objects.with_email(email).filter(is_active=True, email_verified_at=None)
    send_confirmation(unconfirmed.filter(is_service=False).first() or placeholder_user(email))


def send_confirmation(user: User) -> None:
    """Mail a link that confirms the address of a user; the same work for ``placeholder_user``."""
    token = confirmation_tokens.make(user)
    send(user, "Confirm your address", CONFIRMATION_MAIL, "confirm-email", token)


def confirm_email(*, token: str) -> None:
    """Confirm the address of a user; a second time changes nothing. Raises ValidationError on ``token``."""
    user = confirmation_tokens.find(token)
    if mark_email_confirmed(user=user, actor=user):
        lockout.reset_user(user)
    elif not is_confirmed(user):
        raise link_error("used")  # the address was changed meanwhile


@transaction.atomic
def mark_email_confirmed(*, user: User, actor: User) -> bool:
    """Confirm the address of a user, as it was read; return whether this call did it.

    Raises PermissionDenied for an actor who may not change the user.
    """
    authority.require(actor, Right.CHANGE_USER, user)
    unconfirmed = User.objects.filter(pk=user.pk, email=user.email, email_verified_at=None, is_service=False)
    confirmed: bool = unconfirmed.update(email_verified_at=timezone.now()) == 1
    if confirmed:
        audit.record(Event.USER_EMAIL_CONFIRMED, actor=actor, subject=user)
    return confirmed


def placeholder_user(email: str) -> User:
    """Return an unsaved user for an unknown address, so that it takes the same work."""
    return User(pk=0, username=email, email=email)


def is_confirmed(user: User) -> bool:
    confirmed = User.objects.filter(pk=user.pk, email=user.email, email_verified_at__isnull=False)
    return bool(confirmed.exists())


def send(user: User, subject: str, text: str, page: str, token: str, *, keys: str = "") -> None:
    """Put a mail with a link into the outbox, unless the user is a placeholder or over the limit.

    Each case takes the same steps, so the time does not reveal who has an account.
    """
    count = (MAILS, page, mailbox(user.email or ""))
    passes = ratelimit.hit(*count).passes
    # A hit that is counted takes longer than one that is refused: each case makes one of each.
    ratelimit.hit(REFUSED if passes else COUNTED, "evens out the time", page)
    link = f"{settings.APP_URL}/{page}?token={quote(token)}"
    minutes = settings.PASSWORD_RESET_TIMEOUT // 60
    text = text.format(username=user.username, minutes=minutes, link=link, keys=keys)
    recipient = user.email if user.pk and passes else None
    mail.send(subject, text, recipient, on_failure=(lambda: ratelimit.give_back(*count)) if passes else None)


def mailbox(email: str) -> str:
    """Return a hash of the normalized address."""
    with suppress(ValueError):
        email = mailboxes.normalize(email)
    return hashlib.sha256(email.encode("utf-8", "backslashreplace")).hexdigest()
