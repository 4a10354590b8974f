"""Authenticates API keys sent as OAuth client credentials, with one query."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from urllib.parse import unquote_plus

from django.core.exceptions import ValidationError
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from accounts.models import User
from apikeys.authentication import authenticate_key
from apikeys.models import APIKey
from authsvc.api.parsers import FormParser
from authsvc.problems import InvalidCredential
from authsvc.request.authorization import credentials
from gateway.exchange import TOKEN_EXCHANGE

SCHEME = "Basic"
CHALLENGE = 'Basic realm="authsvc"'
ClientCredentials = tuple[str | None, str]  # (client_id, secret)


class ClientAuthentication(BaseAuthentication):
    """``client_id`` and ``client_secret``, a key's id and the key, by HTTP Basic or in the form (RFC 6749, section
    2.3.1). Where the view's ``subject_token_authenticates`` says so, also a key as the ``subject_token`` of a token
    exchange (RFC 8693, section 2.1).

    Returns None where there is none of these. Raises what ``authenticate_key`` raises.
    """

    def authenticate(self, request: Request) -> tuple[User, APIKey] | None:
        found = basic(request.META.get("HTTP_AUTHORIZATION", "")) or in_form(request)
        if found is None:
            return None
        client_id, text = found
        key, headers = authenticate_key(text, key_id=client_id)
        (request.parser_context or {})["view"].headers.update(headers)
        return key.owner, key

    def authenticate_header(self, request: Request) -> str:
        return CHALLENGE


def is_form(request: Request) -> bool:
    """Return whether the body is a form, as OAuth clients send it, without parsing it."""
    return request.content_type.partition(";")[0].strip().lower() == FormParser.media_type


def form_of(request: Request) -> Mapping[str, str]:
    """Return the parameters of a form that have a value (RFC 6749, section 3.2); none for another body."""
    return {name: value for name, value in request.data.items() if value} if is_form(request) else {}


def in_form(request: Request) -> ClientCredentials | None:
    """Return the credentials in a form, or None."""
    form, subject = form_of(request), subject_token(request)
    if "client_secret" in form:
        return form.get("client_id", ""), form["client_secret"]
    return None if subject is None else (None, subject)


def subject_token(request: Request) -> str | None:
    """Return the ``subject_token`` of a token exchange, or None for any other request."""
    form, view = form_of(request), (request.parser_context or {})["view"]
    is_exchange = view.subject_token_authenticates and form.get("grant_type") == TOKEN_EXCHANGE
    return form.get("subject_token") if is_exchange else None


def client_credentials(request: Request) -> dict[str, str]:
    """Return what authenticates the client, by the header or parameter that carries it."""
    sent = {
        "Authorization": credentials(request.META.get("HTTP_AUTHORIZATION", ""), "basic"),
        "x-api-key": request.META.get("HTTP_X_API_KEY"),
        "client_secret": form_of(request).get("client_secret"),
    }
    return {name: text for name, text in sent.items() if text is not None}


def check_client(request: Request) -> None:
    """Reject contradicting credentials, before any is verified.

    Raises ValidationError for more than one method of authentication (RFC 6749, section 2.3), for another
    ``client_id`` than that of HTTP Basic, and for another ``subject_token`` than the client's own key. Raises
    InvalidCredential for a malformed Basic header.
    """
    sent, form = client_credentials(request), form_of(request)
    if len(sent) > 1:
        message = "Send one credential: HTTP Basic, client_secret or x-api-key."
        raise ValidationError(dict.fromkeys(sent, ValidationError(message, code="exclusive")))
    client_id, secret = basic(request.META.get("HTTP_AUTHORIZATION", "")) or (None, next(iter(sent.values()), None))
    if client_id is not None and form.get("client_id", client_id) != client_id:
        message = "HTTP Basic has another client_id."
        raise ValidationError({"client_id": ValidationError(message, code="mismatch")})
    if secret is not None and (subject_token(request) or secret) != secret:
        message = "A client can exchange only the key that it authenticates with."
        raise ValidationError({"subject_token": ValidationError(message, code="mismatch")})


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
