"""Who am I, and what may I do: as it is now, by one query."""

from typing import Any

import pytest

from accounts.models import Scope, Session, User
from accounts.permissions import IsUser
from accounts.queries import session_by_id
from tests.conftest import BAD_CREDENTIAL, NO_CREDENTIAL, Api
from tests.factories import make_role, pair_of, token_of


def test_a_user_without_a_role_may_do_nothing(
    api: Api, alice: User, alices_token: str, django_assert_num_queries: Any
) -> None:
    with django_assert_num_queries(1):
        response = api.get("/auth/me", token=alices_token)
    assert response.status_code == 200
    assert response.json() == {
        "id": alice.pk,
        "email": "alice@example.com",
        "username": "Alice",
        "roles": [],
        "scopes": [],
    }


def test_the_scopes_are_the_union_over_the_roles_each_named_once(
    api: Api, alice: User, alices_token: str, django_assert_num_queries: Any
) -> None:
    make_role("unrelated", "secrets:read")
    alice.groups.add(make_role("reader", "reports:read", "a:b"), make_role("idle"))
    alice.groups.add(make_role("writer", "reports:write", "reports:read"))
    with django_assert_num_queries(1):
        body = api.get("/auth/me", token=alices_token).json()
    assert body["roles"] == ["idle", "reader", "writer"]
    assert body["scopes"] == ["a:b", "reports:read", "reports:write"]


def test_what_a_token_was_issued_with_does_not_outlast_what_the_operator_takes_away(api: Api, alice: User) -> None:
    role = make_role("reader", "reports:read", "reports:write")
    alice.groups.add(role)
    token = token_of(alice)
    Scope.objects.get(name="reports:write").roles.remove(role)
    assert api.get("/auth/me", token=token).json()["scopes"] == ["reports:read"]
    alice.groups.remove(role)
    body = api.get("/auth/me", token=token).json()
    assert (body["roles"], body["scopes"]) == ([], [])


@pytest.mark.parametrize("state", ["disabled", "deleted"])
def test_the_token_of_a_user_who_is_no_more_fails_at_the_next_request(
    api: Api, alice: User, alices_token: str, state: str
) -> None:
    assert api.get("/auth/me", token=alices_token).status_code == 200
    {"disabled": lambda: User.objects.update(is_active=False), "deleted": alice.delete}[state]()
    response = api.get("/auth/me", token=alices_token)
    assert (response.status_code, response.json()) == (401, BAD_CREDENTIAL)
    assert response["WWW-Authenticate"] == 'Bearer realm="authsvc", error="invalid_token"'


def test_what_a_request_holds_of_a_user_is_no_password(alice: User, django_assert_num_queries: Any) -> None:
    pair_of(alice)
    session = session_by_id(Session.objects.get().pk)
    assert session is not None
    user = session.user
    assert user.get_deferred_fields() == {
        *("password", "last_login", "created_at"),
        *("email_verified_at", "confirmation_sent_at", "security_stamp"),
    }
    with django_assert_num_queries(0):
        assert (user.username, user.is_active, user.email) == ("Alice", True, "alice@example.com")
    assert user.created_at == alice.created_at


@pytest.mark.django_db
def test_nothing_sent_is_told_apart_and_names_the_scheme(api: Api) -> None:
    response = api.get("/auth/me")
    assert (response.status_code, response.json()) == (401, NO_CREDENTIAL)
    assert response["WWW-Authenticate"] == 'Bearer realm="authsvc"'


def test_a_person_is_who_comes_with_an_access_token(rf: Any) -> None:
    request = rf.get("/")
    for auth in (None, "token", {"token_type": "access"}):
        request.auth = auth
        assert not IsUser().has_permission(request, None)  # type: ignore[arg-type]  # it does not look at the view
