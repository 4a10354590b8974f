"""What /openapi.json says of what other services call."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import PolymorphicProxySerializer, extend_schema

from authsvc.openapi import DESCRIPTIONS, example, problems
from gateway import serializers

ACTIVE = {
    "active": True,
    "scope": "reports:read",
    "client_id": "7",
    "username": "alice",
    "token_type": "api_key",
    "exp": 1800000000,
    "iat": 1768500000,
    "sub": "1",
    "iss": "authsvc",
    "jti": "api_key:9",
}
ONE_OR_MANY = PolymorphicProxySerializer(
    component_name="Introspection",
    serializers=[serializers.IntrospectResponse, serializers.IntrospectResponse(many=True)],
    resource_type_field_name=None,
    many=False,
)
introspect = extend_schema(
    operation_id="introspect",
    tags=["gateway"],
    summary="What is this token or key (RFC 7662)",
    description=(
        "For callers with the scope `tokens:introspect`. Access tokens, refresh tokens and keys; whatever is not good "
        'answers `{"active": false}` and nothing more. With `tokens` the answer is an array in the same order. Nothing '
        "is counted as a use."
    ),
    request={
        "application/json": serializers.IntrospectRequest,
        "application/x-www-form-urlencoded": serializers.IntrospectForm,
    },
    responses={200: ONE_OR_MANY, **problems(400, 401, 403, 413, 415, 429)},
    examples=[example({"token": "sk_…"}, request=True), example(ACTIVE)],
)
exchange = extend_schema(
    operation_id="exchange",
    tags=["gateway"],
    summary="Exchange a key for a token",
    description=(
        "A JWT of at most 5 minutes for an API key, its scopes narrowed to `scope`. At this service it dies with its "
        "key, its owner or their scopes; who verifies it alone, by the published keys, may not notice for 5 minutes. "
        "OAuth's forms are taken too: `client_credentials` (RFC 6749; `client_id` is the key's id, `client_secret` the "
        "key), and token exchange (RFC 8693; `subject_token` is the key)."
    ),
    request={
        "application/json": serializers.ExchangeRequest,
        "application/x-www-form-urlencoded": serializers.ExchangeForm,
    },
    responses={200: serializers.ExchangeResponse, **problems(400, 401, 413, 415, 429)},
    examples=[
        example({"scope": "reports:read", "audience": "billing"}, request=True),
        example({"access_token": "eyJhbGciOi…", "token_type": "bearer", "expires_in": 300, "scope": "reports:read"}),
    ],
)

HEADERS = {
    "X-Auth-Subject": "The user's id.",
    "X-Auth-Username": "The username; what is beyond ASCII percent-encoded.",
    "X-Auth-Method": "`jwt` or `api_key`.",
    "X-Auth-Key-Id": "The key's id, empty for a login.",
    "X-Auth-Roles": "Space separated.",
    "X-Auth-Scopes": "Space separated.",
}
PROBLEM = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}


TEXT = {"type": "string"}


def add_forward_auth(result: dict[str, Any], **context: Any) -> dict[str, Any]:
    """Postprocessing hook: tell of /auth/verify, which is no DRF view."""
    asked = [
        {
            "in": "query",
            "name": name,
            "schema": {"type": "array", "items": TEXT} if repeatable else TEXT,
            "description": text,
        }
        for name, repeatable, text in (
            ("scope", True, "What the credential must be allowed to do; repeatable."),
            ("role", True, "A role that its user must have; repeatable."),
            ("audience", False, "Whom the caller asks for: tokens for others are refused."),
        )
    ]
    told = {name: {"schema": {"type": "string"}, "description": text} for name, text in HEADERS.items()}
    refusals = {
        str(status): {"description": DESCRIPTIONS[status], "content": PROBLEM} for status in (400, 401, 403, 429, 503)
    }
    result["paths"]["/auth/verify"] = {
        "get": {
            "operationId": "verify",
            "tags": ["gateway"],
            "summary": "May this request pass (forward auth)",
            "description": "Answers by status and headers alone, to any method; the body is not read.",
            "parameters": asked,
            "security": [{"bearer": []}, {"apiKey": []}],
            "responses": {"200": {"description": "It may.", "headers": told}, **refusals},
        }
    }
    return result
