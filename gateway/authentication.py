"""An API key in the places where OAuth's clients put their secret. One query."""

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
from authsvc.api import Form
from authsvc.context import current
from authsvc.problems import InvalidCredential

SCHEME = "Basic"


class ClientAuthentication(BaseAuthentication):
    """``client_id`` and ``client_secret``, a key's id and the key, by HTTP Basic or in the form (RFC 6749, section
    2.3.1); or the key as ``subject_token`` (RFC 8693, section 2.1).

    Returns None where there is none of them. Raises what ``judge`` raises, and InvalidCredential for another key's id.
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


def basic(header: str) -> tuple[str | None, str] | None:
    """Return (client_id, secret) of a Basic header, each form-encoded within it. Raises InvalidCredential."""
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        name, colon, secret = base64.b64decode(encoded, validate=True).decode("ascii").partition(":")
    except (binascii.Error, UnicodeError, ValueError) as error:
        raise InvalidCredential("malformed", scheme=SCHEME) from error
    if not colon:
        raise InvalidCredential("malformed", scheme=SCHEME)
    return unquote_plus(name), unquote_plus(secret)


def in_form(request: Request) -> tuple[str | None, str] | None:
    """Return (client_id, secret) of a form, or (None, key) of one that exchanges a token."""
    form = request.data
    if not isinstance(form, Form):
        return None
    if "client_secret" in form:
        return form.get("client_id", ""), form["client_secret"]
    return (None, form["subject_token"]) if "subject_token" in form else None
