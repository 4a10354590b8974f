"""The scopes of a new key: none without asking, and none that its owner lacks."""

from __future__ import annotations

from typing import Any

import pytest

from accounts.models import Scope, User
from apikeys.models import APIKey
from tests.conftest import Api, errors_of
from tests.factories import make_role, token_of

ROUTE = "/keys/create"


@pytest.mark.parametrize("route", ["/keys/create", "/keys"])
def test_scopes_are_stored_once_each_and_in_order(api: Api, reader: User, route: str) -> None:
    asked = ["reports:write", "reports:read", "reports:write"]
    made = api.post(route, {"name": "x", "scopes": asked}, token=token_of(reader))
    assert (made.status_code, made.json()["scopes"]) == (201, ["reports:read", "reports:write"])
    assert APIKey.objects.get().scope == "reports:read reports:write"


@pytest.mark.parametrize("body", [{}, {"scopes": []}], ids=["absent", "empty"])
def test_no_scopes_asked_for_is_none_and_not_all(api: Api, reader: User, body: dict[str, Any]) -> None:
    made = api.post(ROUTE, {"name": "x", **body}, token=token_of(reader))
    assert (made.status_code, made.json()["scopes"]) == (201, [])


@pytest.mark.parametrize(
    ("scopes", "error"),
    [
        pytest.param(["no:such"], ("scopes", "unknown_scope"), id="unknown"),
        pytest.param(["reports:read", "no:such"], ("scopes", "unknown_scope"), id="granted and unknown"),
        pytest.param(["tokens:introspect"], ("scopes", "not_granted"), id="not granted"),
        pytest.param(["reports:read", "tokens:introspect"], ("scopes", "not_granted"), id="granted and not granted"),
        pytest.param(["reports:read reports:write"], ("scopes", "unknown_scope"), id="two in one"),
        pytest.param(["REPORTS:READ"], ("scopes", "unknown_scope"), id="other case"),
        pytest.param(["*"], ("scopes", "unknown_scope"), id="wildcard"),
        pytest.param(["reports:%"], ("scopes", "unknown_scope"), id="SQL wildcard"),
        pytest.param([""], ("scopes", "unknown_scope"), id="empty text"),
        pytest.param([" "], ("scopes", "unknown_scope"), id="space"),
        pytest.param(["a\0b"], ("scopes", "unknown_scope"), id="null character"),
        pytest.param(["\ud800"], ("scopes", "unknown_scope"), id="half a character"),
        pytest.param(["reports:read\n"] * 2 + ["\u202e"], ("scopes", "unknown_scope"), id="control characters"),
        pytest.param([None], ("scopes.0", "null"), id="null inside"),
        pytest.param([7], ("scopes.0", "invalid"), id="number inside"),
        pytest.param([["reports:read"]], ("scopes.0", "invalid"), id="list inside"),
        pytest.param(["x" * 101], ("scopes", "unknown_scope"), id="longer than any scope"),
        pytest.param(["x" * 900_000], ("scopes", "unknown_scope"), id="long"),
        pytest.param(["reports:read", "x" * 101, ""], ("scopes", "unknown_scope"), id="several at once"),
        pytest.param("reports:read", ("scopes", "not_a_list"), id="text"),
        pytest.param({"reports:read": True}, ("scopes", "not_a_list"), id="object"),
        pytest.param(None, ("scopes", "null"), id="null"),
    ],
)
def test_scopes_that_cannot_be_had_are_refused_by_their_field(
    api: Api, reader: User, scopes: Any, error: tuple[str, str]
) -> None:
    response = api.post(ROUTE, {"name": "x", "scopes": scopes}, token=token_of(reader))
    assert errors_of(response) == [error]
    assert not APIKey.objects.exists()


def test_more_scopes_than_there_can_be_are_refused_before_the_database_is_asked(api: Api, reader: User) -> None:
    scopes = [f"s:{number:05}" for number in range(70_000)]  # within the 1 MiB that a body may have
    response = api.post(ROUTE, {"name": "x", "scopes": scopes}, token=token_of(reader))
    assert errors_of(response) == [("scopes", "max_length")]
    assert not APIKey.objects.exists()


def test_a_superuser_has_no_more_scopes_than_the_roles_grant(api: Api, alice: User) -> None:
    User.objects.filter(pk=alice.pk).update(is_superuser=True, is_staff=True)
    response = api.post(ROUTE, {"name": "x", "scopes": ["reports:read"]}, token=token_of(alice))
    assert errors_of(response) == [("scopes", "not_granted")]
    assert Scope.objects.filter(name="reports:read").exists()


def test_a_role_given_or_taken_since_the_token_was_made_counts(api: Api, alice: User, alices_token: str) -> None:
    body = {"name": "x", "scopes": ["reports:read"]}
    alice.groups.add(make_role("reader", "reports:read"))
    assert api.post(ROUTE, body, token=alices_token).status_code == 201
    alice.groups.clear()
    assert errors_of(api.post(ROUTE, body, token=alices_token)) == [("scopes", "not_granted")]


@pytest.mark.parametrize(
    ("scopes", "message"),
    [
        pytest.param(["reports:read", "no:such"], "There is no scope 'no:such'.", id="unknown"),
        pytest.param(["z:z", "a:a"], "There is no scope 'a:a'.", id="two"),
        pytest.param(["x" * 900_000], f"There is no scope '{'x' * 100}'.", id="long"),
        pytest.param([f"a:sk_{'b' * 49}"], "There is no scope 'a:***'.", id="a key"),
        pytest.param(["\u202e\ud800\0"], r"There is no scope '\u202e\ud800\x00'.", id="not printable"),
    ],
)
def test_a_scope_that_does_not_exist_is_named(api: Api, reader: User, scopes: list[str], message: str) -> None:
    assert api.post(ROUTE, {"name": "x", "scopes": scopes}, token=token_of(reader)).json() == {
        "type": "about:blank",
        "title": "Bad Request",
        "status": 400,
        "detail": "The request has fields that are not valid.",
        "errors": [{"field": "scopes", "code": "unknown_scope", "message": message}],
    }
