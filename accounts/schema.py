"""What /openapi.json says of the routes under /auth, and of the public keys."""

from typing import Any

from drf_spectacular.utils import PolymorphicProxySerializer, extend_schema

from accounts import serializers
from accounts.link_tokens import MESSAGES
from accounts.services.passwords import EmailNotConfirmed
from authsvc.api.openapi import example, problem_example, problems

NOT_CONFIRMED = EmailNotConfirmed().errors[0]
PASSWORD = "correct-horse-battery"  # noqa: S105  an example, and no one's

signup = extend_schema(
    operation_id="signup",
    tags=["auth"],
    summary="Sign up",
    description=(
        "Creates a user. Names and addresses are unique whatever their case and Unicode form; a duplicate is 400 with "
        '`errors[].code = "unique"`. 403 where the operator has closed sign-up.'
    ),
    request=serializers.SignupRequest,
    responses={201: serializers.UserResponse, **problems(400, 403, 429)},
    examples=[
        problem_example(400, {"field": "username", "code": "unique", "message": "This username is taken."}),
        problem_example(403, detail="Sign-up is closed here; ask the operator for an account."),
        example({"email": "alice@example.com", "username": "alice", "password": PASSWORD}, request=True),
        example(
            {
                "id": 1,
                "email": "alice@example.com",
                "username": "alice",
                "roles": [],
                "created_at": "2026-01-31T12:00:00Z",
            }
        ),
    ],
)
login = extend_schema(
    operation_id="login",
    tags=["auth"],
    summary="Log in",
    description=(
        "Exchanges a password for tokens. Send `username` or `email`; either takes a name or an address. An unknown "
        "user, a wrong password and a disabled user get the same 401 after the same time. 403 with the code "
        "`email_not_confirmed` for the right password, where the address has to be confirmed first. 429 after 5 "
        "failures within 15 minutes of one user from one address, or 100 from one address."
    ),
    request=PolymorphicProxySerializer(
        component_name="LoginRequest",
        serializers=[serializers.LoginByUsername, serializers.LoginByEmail],
        resource_type_field_name=None,
    ),
    responses={200: serializers.LoginResponse, **problems(401, 403, 429)},
    examples=[
        example({"username": "alice", "password": PASSWORD}, request=True),
        problem_example(403, NOT_CONFIRMED, detail=NOT_CONFIRMED["message"]),
        example(
            {"access_token": "eyJhbGciOi…", "token_type": "bearer", "expires_in": 1800, "refresh_token": "eyJhbGciOi…"}
        ),
    ],
)
MAILED = "1-3f9a…"  # the token of a link
REFRESH = "eyJhbGciOi…"
PAIR = {"access_token": "eyJhbGciOi…", "token_type": "bearer", "expires_in": 1800, "refresh_token": REFRESH}

refresh = extend_schema(
    operation_id="refresh",
    tags=["auth"],
    summary="Refresh",
    description=(
        "Exchanges a refresh token for a new pair; each refresh token works once. Of parallel calls with one token one "
        "succeeds. A token that was spent more than 10 seconds ago counts as stolen and ends its session. A refresh "
        "does not prolong the session."
    ),
    request=serializers.RefreshRequest,
    responses={200: serializers.LoginResponse, **problems(401)},
    examples=[example({"refresh_token": REFRESH}, request=True), example(PAIR)],
)
logout = extend_schema(
    operation_id="logout",
    tags=["auth"],
    summary="Log out",
    description="Ends the session of a refresh token; its access tokens fail from the next request on.",
    request=serializers.RefreshRequest,
    responses={204: None, **problems(401)},
    examples=[example({"refresh_token": REFRESH}, request=True)],
)
list_sessions = extend_schema(
    operation_id="listSessions",
    tags=["auth"],
    summary="List my sessions",
    description="Live sessions, newest first. The `Link` header has the next page.",
    parameters=[serializers.ListSessionsQuery],
    responses={200: serializers.SessionResponse(many=True), **problems(403)},
    examples=[
        example(
            {
                "id": 7,
                "device": "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
                "address": "203.0.113.7",
                "created_at": "2026-01-31T12:00:00Z",
                "last_used_at": "2026-01-31T12:30:00Z",
                "expires_at": "2026-02-14T12:00:00Z",
                "current": True,
            }
        )
    ],
)
end_sessions = extend_schema(
    operation_id="endSessions",
    tags=["auth"],
    summary="End all my sessions",
    description="Ends every session, including this one. API keys are not affected.",
    responses={204: None, **problems(403)},
)
end_session = extend_schema(
    operation_id="endSession",
    tags=["auth"],
    summary="End one of my sessions",
    description="204 also the second time; 404 for one that does not exist or is not yours.",
    responses={204: None, **problems(403, 404)},
)
change_password = extend_schema(
    operation_id="changePassword",
    tags=["auth"],
    summary="Change my password",
    description="Ends every other session. 429 after too many wrong guesses of the current password.",
    request=serializers.PasswordRequest,
    responses={204: None, **problems(400, 403)},
    examples=[
        example({"current_password": PASSWORD, "new_password": "battery-staple-correct"}, request=True),
        problem_example(
            400,
            {"field": "current_password", "code": "invalid_password", "message": "This is not the current password."},
        ),
    ],
)
ask_reset = extend_schema(
    operation_id="askPasswordReset",
    tags=["auth"],
    summary="Request a password reset by mail",
    description="202 whether or not an account has this address. The mailed link works once, for 30 minutes.",
    request=serializers.AddressRequest,
    responses={202: serializers.AcceptedResponse, **problems(429)},
    examples=[example({"email": "alice@example.com"}, request=True), example({"status": "accepted"})],
)
reset = extend_schema(
    operation_id="resetPassword",
    tags=["auth"],
    summary="Set a new password with the token of the mail",
    description=(
        "Ends every session. Where the address was never confirmed, every API key of the account is revoked too. A "
        "link that cannot be used is a 400 with the code `used`, `expired` or `invalid`."
    ),
    request=serializers.ResetRequest,
    responses={204: None, **problems(400)},
    examples=[
        example({"token": MAILED, "new_password": "battery-staple-correct"}, request=True),
        problem_example(400, {"field": "token", "code": "expired", "message": MESSAGES["expired"]}),
    ],
)
ask_verification = extend_schema(
    operation_id="askEmailVerification",
    tags=["auth"],
    summary="Request a confirmation mail",
    description="202 whether or not an account has this address. Sign-up sends the first one.",
    request=serializers.AddressRequest,
    responses={202: serializers.AcceptedResponse, **problems(429)},
    examples=[example({"email": "alice@example.com"}, request=True), example({"status": "accepted"})],
)
verify_email = extend_schema(
    operation_id="verifyEmail",
    tags=["auth"],
    summary="Confirm an address with the token of the mail",
    description="204 also the second time. A link that cannot be used is 400: `used`, `expired` or `invalid`.",
    request=serializers.TokenRequest,
    responses={204: None, **problems(400)},
    examples=[
        example({"token": MAILED}, request=True),
        problem_example(400, {"field": "token", "code": "invalid", "message": MESSAGES["invalid"]}),
    ],
)
me = extend_schema(
    operation_id="me",
    tags=["auth"],
    summary="Who am I",
    description="The user of the bearer token, with the roles and scopes of this moment, not those in the token.",
    responses={200: serializers.MeResponse},
    examples=[
        example(
            {"id": 1, "email": "alice@example.com", "username": "alice", "roles": ["admin"], "scopes": ["reports:read"]}
        ),
    ],
)

JWK = {
    "type": "object",
    "required": ["kty", "kid", "alg", "use"],
    "properties": {
        "kty": {"type": "string", "enum": ["EC", "RSA", "OKP"]},
        "kid": {"type": "string", "description": "The key's thumbprint (RFC 7638), as in the header of a token."},
        "alg": {"type": "string", "enum": ["ES256", "RS256", "EdDSA"]},
        "use": {"type": "string", "enum": ["sig"]},
    },
    "additionalProperties": {"type": "string", "description": "The members of a public key of this `kty`."},
}
JWK_SET = {"type": "object", "required": ["keys"], "properties": {"keys": {"type": "array", "items": JWK}}}
PUBLIC_KEY = {
    "crv": "P-256",
    "kty": "EC",
    "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
    "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM",
    "kid": "cn-I_WNMClehiVp51i_0VpOENW1upEerA8sEam5hn-s",
    "alg": "ES256",
    "use": "sig",
}


def add_jwks(result: dict[str, Any], **context: Any) -> dict[str, Any]:
    """Postprocessing hook: add /.well-known/jwks.json, which is not a DRF view."""
    result["components"]["schemas"]["JSONWebKeySet"] = JWK_SET
    content = {
        "schema": {"$ref": "#/components/schemas/JSONWebKeySet"},
        "examples": {"Example": {"value": {"keys": [PUBLIC_KEY]}}},
    }
    result["paths"]["/.well-known/jwks.json"] = {
        "get": {
            "operationId": "listSigningKeys",
            "tags": ["gateway"],
            "summary": "List the keys that verify access tokens (RFC 7517)",
            "description": (
                "Keep the set for as long as its `max-age` says, and fetch it again for a `kid` that is not in it. It "
                "is empty under HS256. While no key signs yet, it is `no-store`."
            ),
            "responses": {"200": {"description": "The public keys.", "content": {"application/json": content}}},
        }
    }
    return result
