"""After a restore: what of people and roles the backup brought back ends again."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from functools import cache
from typing import Any

from django.conf import settings
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import Group
from django.contrib.sessions.models import Session as ConsoleLogin
from django.db import models
from django.utils import timezone

from accounts.jwt import keyring
from accounts.models import Scope, Session, User
from accounts.services import roles, signing_keys, users
from audit import services as audit
from audit.events import Event
from audit.journal import Entry

REASON = "repeated after a restore"
# Returns what was done to a row, or "" where it was so already.
Repeat = Callable[[Any, Entry], str]


class RandomStamp(models.Func):
    """A new ``security_stamp`` for each row of an UPDATE."""

    output_field = models.CharField()

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        return self.as_sql(compiler, connection, template="replace(gen_random_uuid()::text, '-', '')")

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        return self.as_sql(compiler, connection, template="lower(hex(randomblob(16)))")


def end_all_sessions() -> tuple[int, int]:
    """End every session and console session, and void every mailed link; return the number of the first two."""
    now = timezone.now()
    ended = Session.objects.live(now).update(ended_at=now, ended_reason="restored")
    console, _ = ConsoleLogin.objects.all().delete()
    User.objects.update(security_stamp=RandomStamp())
    return ended, console


def disable(user: User, entry: Entry) -> str:
    """Disable a user again."""
    if not user.is_active:
        return ""
    users.set_active(user=user, active=False)
    return "disabled"


@cache
def unknown_password() -> str:
    """Return the hash of a random password, one for a whole run: bcrypt takes its time."""
    return make_password(secrets.token_urlsafe(32))


def void_password(user: User, entry: Entry) -> str:
    """Void the password of the backup, which may be why it was changed: a mailed link sets a new one."""
    if entry.is_recorded() or not user.has_usable_password():
        return ""
    # A password that nobody knows, not an unusable one: that would refuse the mail.
    User.objects.filter(pk=user.pk).update(password=unknown_password())
    return remember(entry, user, "password", "password void: set a new one by mail")


def void_address(user: User, entry: Entry) -> str:
    """Void password and address of the backup: the mailbox may be in other hands, so no mail may set a password."""
    if entry.is_recorded():
        return ""
    User.objects.filter(pk=user.pk).update(password=make_password(None), email_verified_at=None)
    return remember(entry, user, "password email_verified_at", "address was changed: set it and a password again")


def revoke_rights(user: User, entry: Entry) -> str:
    """Take the rights of an operator whose rights were changed: which ones is in no log."""
    if entry.is_recorded():
        return ""
    User.objects.filter(pk=user.pk).update(is_staff=False, is_superuser=False)
    user.user_permissions.clear()
    return remember(entry, user, "is_staff is_superuser user_permissions", "rights taken: give them again")


def revoke_role(user: User, entry: Entry) -> str:
    """Take a role away from a user again."""
    return f"role {entry.reason} taken away" if roles.revoke_role(user=user, role=entry.reason) else ""


def revoke_scope(role: Group, entry: Entry) -> str:
    """Take a scope away from a role again."""
    scope = entry.reason.rpartition(" ")[2]
    if not Scope.roles.through.objects.filter(group=role, scope__name=scope).delete()[0]:
        return ""
    audit.record(Event.ROLE_CHANGED, subject=role, reason=f"no longer grants {scope}")
    return f"no longer grants {scope}"


def clear_permissions(role: Group, entry: Entry) -> str:
    """Take the console permissions of a role whose permissions were changed."""
    if entry.is_recorded():
        return ""
    role.permissions.clear()
    entry.restore()
    audit.record(Event.ROLE_CHANGED, subject=role, reason="permissions")
    return "permissions taken: give them again"


def delete_role(role: Group, entry: Entry) -> str:
    """Delete a role again."""
    audit.record(Event.ROLE_DELETED, subject=role, reason=REASON)
    role.delete()
    return "deleted"


def delete_scope(scope: Scope, entry: Entry) -> str:
    """Delete a scope again."""
    audit.record(Event.SCOPE_DELETED, subject=scope, reason=REASON)
    scope.delete()
    return "deleted"


def void_signing_keys(entry: Entry) -> str:
    """Void the signing keys of the backup, of which one had leaked."""
    if entry.is_recorded() or settings.JWT_ALGORITHM == keyring.SYMMETRIC:
        return ""
    signing_keys.rotate(at_once=True)
    entry.restore()
    return "signing keys void: a new one signs"


def remember(entry: Entry, user: User, changed: str, done: str) -> str:
    """Record a change and the event that it repeats, by which a second run knows that it is done; return what was."""
    entry.restore()
    audit.record(Event.USER_CHANGED, subject=user, reason=f"{changed}: {REASON}")
    return done


# By the kind of subject and what was lost of it.
REPEATS: dict[tuple[str, str], tuple[type[models.Model], Repeat]] = {
    ("user", "enabled"): (User, disable),
    ("user", "password"): (User, void_password),
    ("user", "email"): (User, void_address),
    ("user", "rights"): (User, revoke_rights),
    ("user", "role"): (User, revoke_role),
    ("scope", "deleted"): (Scope, delete_scope),
    **{
        (kind, aspect): (Group, act)
        for kind in ("group", "role")  # the audit has both names of one table
        for aspect, act in (("grant", revoke_scope), ("permissions", clear_permissions), ("deleted", delete_role))
    },
}
