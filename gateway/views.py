"""What other services call with a body: introspection and exchange. Forward auth is in verification.py."""

from __future__ import annotations

from typing import cast

from django.core.exceptions import ValidationError
from django.utils import timezone
from rest_framework.request import Request

from accounts.authentication import JWTAuthentication
from accounts.permissions import HasScope
from apikeys.authentication import APIKeyAuthentication
from apikeys.models import APIKey
from apikeys.permissions import IsService
from authsvc.api import Form, FormParser, JSONParser, parse
from authsvc.apiview import ApiView, Response
from gateway import schema, serializers
from gateway.authentication import ClientAuthentication
from gateway.exchange import exchange
from gateway.introspection import introspect

TOKEN_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"  # noqa: S105  RFC 8693, section 2.1
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105  RFC 8693, section 3
GRANTS = ("client_credentials", TOKEN_EXCHANGE)


class IntrospectView(ApiView):
    """Say what a token or a key is."""

    authentication_classes = (JWTAuthentication, APIKeyAuthentication)
    permission_classes = (HasScope("tokens:introspect"),)
    parser_classes = (JSONParser, FormParser)

    @schema.introspect
    def post(self, request: Request) -> Response:
        asked, now = parse(serializers.IntrospectRequest, request), timezone.now()
        if "tokens" in asked:
            return Response([introspect(text, now=now) for text in asked["tokens"]])
        return Response(introspect(asked["token"], now=now))


class ExchangeView(ApiView):
    """Give a token for a key."""

    authentication_classes = (APIKeyAuthentication, ClientAuthentication)
    permission_classes = (IsService,)
    parser_classes = (JSONParser, FormParser)

    @schema.exchange
    def post(self, request: Request) -> Response:
        grant = grant_of(request)
        asked = parse(serializers.ExchangeRequest, request)
        given = exchange(key=cast("APIKey", request.auth), now=timezone.now(), **asked)
        extra = {"issued_token_type": ACCESS_TOKEN} if grant == TOKEN_EXCHANGE else {}
        return Response({**given._asdict(), "token_type": "bearer", **extra})


def grant_of(request: Request) -> str | None:
    """Return the grant that a form names, None for JSON; leave of the form what ExchangeRequest knows.

    RFC 6749, sections 3.1 and 3.2: other parameters of a form, and empty ones, are ignored. Raises ValidationError on
    ``grant_type``.
    """
    if not isinstance(request.data, Form):
        return None
    grant = request.data.get("grant_type", "")
    if grant not in GRANTS:
        message = f"One of {' and '.join(GRANTS)}."
        raise ValidationError({"grant_type": ValidationError(message, code="unsupported_grant_type")})
    for name, value in list(request.data.items()):
        if name not in ("scope", "audience") or not value:
            del request.data[name]
    return grant
