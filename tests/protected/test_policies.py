"""/protected/admin and /protected/reports: the role and scope demos."""

from __future__ import annotations

from typing import Any

import pytest

from accounts.models import User
from apikeys import usage
from tests.conftest import BAD_CREDENTIAL, NO_CREDENTIAL, Api
from tests.factories import make_key, make_role, token_of

BEARER, KEY = 'Bearer realm="authsvc"', 'ApiKey realm="authsvc"'
NOT_GRANTED = {
    "type": "about:blank",
    "title": "Forbidden",
    "status": 403,
    "detail": "The credential is good, but it does not grant this.",
}


@pytest.fixture
def auditor(alice: User) -> User:
    make_role("auditor", "reports:read").user_set.add(alice)
    return alice


def test_the_role_admin_opens_the_admin_route(api: Api, alice: User, django_assert_num_queries: Any) -> None:
    make_role("admin").user_set.add(alice)
    token = token_of(alice)
    with django_assert_num_queries(1):
        response = api.get("/protected/admin", token=token)
    assert response.status_code == 200
    assert response.json() == {"message": "Hello, Alice.", "user": "Alice", "auth_method": "jwt"}


@pytest.mark.parametrize("role", [None, "administrator", "Admin", "superadmin"])
def test_without_the_role_the_admin_route_is_forbidden(api: Api, alice: User, role: str | None) -> None:
    for name in filter(None, [role]):
        make_role(name).user_set.add(alice)
    response = api.get("/protected/admin", token=token_of(alice))
    assert (response.status_code, response.json()) == (403, NOT_GRANTED)
    assert response["Content-Type"] == "application/problem+json"
    assert "WWW-Authenticate" not in response


def test_a_key_of_an_admin_does_not_open_the_admin_route(api: Api, alice: User) -> None:
    make_role("admin").user_set.add(alice)
    response = api.get("/protected/admin", key=make_key(alice)[1])
    assert (response.status_code, response.json()) == (401, NO_CREDENTIAL)
    assert response["WWW-Authenticate"] == BEARER


def test_the_scope_opens_the_reports_route_to_a_token_and_to_a_key(
    api: Api, auditor: User, django_assert_num_queries: Any
) -> None:
    token, key = token_of(auditor), make_key(auditor, "export", scopes=["reports:read"])[1]
    by_token, by_key = api.get("/protected/reports", token=token), api.get("/protected/reports", key=key)
    with django_assert_num_queries(1):
        api.get("/protected/reports", key=key)
    assert by_token.json() == {"message": "Hello, Alice.", "user": "Alice", "auth_method": "jwt"}
    assert by_key.json() == {"message": "Hello, service export.", "service": "export", "auth_method": "api_key"}


def test_a_key_without_the_scope_is_forbidden_though_its_owner_has_it(api: Api, auditor: User) -> None:
    response = api.get("/protected/reports", key=make_key(auditor)[1])
    assert (response.status_code, response.json()) == (403, NOT_GRANTED)
    assert [(outcome, n) for (_, _, outcome), n in usage.counts.take().items() if n] == [("scope", 1)]


def test_a_user_without_the_scope_is_forbidden_and_so_is_a_key_from_better_days(api: Api, alice: User) -> None:
    key = make_key(alice, scope="reports:read tokens:introspect")[1]
    answers = [api.get("/protected/reports", key=key), api.get("/protected/reports", token=token_of(alice))]
    assert [answer.json() for answer in answers] == [NOT_GRANTED] * 2


def test_where_both_come_the_token_counts_and_the_key_does_not_make_up_for_it(
    api: Api, auditor: User, bobs_token: str
) -> None:
    key = make_key(auditor, scopes=["reports:read"])[1]
    assert api.get("/protected/reports", token=bobs_token, key=key).json() == NOT_GRANTED
    assert api.get("/protected/reports", token=token_of(auditor), key="junk").status_code == 200
    assert api.get("/protected/reports", token="junk", key=key).json() == BAD_CREDENTIAL


@pytest.mark.parametrize(
    ("path", "challenge"),
    [
        pytest.param("/protected/admin", BEARER, id="admin"),
        pytest.param("/protected/reports", f"{BEARER}, {KEY}", id="reports"),
    ],
)
def test_nothing_sent_is_answered_with_what_the_route_accepts(api: Api, path: str, challenge: str) -> None:
    response = api.get(path)
    assert (response.status_code, response.json()) == (401, NO_CREDENTIAL)
    assert response["WWW-Authenticate"] == challenge


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("path", ["/protected/admin", "/protected/reports"])
def test_other_methods_are_not_for_whoever_has_no_right_to_the_route(api: Api, path: str, method: str) -> None:
    response = api.call(method, path)
    assert response.status_code == 401
    assert response.json() == NO_CREDENTIAL


def test_other_methods_answer_405_to_whoever_has_the_right(api: Api, auditor: User) -> None:
    response = api.post("/protected/reports", {}, token=token_of(auditor))
    assert response.status_code == 405
    assert response["Allow"] == "GET, HEAD"
