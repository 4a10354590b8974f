"""From the x-api-key header to (owner, key). One query, and none for a malformed key."""

from __future__ import annotations

from django.utils import timezone
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from accounts.models import User
from apikeys.models import APIKey
from apikeys.recording import record_rejection, record_use
from apikeys.verification import KeyRejected, verify_key
from authsvc.request.context import current

CHALLENGE = 'ApiKey realm="authsvc"'


class APIKeyAuthentication(BaseAuthentication):
    """``x-api-key: sk_…``.

    Returns None when the header is absent. Raises what ``authenticate_key`` raises. What the request may do is the
    user's ``scopes``, narrowed to the key's.
    """

    def authenticate(self, request: Request) -> tuple[User, APIKey] | None:
        text = request.META.get("HTTP_X_API_KEY")
        if text is None:
            return None
        key, headers = authenticate_key(text)
        (request.parser_context or {})["view"].headers.update(headers)
        return key.owner, key

    def authenticate_header(self, request: Request) -> str:
        return CHALLENGE


def authenticate_key(text: str, *, key_id: str | None = None) -> tuple[APIKey, dict[str, str]]:
    """Verify a key and record its use or its rejection; return the key and the headers of its rate limit.

    Raises what ``verify_key`` and ``record_use`` raise.
    """
    now, context = timezone.now(), current.get()
    try:
        key = verify_key(text, now=now, context=context, key_id=key_id)
    except KeyRejected as rejection:
        record_rejection(rejection.key, rejection.outcome, rejection.reason, now=now)
        raise
    return key, record_use(key, now=now, context=context)
