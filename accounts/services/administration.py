"""Every write of operators to users, roles and scopes, with the actor's authority checked and an audit event.

Each compares with the locked row: a page that was opened a while ago changes only what its operator edited, and the
audit names only that.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from django.contrib.auth.models import Group, Permission
from django.db import models, transaction

from accounts import authority
from accounts.authority import Right
from accounts.models import Scope, User
from accounts.services import users
from audit import services as audit
from audit.events import Event

NAMES = {"username", "email"}
FLAGS = {"is_staff", "is_superuser"}


def create_user(*, user: User, actor: User) -> None:
    """Save a new user without roles and permissions."""
    user.save(force_insert=True)
    audit.record(Event.USER_CREATED, actor=actor, subject=user)


@transaction.atomic
def change_user(*, user: User, changes: Mapping[str, Any], actor: User | None) -> set[str]:
    """Change username, email, is_active, is_staff and is_superuser of a user; return the names of those that differed.

    A changed address is unconfirmed again. Raises PermissionDenied.
    """
    row = User.objects.select_for_update().get(pk=user.pk)
    changed = {name: value for name, value in changes.items() if getattr(row, name) != value}
    authority.require(actor, Right.CHANGE_USER, row)
    if NAMES & changed.keys():
        authority.require(actor, Right.TAKE_OVER, row)
    if FLAGS & changed.keys():
        authority.require(actor, Right.SET_PERMISSIONS, row)
    if "is_active" in changed:
        users.set_active(user=user, active=changed["is_active"], actor=actor)
    columns = {name: value for name, value in changed.items() if name != "is_active"}
    if columns:
        confirmed = {"email_verified_at": None} if "email" in columns else {}
        User.objects.filter(pk=row.pk).update(**columns, **confirmed)
        audit.record(Event.USER_CHANGED, actor=actor, subject=user, reason=" ".join(columns))
    return set(changed)


@transaction.atomic
def delete_user(*, user: User, actor: User | None) -> None:
    """Delete a user who has no keys. Raises PermissionDenied."""
    authority.require(actor, Right.CHANGE_USER, user)
    audit.record(Event.USER_DELETED, actor=actor, subject=user)
    user.delete()


@transaction.atomic
def change_permissions(
    *, of: User | Group, grant: Iterable[Permission] = (), revoke: Iterable[Permission] = (), actor: User | None
) -> None:
    """Grant and revoke permissions of a user or a role; each that is new or gone is one event that names it."""
    authority.require(actor, Right.SET_PERMISSIONS, of)
    through, event, row = _permissions_table(of)
    for permission in grant:
        if through.objects.get_or_create(**row, permission=permission)[1]:
            audit.record(event, actor=actor, subject=of, reason=f"grants permission {name_of(permission)}")
    for permission in revoke:
        if through.objects.filter(**row, permission=permission).delete()[0]:
            audit.record(event, actor=actor, subject=of, reason=f"no longer grants permission {name_of(permission)}")


def _permissions_table(of: User | Group) -> tuple[Any, Event, dict[str, models.Model]]:
    if isinstance(of, User):
        return User.user_permissions.through, Event.USER_CHANGED, {"user": of}
    return Group.permissions.through, Event.ROLE_CHANGED, {"group": of}


def name_of(permission: Permission) -> str:
    """Return a permission as ``has_perm`` takes it."""
    return f"{permission.content_type.app_label}.{permission.codename}"


@transaction.atomic
def change_scopes(
    *, role: Group, grant: Iterable[Scope] = (), revoke: Iterable[Scope] = (), actor: User | None
) -> None:
    """Add scopes to a role and remove them; each that is new or gone is one event. Raises PermissionDenied."""
    grant, revoke = list(grant), list(revoke)
    if grant or revoke:
        authority.require(actor, Right.CHANGE_ROLE, role)
    for scope in grant:
        authority.require(actor, Right.GRANT_SCOPE, scope.name)
        if Scope.roles.through.objects.get_or_create(scope=scope, group=role)[1]:
            audit.record(Event.ROLE_CHANGED, actor=actor, subject=role, reason=f"{role.name} grants {scope}")
    for scope in revoke:
        if Scope.roles.through.objects.filter(scope=scope, group=role).delete()[0]:
            audit.record(Event.ROLE_CHANGED, actor=actor, subject=role, reason=f"{role.name} no longer grants {scope}")


@transaction.atomic
def change_row(*, row: Group | Scope, changes: Mapping[str, Any], actor: User | None) -> None:
    """Change the name of a role, or the description of a scope. Raises PermissionDenied."""
    held = type(row).objects.select_for_update().get(pk=row.pk)
    changed = {name: value for name, value in changes.items() if getattr(held, name) != value}
    if not changed:
        return
    if isinstance(row, Group):
        authority.require(actor, Right.NAME_ROLE, row)
    type(row).objects.filter(pk=row.pk).update(**changed)
    event = Event.ROLE_CHANGED if isinstance(row, Group) else Event.SCOPE_CHANGED
    audit.record(event, actor=actor, subject=row, reason=" ".join(changed))


def create_row(*, row: Group | Scope, actor: User | None) -> None:
    """Save a new role or scope."""
    row.save(force_insert=True)
    fields = "name" if isinstance(row, Group) else "name description"
    event = Event.ROLE_CHANGED if isinstance(row, Group) else Event.SCOPE_CHANGED
    audit.record(event, actor=actor, subject=row, reason=fields)


@transaction.atomic
def delete_row(*, row: Group | Scope, actor: User | None) -> None:
    """Delete a role or a scope, and so revoke it for all users. Raises PermissionDenied."""
    roles = [row] if isinstance(row, Group) else list(row.roles.all())
    for role in roles:
        authority.require(actor, Right.CHANGE_ROLE, role)
    audit.record(Event.ROLE_DELETED if isinstance(row, Group) else Event.SCOPE_DELETED, actor=actor, subject=row)
    row.delete()
