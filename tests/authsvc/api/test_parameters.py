"""Query parameters of JSON routes: unknown ones and doubled ones are errors, after the credential."""

from __future__ import annotations

from typing import Any

import pytest

from accounts.models import User
from tests.conftest import Api, errors_of
from tests.factories import make_key, make_role, token_of

pytestmark = pytest.mark.django_db

LISTS = ["/keys", "/auth/sessions"]
# Method, path and body of a request that succeeds without parameters.
TOKEN_ROUTES = [
    ("GET", "/auth/me", None),
    ("DELETE", "/auth/sessions", None),
    ("POST", "/keys/create", {"name": "a key"}),
    ("POST", "/keys", {"name": "a key"}),
    ("GET", "/protected/user", None),
    ("GET", "/protected/any", None),
]
OPEN_ROUTES = [
    ("POST", "/auth/signup"),
    ("POST", "/auth/login"),
    ("POST", "/auth/refresh"),
    ("POST", "/auth/logout"),
    ("POST", "/auth/password/reset"),
    ("POST", "/auth/password/reset/confirm"),
    ("POST", "/auth/email/verify"),
    ("POST", "/auth/email/verify/confirm"),
    ("POST", "/keys/report"),
    ("GET", "/openapi.json"),
    ("GET", "/.well-known/jwks.json"),
]


@pytest.mark.parametrize("path", LISTS)
@pytest.mark.parametrize(
    ("query", "errors"),
    [
        ("page=2", [("page", "unknown")]),
        ("statu=revoked", [("statu", "unknown")]),
        ("Limit=1", [("Limit", "unknown")]),
        ("limit=1&limit=1", [("limit", "repeated")]),
        ("limit=1&limit=2&page", [("limit", "repeated"), ("page", "unknown")]),
        ("limit[]=1", [("limit[]", "unknown")]),
        ("limit=0", [("limit", "min_value")]),
    ],
)
def test_a_list_takes_its_own_parameters_once_each(
    api: Api, alices_token: str, path: str, query: str, errors: list[tuple[str, str]]
) -> None:
    assert errors_of(api.get(f"{path}?{query}", token=alices_token)) == errors
    assert api.call("HEAD", f"{path}?{query}", token=alices_token).status_code == 400
    assert api.get(f"{path}?limit=1&", token=alices_token).status_code == 200


def test_the_usage_of_a_key_takes_days(api: Api, alice: User) -> None:
    key, token = make_key(alice)[0], token_of(alice)
    assert api.get(f"/keys/{key.pk}/usage?days=2", token=token).status_code == 200
    assert errors_of(api.get(f"/keys/{key.pk}/usage?days=2&days=3", token=token)) == [("days", "repeated")]
    assert errors_of(api.get(f"/keys/{key.pk}?days=2", token=token)) == [("days", "unknown")]


@pytest.mark.parametrize(("method", "path", "body"), TOKEN_ROUTES)
def test_a_route_that_takes_none_refuses_any_after_the_credential(
    api: Api, alices_token: str, method: str, path: str, body: Any
) -> None:
    assert api.call(method, f"{path}?x=1", body).status_code == 401
    assert errors_of(api.call(method, f"{path}?x=1", body, token=alices_token)) == [("x", "unknown")]
    assert api.call(method, f"{path}?", body, token=alices_token).status_code in {200, 201, 204}


@pytest.mark.parametrize(("method", "path"), OPEN_ROUTES)
def test_an_open_route_refuses_any(api: Api, method: str, path: str) -> None:
    assert errors_of(api.call(method, f"{path}?x=1&y", {} if method == "POST" else None)) == [
        ("x", "unknown"),
        ("y", "unknown"),
    ]


def test_a_missing_scope_and_a_wrong_method_come_first(api: Api, alices_token: str) -> None:
    assert api.get("/protected/reports?x=1", token=alices_token).status_code == 403
    assert api.post("/auth/me?x=1", {}, token=alices_token).status_code == 405
    assert api.get("/nowhere?x=1", token=alices_token).status_code == 404


def test_a_list_takes_no_parameters_of_its_get_with_another_method(api: Api, alices_token: str) -> None:
    assert errors_of(api.delete("/auth/sessions?limit=1", token=alices_token)) == [("limit", "unknown")]


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/metrics", "/docs", "/redoc"])
def test_pages_probes_and_metrics_ignore_them(api: Api, path: str) -> None:
    assert api.get(f"{path}?x=1&x=2").status_code == 200


def test_forward_auth_names_the_parameter(api: Api, alice: User) -> None:
    alice.groups.add(make_role("analyst", "reports:read", "files:read"))
    token = token_of(alice)
    assert (
        api.get("/auth/verify?scope=reports:read&scope=files:read&role=analyst&role=analyst", token=token).status_code
        == 200
    )
    for query, error in {"scopes=x": ("scopes", "unknown"), "audience=a&audience=b": ("audience", "repeated")}.items():
        response = api.get(f"/auth/verify?{query}", token=token)
        assert [(found["field"], found["code"]) for found in response.json()["errors"]] == [error]
        assert response.status_code == 400
    assert api.get("/auth/verify-prefix/x?y=1", token=token).status_code == 200


def test_at_most_twenty_are_named_and_none_at_length(api: Api, alices_token: str) -> None:
    query = "&".join(f"{'x' * 300}{number}=1" for number in range(3)) + "&" + "&".join(f"y{n}" for n in range(500))
    response = api.get(f"/auth/me?{query}", token=alices_token)
    errors = response.json()["errors"]
    assert (response.status_code, len(errors), max(len(error["field"]) for error in errors)) == (400, 21, 100)
    assert (errors[-1]["field"], errors[-1]["code"]) == ("body", "more_errors")
