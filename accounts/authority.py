"""What operators may do to users, roles and scopes, decided here for the console and the services.

Operators cannot grant what they do not hold, change users who hold more, or raise their own rights. Superusers may do
everything. Django's permissions decide which pages an operator sees, this module which rows the operator may change.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any

from django.contrib.auth.models import Group, Permission
from django.core.exceptions import PermissionDenied
from django.db.models import Q

from accounts.models import Scope, User


class Right(Enum):
    """A right, with the sentence of the 403 that its absence causes."""

    CHANGE_USER = "Only a superuser changes an account that has permissions which you do not have."
    TAKE_OVER = (
        "Only a superuser sets the password, name or address of an account that has roles which you do not have."
    )
    SET_PERMISSIONS = "Only a superuser makes operators and superusers or grants permissions."
    GRANT_ROLE = "You can grant only roles that you have yourself and that carry no permissions."
    CHANGE_ROLE = "Only a superuser changes, grants or revokes a role that carries permissions."
    NAME_ROLE = "Only a superuser renames a role: services authorize by its name."
    GRANT_SCOPE = "You can grant only scopes that you have yourself."


def require(actor: User | None, right: Right, subject: Any = None) -> None:
    """Raise PermissionDenied unless ``actor`` has a right on ``subject``: a user, a role or the name of a scope."""
    if not has(actor, right, subject):
        raise PermissionDenied(right.value)


def has(actor: User | None, right: Right, subject: Any = None) -> bool:
    """Return whether ``actor`` has a right on ``subject``, as the database has both now.

    The actor None is the command line, which may do everything.
    """
    return actor is None or actor.is_superuser or DECISIONS[right](actor, subject)


def may_change(actor: User, user: User) -> bool:
    """Return whether ``user`` is the actor, or holds no permission that the actor lacks."""
    if actor.pk == user.pk:
        return True
    # Read from the database: a form has already written what was posted to ``user``.
    is_superuser = User.objects.filter(pk=user.pk, is_superuser=True).exists()
    return not is_superuser and permissions_of(user) <= permissions_of(actor)


def may_take_over(actor: User, user: User) -> bool:
    """Return whether logging in as ``user`` would give the actor no further permission or role."""
    return may_change(actor, user) and (actor.pk == user.pk or roles_of(user) <= roles_of(actor))


def may_grant_role(actor: User, role: Group) -> bool:
    """Return whether the actor has the role, and the role carries no permissions."""
    return is_plain(role) and role.pk in roles_of(actor)


def is_plain(role: Group) -> bool:
    return not Permission.objects.filter(group=role.pk).exists()


def permissions_of(user: User) -> set[int]:
    """Return the ids of a user's permissions. Unlike Django's, they include a disabled user's."""
    held = Permission.objects.filter(Q(user=user.pk) | Q(group__user=user.pk))
    return set(held.order_by().values_list("pk", flat=True))


def roles_of(user: User) -> set[int]:
    return set(Group.objects.filter(user=user.pk).order_by().values_list("pk", flat=True))


def scopes_of(user: User) -> set[str]:
    return set(Scope.objects.filter(roles__user=user.pk).order_by().values_list("name", flat=True))


DECISIONS: dict[Right, Callable[[User, Any], bool]] = {
    Right.CHANGE_USER: may_change,
    Right.TAKE_OVER: may_take_over,
    Right.SET_PERMISSIONS: lambda actor, subject: False,
    Right.GRANT_ROLE: may_grant_role,
    Right.CHANGE_ROLE: lambda actor, role: is_plain(role),
    Right.NAME_ROLE: lambda actor, role: False,
    Right.GRANT_SCOPE: lambda actor, scope: scope in scopes_of(actor),
}
