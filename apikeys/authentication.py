"""From the x-api-key header to (owner, key). One query, and none for junk."""

from __future__ import annotations

from django.utils import timezone
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from accounts.models import User
from apikeys.judgement import judge
from apikeys.models import APIKey
from authsvc.request.context import current


class APIKeyAuthentication(BaseAuthentication):
    """``x-api-key: sk_…``.

    Returns None when the header is absent. Raises what ``judge`` raises. What the request may do is the user's
    ``scopes``, narrowed to the key's.
    """

    def authenticate(self, request: Request) -> tuple[User, APIKey] | None:
        text = request.META.get("HTTP_X_API_KEY")
        if text is None:
            return None
        key, headers = judge(text, now=timezone.now(), origin=current.get())
        (request.parser_context or {})["view"].headers.update(headers)
        return key.owner, key

    def authenticate_header(self, request: Request) -> str:
        return 'ApiKey realm="authsvc"'
