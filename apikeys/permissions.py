"""Permissions for API keys. Combine them with ``|`` and ``&``."""

from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.views import APIView

from apikeys.models import APIKey


class IsService(BasePermission):
    """Requires an API key."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        return isinstance(request.auth, APIKey)
