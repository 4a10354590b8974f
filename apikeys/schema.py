"""The OpenAPI descriptions of the routes under /keys."""

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema

from apikeys import serializers
from authsvc.api.openapi import example, problem_example, problems

LISTED = {
    "id": 7, "name": "nightly export", "prefix": "sk_4fT9xQ2m", "scopes": ["reports:read"], "status": "active",
    "is_enabled": True, "is_revoked": False, "allowed_ips": ["203.0.113.0/24"], "rate_limit": "100/minute",
    "metadata": {"team": "billing"}, "created_at": "2026-01-31T12:00:00Z", "expires_at": "2027-01-31T12:00:00Z",
    "revoked_at": None, "last_used_at": None,
}  # fmt: skip
COUNTED = {"ok": 0, "expired": 0, "revoked": 0, "disabled": 0, "scope": 0, "limited": 0, "address": 0}
USAGE = {
    "last_used_at": "2026-01-31T12:00:00Z", "last_used_address": "203.0.113.7",
    "outgoing_secret": {
        "prefix": "sk_Zb81kQwe", "retires_at": "2026-02-01T12:00:00Z",
        "last_used_at": "2026-01-31T11:59:00Z", "last_used_address": "203.0.113.9",
    },
    "days": [
        {"day": "2026-01-31", **COUNTED, "ok": 1042, "limited": 3},
        {"day": "2026-01-30", **COUNTED, "ok": 998, "address": 1},
    ],
}  # fmt: skip
PLAINTEXT = "sk_4fT9xQ2mVb7LdR0pYwK3sNcJ8hGzA5eU1iXoM6tBqWfD2n0aBcDe"

UNKNOWN_SCOPE = {"field": "scopes", "code": "unknown_scope", "message": "There is no scope 'reports:raed'."}

_create: dict[str, Any] = {
    "tags": ["keys"],
    "description": (
        "Issues a key for the bearer. The key is shown only in this response; only its SHA-256 is stored. Without "
        "`scopes` it has none. A scope that does not exist, or that you do not have, is a 400 on `scopes`."
    ),
    "request": serializers.CreateKeyRequest,
    "responses": {201: serializers.NewKeyResponse, **problems(400, 403)},
    "examples": [
        example({"name": "nightly export", "expires_in_days": 365}, request=True),
        example({**LISTED, "scopes": [], "key": PLAINTEXT}),
        problem_example(400, UNKNOWN_SCOPE),
    ],
}
create_key = extend_schema(operation_id="createKey", summary="Issue a key", **_create)
create_key_too = extend_schema(operation_id="createKeyAtCollection", summary="Issue a key (the same)", **_create)
list_keys = extend_schema(
    operation_id="listKeys",
    tags=["keys"],
    summary="List my keys",
    description="Newest first, without secrets. The `Link` header has the next page (RFC 8288).",
    parameters=[
        serializers.ListKeysQuery,
        OpenApiParameter(
            "Link", OpenApiTypes.STR, OpenApiParameter.HEADER, response=[200], description='`<…>; rel="next"`'
        ),
    ],
    responses={200: serializers.KeyResponse(many=True), **problems(403)},
    examples=[example(LISTED)],
)
read_key = extend_schema(
    operation_id="readKey",
    tags=["keys"],
    summary="Read one key",
    responses={200: serializers.KeyResponse, **problems(403, 404)},
    examples=[example(LISTED)],
)
change_key = extend_schema(
    operation_id="changeKey",
    tags=["keys"],
    summary="Change a key",
    description="Fields that are absent keep their values. 409 for a revoked key.",
    request=serializers.ChangeKeyRequest,
    responses={200: serializers.KeyResponse, **problems(403, 404, 409)},
    examples=[example({"name": "weekly export"}, request=True), example({**LISTED, "name": "weekly export"})],
)
revoke_key = extend_schema(
    operation_id="revokeKey",
    tags=["keys"],
    summary="Revoke a key",
    description="Permanent, and effective from the next request on. 204 also the second time.",
    responses={204: None, **problems(403, 404)},
)
rotate_key = extend_schema(
    operation_id="rotateKey",
    tags=["keys"],
    summary="Rotate a key's secret",
    description=(
        "Gives the key a new secret; id, name, scopes, limits and history stay, and the expiry starts again. The "
        "outgoing secret works for `overlap_seconds`, or until the new one is first used. At most two secrets work at "
        "a time: a second rotation ends the older one immediately. A key can rotate itself with its current secret. "
        "Revoking ends both."
    ),
    request=serializers.RotateKeyRequest,
    responses={201: serializers.NewKeyResponse, **problems(403, 404, 409)},
    examples=[
        example({"overlap_seconds": 3600, "retire_old": "on_first_use"}, request=True),
        example({**LISTED, "key": PLAINTEXT}),
    ],
)
key_usage = extend_schema(
    operation_id="keyUsage",
    tags=["keys"],
    summary="Read the usage of a key",
    description=(
        "Uses by day (UTC) and outcome, and whether, when and from where the outgoing secret of a rotation was last "
        "used. Counts are written every few seconds."
    ),
    parameters=[serializers.UsageQuery],
    responses={200: serializers.UsageResponse, **problems(403, 404)},
    examples=[example(USAGE)],
)
report_keys = extend_schema(
    operation_id="reportKeys",
    tags=["keys"],
    summary="Report a leaked key",
    description=(
        'Anybody who holds a key can report it: `{"key": …}`. GitHub\'s secret scanning sends its own array, signed. A '
        "live key is revoked and its owner notified; the answer is the same for unknown keys."
    ),
    request=serializers.ReportRequest,
    responses={202: serializers.ReportResponse, **problems(429)},
    examples=[example({"key": PLAINTEXT}, request=True), example({"status": "accepted"})],
)
