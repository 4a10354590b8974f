"""Every write about people. The API, the admin and the commands call these functions."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts import authority, passwords, proofs, sessions
from accounts.authority import Right
from accounts.models import Role, Scope, User
from accounts.names import fold
from accounts.tokens import TokenPair
from audit import services as audit
from audit.events import Event
from authsvc.problems import InvalidCredential
from authsvc.request.context import current

logger = logging.getLogger(__name__)

# A login whose user changes while it is proven is proven anew: another login may just have renewed the hash.
ATTEMPTS = 3
TAKEN = {"username": "This username is taken.", "email": "This e-mail address is taken."}


def sign_up(*, email: str, username: str, password: str) -> User:
    """Make a user who can log in, and mail a link that confirms the address; a mail that fails does not fail it.

    Raises ValidationError by field: "unique" for a name or address taken, whatever its case and Unicode form, and
    the codes of Django's validators. Of any number of concurrent sign-ups with one name the database lets one in.
    """
    user = User(username=fold(username), email=email, confirmation_sent_at=timezone.now())
    user.set_unusable_password()
    user.clean_fields()
    refuse_taken(user)
    passwords.refuse_weak(password, user)
    user.password = make_password(password)  # bcrypt takes its time before the transaction, not inside it
    try:
        with transaction.atomic():
            user.save(force_insert=True)
            audit.record(Event.USER_SIGNED_UP, actor=user, subject=user)
    except IntegrityError as error:
        clashes = [field for field in TAKEN if f"accounts_user_{field}_unique" in str(error)]
        raise taken(clashes) from error
    user.grant(None, None)
    try:
        proofs.send_confirmation(user)
    except Exception:  # the user is there: to answer with an error would have the client try again in vain
        logger.exception("a confirmation could not be mailed")
    return user


def log_in(*, username: str, password: str) -> TokenPair:
    """Return the tokens of a new session for a name or address and its password. Raises what ``prove`` raises."""
    for _ in range(ATTEMPTS):
        pair = sessions.start(user=passwords.prove(username=username, password=password))
        if pair is not None:
            return pair
    raise InvalidCredential("user changed meanwhile")


@transaction.atomic
def make_service_account(*, name: str) -> User:
    """Return the service account of that name, made where there is none: no password, no address, no login.

    Raises ValidationError on ``service`` where a person has the name. Of parallel calls one makes it, and all have it.
    """
    fresh = User(username=fold(name), is_service=True)
    fresh.set_unusable_password()
    fresh.clean_fields()
    if not User.objects.named(name).exists():
        with suppress(IntegrityError), transaction.atomic():  # which somebody else may have just made
            fresh.save(force_insert=True)
            audit.record(Event.USER_CREATED, subject=fresh, reason="service account")
    user: User = User.objects.named(name).first_with_grants()
    if not user.is_service:
        message = f"{user.username} is a person's account; give it with --user."
        raise ValidationError({"service": ValidationError(message, code="not_a_service")})
    return user


@transaction.atomic
def grant_role(*, user: User, role: str, scopes: Iterable[str] = (), actor: User | None = None) -> None:
    """Give a user a role, making the role and granting it scopes where needed; only what is new is recorded.

    Raises ValidationError on ``role`` for a name that is none, on ``scopes`` for one that does not exist, and
    PermissionDenied for an actor who does not have the role, or may not change the user.
    """
    authority.require(actor, Right.CHANGE_USER, user)
    asked = set(scopes)
    found = list(Scope.objects.filter(name__in=asked))
    unknown = sorted(asked - {scope.name for scope in found})
    if unknown:
        message = f"There is no scope {unknown[0]!r}."
        raise ValidationError({"scopes": ValidationError(message, code="unknown_scope")})
    Role(name=role).clean()
    group, _ = Group.objects.get_or_create(name=role)
    authority.require(actor, Right.GRANT_ROLE, group)
    for scope in found:
        authority.require(actor, Right.GRANT_SCOPE, scope.name)
        if Scope.roles.through.objects.get_or_create(scope=scope, group=group)[1]:
            audit.record(Event.ROLE_CHANGED, actor=actor, subject=group, reason=f"grants {scope.name}")
    if User.groups.through.objects.get_or_create(user=user, group=group)[1]:
        audit.record(Event.ROLE_GRANTED, actor=actor, subject=user, reason=role)


@transaction.atomic
def take_role(*, user: User, role: str, actor: User | None = None) -> bool:
    """Revoke a role of a user; return whether the user had it. Raises PermissionDenied."""
    authority.require(actor, Right.CHANGE_USER, user)
    for group in Group.objects.filter(name=role):
        authority.require(actor, Right.CHANGE_ROLE, group)
    removed, _ = User.groups.through.objects.filter(user=user, group__name=role).delete()
    if removed:
        audit.record(Event.ROLE_TAKEN_AWAY, actor=actor, subject=user, reason=role)
    return bool(removed)


def refuse_taken(user: User) -> None:
    """Raise the ValidationError that names each of a new user's names that somebody has, before any hashing."""
    held = {"username": User.objects.named(user.username), "email": User.objects.with_email(user.email)}
    clashes = [field for field, holders in held.items() if holders.exists()]
    if clashes:
        raise taken(clashes)


def taken(fields: list[str]) -> ValidationError:
    """Return the error for names that somebody has."""
    return ValidationError({field: ValidationError(TAKEN[field], code="unique") for field in fields})


def record_console_login(*, user: User, **signal: Any) -> None:
    """Receiver of Django's user_logged_in: an operator has logged in to the console."""
    audit.record(Event.USER_LOGGED_IN, actor=user, subject=user, reason="console")


@transaction.atomic
def set_active(*, user: User, active: bool, actor: User | None = None) -> None:
    """Enable or disable a user; a disabled one's sessions end, and being enabled again revives none.

    Raises PermissionDenied for an actor who may not change the user.
    """
    authority.require(actor, Right.CHANGE_USER, user)
    if User.objects.filter(pk=user.pk).exclude(is_active=active).update(is_active=active):
        audit.record(Event.USER_ENABLED if active else Event.USER_DISABLED, actor=actor, subject=user)
        if not active:
            sessions.end_all(user=user, reason="user disabled", actor=actor)


@transaction.atomic
def on_password_changed(*, user: User, **signal: Any) -> None:
    """Receiver of password_changed, which an operator or Django's own command causes: every session ends."""
    actor = current.get().user
    authority.require(actor, Right.TAKE_OVER, user)
    audit.record(Event.USER_CHANGED, actor=actor, subject=user, reason="password")
    sessions.end_all(user=user, reason="password changed", actor=actor)
