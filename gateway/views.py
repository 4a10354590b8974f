"""Introspection and exchange. Forward auth is in forward_auth.py."""

from __future__ import annotations

from collections.abc import Collection
from typing import cast

from django.core.exceptions import ValidationError
from django.utils import timezone
from rest_framework.request import Request

from accounts.authentication import JWTAuthentication
from accounts.permissions import HasScope
from apikeys.authentication import APIKeyAuthentication
from apikeys.models import APIKey
from apikeys.permissions import IsService
from authsvc.api.fields import parse
from authsvc.api.parsers import Form, FormParser, JSONParser
from authsvc.api.views import Response
from gateway import schema, serializers
from gateway.authentication import ClientAuthentication
from gateway.exchange import ACCESS_TOKEN, TOKEN_EXCHANGE, exchange
from gateway.introspection import introspect
from gateway.oauth import OAuthView

GRANTS = ("client_credentials", TOKEN_EXCHANGE)


class IntrospectView(OAuthView):
    """Describe a token or a key."""

    authentication_classes = (JWTAuthentication, APIKeyAuthentication, ClientAuthentication)
    permission_classes = (HasScope("tokens:introspect"),)
    parser_classes = (JSONParser, FormParser)

    @schema.introspect
    def post(self, request: Request) -> Response:
        keep_parameters(request, ("token", "token_type_hint"))
        asked, now = parse(serializers.IntrospectRequest, request), timezone.now()
        if "tokens" in asked:
            return Response([introspect(text, now=now) for text in asked["tokens"]])
        return Response(introspect(asked["token"], now=now))


class ExchangeView(OAuthView):
    """Issue a token for a key."""

    subject_token_authenticates = True

    authentication_classes = (APIKeyAuthentication, ClientAuthentication)
    permission_classes = (IsService,)
    parser_classes = (JSONParser, FormParser)

    @schema.exchange
    def post(self, request: Request) -> Response:
        grant = grant_of(request)
        asked = parse(serializers.ExchangeRequest, request)
        given = exchange(key=cast("APIKey", request.auth), now=timezone.now(), **asked)
        extra = {"issued_token_type": ACCESS_TOKEN} if grant == TOKEN_EXCHANGE else {}
        return Response({**given._asdict(), "token_type": "bearer", **extra}, headers={"Pragma": "no-cache"})


def keep_parameters(request: Request, names: Collection[str]) -> None:
    """Remove all other parameters of a form, and empty ones: OAuth ignores them (RFC 6749, sections 3.1 and 3.2)."""
    if isinstance(request.data, Form):
        for name, value in list(request.data.items()):
            if name not in names or not value:
                del request.data[name]


def grant_of(request: Request) -> str | None:
    """Return the grant of a form, None for JSON, and remove the parameters that ExchangeRequest does not have.

    Raises ValidationError on ``grant_type`` and on the parameters of a token exchange.
    """
    if not isinstance(request.data, Form):
        return None
    grant = request.data.get("grant_type")
    if grant not in GRANTS:
        code = "unsupported_grant_type" if grant else "required"
        raise ValidationError({"grant_type": ValidationError(f"Send {' or '.join(GRANTS)}.", code=code)})
    if grant == TOKEN_EXCHANGE:
        check_exchange(request.data)
    keep_parameters(request, ("scope", "audience"))
    return grant


def check_exchange(form: Form) -> None:
    """Raise ValidationError for a missing ``subject_token`` or an unsupported token type (RFC 8693, section 2.1)."""
    faults = {
        name: ValidationError(f"Must be {ACCESS_TOKEN}.", code="invalid_choice")
        for name in ("subject_token_type", "requested_token_type")
        if form.get(name, "") not in ("", ACCESS_TOKEN)
    }
    if not form.get("subject_token"):
        faults["subject_token"] = ValidationError("Send the key as subject_token.", code="required")
    if faults:
        raise ValidationError(faults)
