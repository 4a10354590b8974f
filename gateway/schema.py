"""The OpenAPI descriptions of the gateway's routes."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import PolymorphicProxySerializer, extend_schema

from authsvc.api.openapi import DESCRIPTIONS, OAuthProblem, example, problem_example, problems
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
    summary="Introspect a token or key (RFC 7662)",
    description=(
        "For credentials with the scope `tokens:introspect`, client credentials (a key's id and the key) included. "
        'Takes access tokens, refresh tokens and keys. One that is not good is `{"active": false}` and nothing more. '
        "With `tokens` the answer is an array in the same order. Introspection does not count as a use."
    ),
    request={
        "application/json": serializers.IntrospectRequest,
        "application/x-www-form-urlencoded": serializers.IntrospectForm,
    },
    responses={200: ONE_OR_MANY, **problems(400, 403, serializer=OAuthProblem)},
    examples=[
        example({"token": "sk_…"}, request=True),
        example(ACTIVE),
        problem_example(
            400,
            {"field": "token", "code": "required", "message": "Send token or tokens."},
            error="invalid_request",
            error_description="token: Send token or tokens.",
        ),
    ],
)
exchange = extend_schema(
    operation_id="exchange",
    tags=["gateway"],
    summary="Exchange a key for a token",
    description=(
        "Issues a JWT of at most 5 minutes for an API key, its scopes narrowed to `scope`. At this service it fails as "
        "soon as the key, its owner or a scope does; a service that verifies it offline may accept it until it "
        "expires. OAuth forms work too: `client_credentials` (RFC 6749; `client_id` is the key's id, `client_secret` "
        "the key) and token exchange (RFC 8693; `subject_token` is the key). More than one credential is a 400."
    ),
    request={
        "application/json": serializers.ExchangeRequest,
        "application/x-www-form-urlencoded": serializers.ExchangeForm,
    },
    responses={200: serializers.ExchangeResponse, **problems(401, serializer=OAuthProblem)},
    examples=[
        example({"audience": "billing"}, request=True),
        problem_example(401, error="invalid_client", error_description="The credential is not valid."),
        example({"access_token": "eyJhbGciOi…", "token_type": "bearer", "expires_in": 300, "scope": ""}),
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
TEXT = {"type": "string"}


def add_forward_auth(result: dict[str, Any], **context: Any) -> dict[str, Any]:
    """Postprocessing hook: add /auth/verify, which is not a DRF view."""
    asked = [
        {
            "in": "query",
            "name": name,
            "schema": {"type": "array", "items": TEXT} if repeatable else TEXT,
            "description": text,
        }
        for name, repeatable, text in (
            ("scope", True, "A scope that the credential must have; repeatable."),
            ("role", True, "A role that the user must have; repeatable."),
            ("audience", False, "The service that the caller verifies for; tokens for other services are rejected."),
        )
    ]
    told = {name: {"schema": {"type": "string"}, "description": text} for name, text in HEADERS.items()}
    errors = {str(status): {"description": DESCRIPTIONS[status]} for status in (400, 401, 403, 429, 503)}
    result["paths"]["/auth/verify"] = {
        "get": {
            "operationId": "verify",
            "tags": ["gateway"],
            "summary": "Verify a request (forward auth)",
            "description": "For gateways. Answers any method, by status and headers alone; the body is not read.",
            "parameters": asked,
            "security": [{"bearer": []}, {"apiKey": []}],
            "responses": {
                "200": {"description": "The credential is good, and grants what is required.", "headers": told},
                **errors,
            },
        }
    }
    return result
