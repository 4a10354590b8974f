"""What a client can make the API do: every route, with hostile bodies, headers and queries (ASVS 5.0, 15.2)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from accounts.models import User
from tests.factories import PASSWORD, make_key, make_role, pair_of
from tests.hostile.caller import Call, Caller, routes
from tests.hostile.inputs import FORMS, HEADERS, QUERIES, VALUES

LOGIN = {"username": "alice", "password": "wrong"}
KEY = {"name": "a key", "scopes": [], "allowed_ips": [], "rate_limit": "9/hour", "metadata": {}, "expires_in_days": 9}
# By route: its methods, and the fields of its body. A new route needs a row.
ROUTES: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    "/auth/signup": (("POST",), {"email": "new@example.com", "username": "alice", "password": PASSWORD}),
    "/auth/login": (("POST",), LOGIN),
    "/auth/refresh": (("POST",), {"refresh_token": "x"}),
    "/auth/logout": (("POST",), {"refresh_token": "x"}),
    "/auth/me": (("GET",), {}),
    "/auth/sessions": (("GET",), {}),
    "/auth/sessions/<int:session_id>": (("DELETE",), {}),
    "/auth/password": (("POST",), {"current_password": PASSWORD, "new_password": "short"}),
    "/auth/password/reset": (("POST",), {"email": "alice@example.com"}),
    "/auth/password/reset/confirm": (("POST",), {"token": "x", "new_password": PASSWORD}),
    "/auth/email/verify": (("POST",), {"email": "alice@example.com"}),
    "/auth/email/verify/confirm": (("POST",), {"token": "x"}),
    "/.well-known/jwks.json": (("GET",), {}),
    "/keys": (("GET", "POST"), KEY),
    "/keys/create": (("POST",), KEY),
    "/keys/report": (("POST",), {"key": "x"}),
    "/keys/<int:key_id>": (("GET", "PATCH"), {**KEY, "is_enabled": True}),
    "/keys/<int:key_id>/rotate": (("POST",), {"overlap_seconds": 9, "retire_old": "x", "expires_in_days": 9}),
    "/keys/<int:key_id>/usage": (("GET",), {}),
    "/auth/introspect": (("POST",), {"token": "x", "token_type_hint": "x", "tokens": ["x"]}),
    "/auth/token": (("POST",), {"scope": "a:b", "audience": "x"}),
    "/auth/verify": (("GET",), {}),
    "/": (("GET",), {}),
    **{f"/protected/{name}": (("GET",), {}) for name in ("user", "service", "any", "admin", "reports")},
    **{f"/{name}": (("GET",), {}) for name in ("openapi.json", "docs", "redoc", "livez", "readyz", "metrics")},
}
WITH_KEY = {"/auth/token", "/auth/verify", "/protected/service"}


@pytest.fixture(scope="module")
def caller() -> Caller:
    return Caller()


@pytest.fixture
def credentials(alice: User) -> tuple[dict[str, str], dict[str, str], int, int]:
    """The headers of a token and of a key, and the ids of its key and of its session."""
    alice.groups.add(make_role("gateway", "tokens:introspect"))
    pair = pair_of(alice)
    key, plaintext = make_key(alice)
    return {"Authorization": f"Bearer {pair.access_token}"}, {"X-API-Key": plaintext}, key.pk, 1


def call_of(route: str, method: str, fields: dict[str, Any], credentials: Any) -> Call:
    """Return the smallest request that a route reads."""
    token, key, key_id, session_id = credentials
    path = route.replace("<int:key_id>", str(key_id)).replace("<int:session_id>", str(session_id))
    body = json.dumps(fields).encode() if method in {"POST", "PATCH"} else b""
    return Call(method, path, key if route in WITH_KEY else token, body)


CALLS = [(route, method) for route, (methods, _) in ROUTES.items() for method in methods]


def test_every_route_of_the_api_has_a_row_and_none_is_left_that_has_gone() -> None:
    assert {route for route in routes() if not route.startswith("/admin/")} | {"/auth/verify"} == set(ROUTES)


@pytest.mark.parametrize(("route", "method"), CALLS)
def test_no_header_or_query_costs_more_than_its_size_allows(
    caller: Caller, credentials: Any, route: str, method: str
) -> None:
    smallest = call_of(route, method, ROUTES[route][1], credentials)
    cost = caller.seconds(smallest)
    for name, values in HEADERS.items():
        for value in values:
            caller.check(smallest._replace(headers={**smallest.headers, name: value}), cost)
    for query in QUERIES:
        caller.check(smallest._replace(query=query), cost)


@pytest.mark.parametrize(
    ("route", "method", "field"),
    [
        (route, method, field)
        for route, method in CALLS
        if method in {"POST", "PATCH"} and route != "/keys/create"  # which is /keys under another name
        for field in (*ROUTES[route][1], None)
    ],
)
def test_no_body_costs_more_than_its_size_allows(
    caller: Caller, credentials: Any, route: str, method: str, field: str | None
) -> None:
    fields = ROUTES[route][1]
    smallest = call_of(route, method, fields, credentials)
    cost = caller.seconds(smallest)
    for value in VALUES.values():
        others = "".join(f"{json.dumps(name)}:{json.dumps(kept)}," for name, kept in fields.items() if name != field)
        body = value if field is None else f'{{{others}"{field}":{value}}}'
        caller.check(smallest._replace(body=body.encode("utf-8", "surrogatepass")), cost)


@pytest.mark.parametrize("route", ["/auth/introspect", "/auth/token", "/auth/login"])
@pytest.mark.parametrize("content_type", ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x"])
@pytest.mark.parametrize("body", FORMS, ids=range(len(FORMS)))
def test_no_form_costs_more_than_its_size_allows(
    caller: Caller, credentials: Any, route: str, content_type: str, body: bytes
) -> None:
    smallest = call_of(route, "POST", {}, credentials)
    headers = {**smallest.headers, "Content-Type": content_type}
    caller.check(smallest._replace(headers=headers, body=body), caller.seconds(smallest))
