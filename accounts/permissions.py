"""Permissions for tokens, roles and scopes. Combine them with ``|`` and ``&``."""

from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.views import APIView

from accounts.jwt.tokens import AccessToken


class RoleRequired(BasePermission):
    """Requires one role; HasRole makes the subclass."""

    role: str

    def has_permission(self, request: Request, view: APIView) -> bool:
        return self.role in getattr(request.user, "roles", ())


class ScopeRequired(BasePermission):
    """Requires one scope; HasScope makes the subclass."""

    scope: str

    def has_permission(self, request: Request, view: APIView) -> bool:
        return self.scope in getattr(request.user, "scopes", ())


def HasRole(role: str) -> type[BasePermission]:  # noqa: N802  reads as the class that it returns
    """Return a permission that requires a role. A key has scopes and never its owner's roles."""
    return type("HasRole", (RoleRequired,), {"role": role})


def HasScope(scope: str) -> type[BasePermission]:  # noqa: N802  as above
    """Return a permission that requires a scope, of a user or of a key."""
    return type("HasScope", (ScopeRequired,), {"scope": scope})


class IsUser(BasePermission):
    """Requires an access token: of a session, or exchanged for a key."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        return isinstance(request.auth, AccessToken)


class IsPerson(BasePermission):
    """Requires a token of a session: programs cannot manage an account or its keys."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        return isinstance(request.auth, AccessToken) and request.auth.session is not None
