"""An API key in the places where OAuth clients put their credentials. One query."""

from __future__ import annotations

import base64
import binascii
from urllib.parse import unquote_plus

from django.utils import timezone
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from accounts.models import User
from apikeys.judgement import judge
from apikeys.models import APIKey
from authsvc.api.parsers import FormParser
from authsvc.problems import InvalidCredential
from authsvc.request.authorization import credentials
from authsvc.request.context import current

SCHEME = "Basic"
ClientCredentials = tuple[str | None, str]  # (client_id, secret)


class ClientAuthentication(BaseAuthentication):
    """``client_id`` and ``client_secret``, a key's id and the key, by HTTP Basic or in the form (RFC 6749, section
    2.3.1). Where the view's ``subject_token_authenticates`` says so, also a key as ``subject_token`` (RFC 8693, section
    2.1).

    Returns None where there is none of these. Raises what ``judge`` raises, and InvalidCredential for another key's id.
    """

    def authenticate(self, request: Request) -> tuple[User, APIKey] | None:
        found = basic(request.META.get("HTTP_AUTHORIZATION", "")) or in_form(request)
        if found is None:
            return None
        client_id, text = found
        key, headers = judge(text, now=timezone.now(), origin=current.get(), key_id=client_id)
        (request.parser_context or {})["view"].headers.update(headers)
        return key.owner, key

    def authenticate_header(self, request: Request) -> str:
        return 'Basic realm="authsvc"'


def is_form(request: Request) -> bool:
    """Return whether the body is a form, as OAuth clients send it, without parsing it."""
    return request.content_type.partition(";")[0].strip().lower() == FormParser.media_type


def in_form(request: Request) -> ClientCredentials | None:
    """Return the credentials in a form, or None."""
    if not is_form(request):
        return None
    if "client_secret" in request.data:
        return request.data.get("client_id", ""), request.data["client_secret"]
    view = (request.parser_context or {})["view"]
    if view.subject_token_authenticates and "subject_token" in request.data:
        return None, request.data["subject_token"]
    return None


def basic(header: str) -> ClientCredentials | None:
    """Return the credentials of a Basic header, each form-encoded within it. Raises InvalidCredential."""
    encoded = credentials(header, "basic")
    if encoded is None:
        return None
    try:
        name, colon, secret = base64.b64decode(encoded, validate=True).decode("ascii").partition(":")
    except (binascii.Error, UnicodeError, ValueError) as error:
        raise InvalidCredential("malformed", scheme=SCHEME) from error
    if not colon:
        raise InvalidCredential("malformed", scheme=SCHEME)
    return unquote_plus(name), unquote_plus(secret)
