"""Granting and revoking roles."""

from __future__ import annotations

from collections.abc import Iterable

from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from django.db import transaction

from accounts import authority
from accounts.authority import Right
from accounts.models import Role, Scope, User
from audit import services as audit
from audit.events import Event


@transaction.atomic
def grant_role(*, user: User, role: str, scopes: Iterable[str] = (), actor: User | None = None) -> None:
    """Give a user a role; create the role and grant it ``scopes`` where needed. Only changes are recorded.

    Raises ValidationError on ``role`` for an invalid name, on ``scopes`` for one that does not exist, and
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
def revoke_role(*, user: User, role: str, actor: User | None = None) -> bool:
    """Revoke a role of a user; return whether the user had it. Raises PermissionDenied."""
    authority.require(actor, Right.CHANGE_USER, user)
    for group in Group.objects.filter(name=role):
        authority.require(actor, Right.CHANGE_ROLE, group)
    removed, _ = User.groups.through.objects.filter(user=user, group__name=role).delete()
    if removed:
        audit.record(Event.ROLE_REVOKED, actor=actor, subject=user, reason=role)
    return bool(removed)
