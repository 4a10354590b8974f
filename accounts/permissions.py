"""What a view can ask of whoever is logged in. Combine with ``|`` and ``&``."""

from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.views import APIView

from accounts.jwt.tokens import AccessToken


class RoleRequired(BasePermission):
    """Asks for one role; HasRole makes the class for each."""

    role: str

    def has_permission(self, request: Request, view: APIView) -> bool:
        return self.role in getattr(request.user, "roles", ())


class ScopeRequired(BasePermission):
    """Asks for one scope; HasScope makes the class for each."""

    scope: str

    def has_permission(self, request: Request, view: APIView) -> bool:
        return self.scope in getattr(request.user, "scopes", ())


def HasRole(role: str) -> type[BasePermission]:  # noqa: N802  reads as the class that it returns
    """Return the permission of a person with a role; a key does not carry its owner's, only its scopes."""
    return type("HasRole", (RoleRequired,), {"role": role})


def HasScope(scope: str) -> type[BasePermission]:  # noqa: N802  as above
    """Return the permission of a credential that may do this: a user's scopes, or a key's within its owner's."""
    return type("HasScope", (ScopeRequired,), {"scope": scope})


class IsUser(BasePermission):
    """A user, by an access token: one of a session, or one that a key was exchanged for."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        return isinstance(request.auth, AccessToken)


class IsPerson(BasePermission):
    """A person who has logged in: what concerns an account or makes keys is not for a program to do in its name."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        return isinstance(request.auth, AccessToken) and request.auth.session is not None
