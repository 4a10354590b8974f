"""Roles and scopes in the operator's console: what is granted there, keys and tokens may do at the next request."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.test import Client

from accounts.models import Role, Scope, User
from audit.models import AuditEvent
from tests.apikeys.forms import form_with
from tests.conftest import Api
from tests.factories import make_role

ROLES, SCOPES = "/admin/accounts/role/", "/admin/accounts/scope/"


def edit(console: Client, path: str, field: str, **changes: Any) -> Any:
    """Open a page, change some fields of its form, and send the form."""
    return console.post(path, {**form_with(console.get(path), field), **changes})


def events() -> list[tuple[str, str, str]]:
    """Return (event, actor, reason) of what was recorded after the operator's login, in order."""
    return list(
        AuditEvent.objects.exclude(event="user:logged_in").order_by("id").values_list("event", "actor_name", "reason")
    )


ROWS = "Scope_roles"


def inline(*scopes: Scope) -> dict[str, Any]:
    """Return what the form of a role sends for new rows of scopes."""
    rows = {f"{ROWS}-{number}-scope": scope.pk for number, scope in enumerate(scopes)}
    return {f"{ROWS}-TOTAL_FORMS": len(scopes), f"{ROWS}-INITIAL_FORMS": 0, **rows}


def test_a_role_made_here_grants_its_scopes_at_the_next_request(
    console: Client, api: Api, alice: User, alices_token: str
) -> None:
    scope = Scope.objects.get(name="reports:read")
    assert console.post(f"{ROLES}add/", {"name": "auditor", **inline(scope)}).status_code == 302
    alice.groups.add(Group.objects.get(name="auditor"))
    assert api.get("/auth/me", token=alices_token).json()["scopes"] == ["reports:read"]
    assert "reports:read" in console.get(ROLES).content.decode()
    assert events() == [
        ("role:changed", "operator", "name"),
        ("role:changed", "operator", "auditor grants reports:read"),
    ]


@pytest.mark.parametrize("name", ["two words", "a,b", "", "-x", "r" * 151, "née", "a\nb", "admin"], ids=repr)
def test_a_role_whose_name_cannot_be_is_not_made(console: Client, name: str) -> None:
    before = list(Role.objects.values())
    assert console.post(f"{ROLES}add/", {"name": name, **inline()}).status_code == 200
    assert list(Role.objects.values()) == before
    assert events() == []


def test_a_scope_taken_from_a_role_here_is_taken_from_its_users(
    console: Client, api: Api, alice: User, alices_token: str
) -> None:
    role = make_role("reader", "reports:read", "reports:write")
    alice.groups.add(role)
    path = f"{ROLES}{role.pk}/change/"
    row = next(n for n in (0, 1) if form_with(console.get(path), "name")[f"{ROWS}-{n}-scope"] == [str(read_scope())])
    assert edit(console, path, "name", **{f"{ROWS}-{row}-DELETE": "on"}).status_code == 302
    assert api.get("/auth/me", token=alices_token).json()["scopes"] == ["reports:write"]
    assert events() == [("role:changed", "operator", "reader no longer grants reports:read")]


def read_scope() -> int:
    """Return the id of reports:read."""
    return Scope.objects.get(name="reports:read").pk


def test_a_scope_is_made_and_described_here_and_its_name_is_fixed(console: Client) -> None:
    role = make_role("reader")
    made = console.post(f"{SCOPES}add/", {"name": "logs:read", "description": "Read logs.", "roles": [role.pk]})
    scope = Scope.objects.get(name="logs:read")
    path = f"{SCOPES}{scope.pk}/change/"
    assert (made.status_code, 'name="name"' in console.get(path).content.decode()) == (302, False)
    assert edit(console, path, "description", name="logs:write", description="See logs.").status_code == 302
    scope.refresh_from_db()
    assert (scope.name, scope.description, list(scope.roles.values_list("name", flat=True))) == (
        "logs:read",
        "See logs.",
        ["reader"],
    )


@pytest.mark.parametrize(
    "name",
    ["logs", "Logs:read", "logs:read all", "logs:", ":read", "a:b,c", "a:b\n:c", "", "reports:read", "a:" + "b" * 99],
)
def test_a_scope_whose_name_cannot_be_is_not_made(console: Client, name: str) -> None:
    before = Scope.objects.count()
    response = console.post(f"{SCOPES}add/", {"name": name, "description": "x"})
    assert (response.status_code, Scope.objects.count()) == (200, before)
    assert events() == []


@pytest.mark.parametrize("together", [False, True], ids=["alone", "from the list"])
def test_a_role_or_scope_that_is_deleted_grants_nothing_any_more_and_leaves_a_record(
    console: Client, api: Api, alice: User, alices_token: str, together: bool
) -> None:
    role = make_role("reader", "reports:read", "reports:write")
    alice.groups.add(role)
    scope = Scope.objects.get(name="reports:write")
    for path, row in ((SCOPES, scope), (ROLES, role)):
        chosen = {"action": "delete_selected", "_selected_action": [row.pk], "post": "yes"}
        assert console.post(path if together else f"{path}{row.pk}/delete/", chosen).status_code == 302
    assert api.get("/auth/me", token=alices_token).json()["roles"] == []
    assert [event for event, _, _ in events()] == ["scope:deleted", "role:deleted"]
