"""What /openapi.json says of the routes under /auth."""

from drf_spectacular.utils import extend_schema

from accounts import serializers
from authsvc.openapi import BODY, example, problems

PASSWORD = "correct-horse-battery"  # noqa: S105  an example, and no one's

signup = extend_schema(
    operation_id="signup",
    tags=["auth"],
    summary="Sign up",
    description=(
        "Makes a user. Name and address are unique whatever their case and Unicode form: a taken one answers 400 with "
        '`errors[].code = "unique"`. 403 where the operator has closed sign-up.'
    ),
    request=serializers.SignupRequest,
    responses={201: serializers.UserResponse, **problems(*BODY, 403)},
    examples=[
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
        "Exchanges a password for an access token. An unknown user, a wrong password and a disabled user answer the "
        "same 401 after the same time. 429 after 5 failures within 15 minutes of one user from one address, or 100 "
        "from one address."
    ),
    request=serializers.LoginRequest,
    responses={200: serializers.LoginResponse, **problems(*BODY, 401, 429)},
    examples=[
        example({"username": "alice", "password": PASSWORD}, request=True),
        example(
            {"access_token": "eyJhbGciOi…", "token_type": "bearer", "expires_in": 1800, "refresh_token": "eyJhbGciOi…"}
        ),
    ],
)
REFRESH = "eyJhbGciOi…"
PAIR = {"access_token": "eyJhbGciOi…", "token_type": "bearer", "expires_in": 1800, "refresh_token": REFRESH}

refresh = extend_schema(
    operation_id="refresh",
    tags=["auth"],
    summary="Refresh",
    description=(
        "Exchanges a refresh token for a new pair; it is spent thereby. Of parallel calls with one token one succeeds. "
        "A token that was spent longer than 10 seconds ago is taken for stolen and ends its whole session. The "
        "session's end stays where the login put it."
    ),
    request=serializers.RefreshRequest,
    responses={200: serializers.LoginResponse, **problems(*BODY, 401)},
    examples=[example({"refresh_token": REFRESH}, request=True), example(PAIR)],
)
logout = extend_schema(
    operation_id="logout",
    tags=["auth"],
    summary="Log out",
    description="Ends the session of a refresh token: its access tokens are refused from the next request on.",
    request=serializers.RefreshRequest,
    responses={204: None, **problems(*BODY, 401)},
    examples=[example({"refresh_token": REFRESH}, request=True)],
)
list_sessions = extend_schema(
    operation_id="listSessions",
    tags=["auth"],
    summary="List my sessions",
    description="The sessions that live, newest first; the next page is in `Link`.",
    parameters=[serializers.ListSessionsQuery],
    responses={200: serializers.SessionResponse(many=True), **problems(400, 401)},
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
    description="This one too. API keys stay.",
    responses={204: None, **problems(401)},
)
end_session = extend_schema(
    operation_id="endSession",
    tags=["auth"],
    summary="End one of my sessions",
    description="204 also the second time; 404 for one that is absent or not yours.",
    responses={204: None, **problems(401, 404)},
)
change_password = extend_schema(
    operation_id="changePassword",
    tags=["auth"],
    summary="Change my password",
    description="Every session but this one ends. 429 after too many wrong guesses of the current password.",
    request=serializers.PasswordRequest,
    responses={204: None, **problems(*BODY, 401, 429)},
    examples=[example({"current_password": PASSWORD, "new_password": "battery-staple-correct"}, request=True)],
)
ask_reset = extend_schema(
    operation_id="askPasswordReset",
    tags=["auth"],
    summary="Ask for a mail to set a new password",
    description="The same 202 whether or not anybody has the address. The link works once, for 30 minutes.",
    request=serializers.AddressRequest,
    responses={202: serializers.AcceptedResponse, **problems(*BODY, 429)},
    examples=[example({"email": "alice@example.com"}, request=True), example({"status": "accepted"})],
)
reset = extend_schema(
    operation_id="resetPassword",
    tags=["auth"],
    summary="Set a new password by the token from the mail",
    description=(
        "Every session ends. Where the address was never confirmed, every API key of the account is revoked too. "
        "401 for a token that is wrong, used or too old."
    ),
    request=serializers.ResetRequest,
    responses={204: None, **problems(*BODY, 401)},
    examples=[example({"token": "1-d1x2y3-0a1b…", "new_password": "battery-staple-correct"}, request=True)],
)
ask_verification = extend_schema(
    operation_id="askEmailVerification",
    tags=["auth"],
    summary="Ask for a mail to confirm an address",
    description="The same 202 for everybody. Sign-up sends one by itself.",
    request=serializers.AddressRequest,
    responses={202: serializers.AcceptedResponse, **problems(*BODY, 429)},
    examples=[example({"email": "alice@example.com"}, request=True), example({"status": "accepted"})],
)
verify_email = extend_schema(
    operation_id="verifyEmail",
    tags=["auth"],
    summary="Confirm an address by the token from the mail",
    description="401 for a token that is wrong, used or too old.",
    request=serializers.TokenRequest,
    responses={204: None, **problems(*BODY, 401)},
    examples=[example({"token": "1-d1x2y3-0a1b…"}, request=True)],
)
me = extend_schema(
    operation_id="me",
    tags=["auth"],
    summary="Who am I",
    description="The user behind the bearer token, with roles and scopes as they are now, not as the token has them.",
    responses={200: serializers.MeResponse, **problems(401)},
    examples=[
        example(
            {"id": 1, "email": "alice@example.com", "username": "alice", "roles": ["admin"], "scopes": ["reports:read"]}
        ),
    ],
)
