"""Roles and scopes as they are at this moment decide, whatever a token says and whenever a key was made."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser, Group
from rest_framework.permissions import BasePermission

from accounts.jwt.tokens import AccessToken
from accounts.models import Role, Scope, User
from accounts.permissions import HasRole, HasScope, IsUser
from accounts.services import roles
from apikeys.permissions import IsService
from tests.conftest import Api
from tests.factories import UserFactory, make_key, make_role, token_of

pytestmark = pytest.mark.django_db


def request(roles: tuple[str, ...] = (), scopes: tuple[str, ...] = (), auth: Any = None) -> Any:
    """Return as much of a request as a permission looks at."""
    return SimpleNamespace(user=SimpleNamespace(roles=roles, scopes=frozenset(scopes)), auth=auth)


def allows(permission: Any, asked: Any) -> bool:
    """Say whether a permission class lets a request pass."""
    made: BasePermission = permission()
    return bool(made.has_permission(asked, None))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("permission", "expected"),
    [
        pytest.param(HasRole("admin"), [True, False, True, False], id="role"),
        pytest.param(HasScope("reports:read"), [False, True, True, False], id="scope"),
        pytest.param(HasRole("admin") | HasScope("reports:read"), [True, True, True, False], id="or"),
        pytest.param(HasRole("admin") & HasScope("reports:read"), [False, False, True, False], id="and"),
        pytest.param(~HasRole("admin"), [False, True, False, True], id="not"),
        pytest.param(HasRole("Admin"), [False] * 4, id="another case"),
        pytest.param(HasRole("adm"), [False] * 4, id="a part of a role"),
        pytest.param(HasScope("reports"), [False] * 4, id="a part of a scope"),
        pytest.param(HasScope(""), [False] * 4, id="no scope"),
        pytest.param(
            HasRole("a") | HasRole("admin") & HasScope("reports:read"), [False, False, True, False], id="mixed"
        ),
    ],
)
def test_permissions_combine(permission: Any, expected: list[bool]) -> None:
    cast = [(("admin",), ()), ((), ("reports:read",)), (("admin",), ("reports:read",)), ((), ())]
    assert [allows(permission, request(roles, scopes)) for roles, scopes in cast] == expected


@pytest.mark.parametrize("user", [pytest.param(None, id="nobody"), pytest.param(AnonymousUser(), id="anonymous")])
@pytest.mark.parametrize("permission", [HasRole("admin"), HasScope("reports:read"), IsUser, IsService])
def test_whoever_brought_no_credential_passes_nothing(permission: type[BasePermission], user: Any) -> None:
    assert not allows(permission, SimpleNamespace(user=user, auth=None))
    assert not allows(permission & permission, SimpleNamespace(user=user, auth=None))


def test_what_is_asked_for_once_is_not_asked_of_the_next(alice: User) -> None:
    admin, auditor = HasRole("admin"), HasRole("auditor")
    assert [allows(admin, request(("admin",))), allows(auditor, request(("admin",)))] == [True, False]
    assert allows(IsUser, request(auth=AccessToken()))
    assert not allows(IsService, request(auth=AccessToken()))


def test_scopes_are_the_union_over_roles_and_each_is_named_once(api: Api, alice: User) -> None:
    make_role("auditor", "reports:read", "x:one").user_set.add(alice)
    make_role("clerk", "reports:read", "x:two").user_set.add(alice)
    make_role("stranger", "x:three")
    body = api.get("/auth/me", token=token_of(alice)).json()
    assert (body["roles"], body["scopes"]) == (["auditor", "clerk"], ["reports:read", "x:one", "x:two"])
    assert set(Scope.objects.values_list("name", flat=True)) >= set(body["scopes"])


def test_a_superuser_has_no_more_than_the_roles_give(api: Api) -> None:
    token = token_of(UserFactory(is_superuser=True, is_staff=True))
    assert api.get("/protected/admin", token=token).status_code == 403
    assert api.get("/protected/reports", token=token).status_code == 403
    assert api.get("/auth/me", token=token).json()["scopes"] == []


def test_a_token_feels_a_role_given_and_taken_away_at_the_next_request(
    api: Api, alice: User, django_assert_num_queries: Any
) -> None:
    token = token_of(alice)
    statuses = []
    for change in (None, roles.grant_role, roles.revoke_role, roles.grant_role):
        if change is not None:
            change(user=alice, role="admin")
        with django_assert_num_queries(1):
            statuses.append(api.get("/protected/admin", token=token).status_code)
    assert statuses == [403, 200, 403, 200]
    assert api.get("/auth/me", token=token).json()["roles"] == ["admin"]


def test_a_key_feels_a_role_taken_away_at_the_next_request(
    api: Api, alice: User, django_assert_num_queries: Any
) -> None:
    roles.grant_role(user=alice, role="auditor", scopes=["reports:read"])
    key = make_key(alice, "export", scopes=["reports:read"])[1]
    statuses = [api.get("/protected/reports", key=key).status_code]  # the first use writes; the next ones only read
    for change in (roles.revoke_role, roles.grant_role):
        change(user=alice, role="auditor")
        with django_assert_num_queries(1):
            statuses.append(api.get("/protected/reports", key=key).status_code)
    assert statuses == [200, 403, 200]
    assert api.get("/protected/service", key=key).status_code == 200


@pytest.mark.parametrize(
    "loss",
    [
        pytest.param(lambda: Scope.roles.through.objects.all().delete(), id="the role grants it no more"),
        pytest.param(lambda: Scope.objects.filter(name="reports:read").delete(), id="the scope is deleted"),
        pytest.param(lambda: Group.objects.filter(name="auditor").delete(), id="the role is deleted"),
    ],
)
def test_a_credential_loses_what_its_role_loses(
    api: Api, alice: User, loss: Any, django_assert_num_queries: Any
) -> None:
    roles.grant_role(user=alice, role="auditor", scopes=["reports:read"])
    token, key = token_of(alice), make_key(alice, scopes=["reports:read"])[1]
    before = [
        api.get("/protected/reports", token=token).status_code,
        api.get("/protected/reports", key=key).status_code,
    ]
    loss()
    with django_assert_num_queries(2):
        after = [api.get("/protected/reports", token=token), api.get("/protected/reports", key=key)]
    assert before == [200, 200]
    assert [response.status_code for response in after] == [403, 403]


def test_a_role_given_to_the_owner_adds_nothing_to_a_key_that_did_not_ask(api: Api, alice: User) -> None:
    key = make_key(alice)[1]
    roles.grant_role(user=alice, role="auditor", scopes=["reports:read"])
    assert api.get("/protected/reports", key=key).status_code == 403
    assert api.get("/protected/reports", token=token_of(alice)).status_code == 200


def test_two_roles_grant_a_scope_and_losing_one_is_no_loss(api: Api, alice: User) -> None:
    for role in ("auditor", "clerk"):
        roles.grant_role(user=alice, role=role, scopes=["reports:read"])
    key = make_key(alice, scopes=["reports:read"])[1]
    assert roles.revoke_role(user=alice, role="auditor") is True
    assert roles.revoke_role(user=alice, role="auditor") is False
    assert api.get("/protected/reports", key=key).status_code == 200


def test_a_role_is_a_group_and_a_scope_is_called_by_its_name() -> None:
    assert str(Scope.objects.get(name="reports:read")) == "reports:read"
    assert str(Role.objects.get(name="admin")) == "admin"
    assert str(UserFactory(username="deploy", is_service=True)) == "deploy (service account)"
