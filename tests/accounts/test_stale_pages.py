"""A page of the console that was opened a while ago changes what its operator changed, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission
from django.core.management import call_command
from django.test import Client

from accounts.models import Scope, User
from tests.apikeys.forms import form_with
from tests.audit.conftest import events
from tests.factories import UserFactory, make_role

pytestmark = pytest.mark.django_db
USERS, ROLES, SCOPES = "/admin/accounts/user/", "/admin/accounts/role/", "/admin/accounts/scope/"


@pytest.fixture
def console(db: None) -> Client:
    client = Client(raise_request_exception=False)
    client.force_login(UserFactory(username="root", is_staff=True, is_superuser=True))
    return client


def open_page(console: Client, path: str, field: str = "username") -> Any:
    return form_with(console.get(path), field)


def roles(user: User) -> set[str]:
    return set(user.groups.values_list("name", flat=True))


def test_a_role_that_was_revoked_while_the_page_was_open_stays_revoked(console: Client, bob: User) -> None:
    bob.groups.add(Group.objects.get(name="admin"), make_role("kept"))
    form = open_page(console, path := f"{USERS}{bob.pk}/change/")
    call_command("revoke_role", "bob", "admin")
    before = len(events())
    assert console.post(path, {**form, "email": "new@example.com"}).status_code == 302
    assert (roles(bob), events()[before:]) == ({"kept"}, [("user:changed", "root", "bob", "email")])


def test_a_role_that_was_granted_while_the_page_was_open_stays_granted(console: Client, bob: User) -> None:
    old, new = make_role("old"), make_role("new")
    bob.groups.add(old)
    form = open_page(console, path := f"{USERS}{bob.pk}/change/")
    call_command("grant_role", "bob", "admin")
    assert console.post(path, {**form, "groups": [new.pk]}).status_code == 302
    assert roles(bob) == {"admin", "new"}


def test_what_others_did_meanwhile_is_not_recorded_as_this_operators_doing(console: Client, bob: User) -> None:
    role = make_role("held")
    form = open_page(console, path := f"{USERS}{bob.pk}/change/")
    bob.groups.add(role)
    User.objects.filter(pk=bob.pk).update(is_staff=True)
    assert console.post(path, {**form, "groups": [role.pk], "is_staff": "on"}).status_code == 302
    assert events() == []


@pytest.mark.parametrize("empty", [False, True], ids=["had some", "had none"])
def test_permissions_that_were_revoked_or_granted_meanwhile_stay_so(console: Client, bob: User, empty: bool) -> None:
    first, second, third = Permission.objects.all()[:3]
    bob.user_permissions.set([] if empty else [first])
    form = open_page(console, path := f"{USERS}{bob.pk}/change/")
    bob.user_permissions.set([second])
    chosen = [third.pk] if empty else [first.pk, third.pk]
    assert console.post(path, {**form, "user_permissions": chosen}).status_code == 302
    assert set(bob.user_permissions.all()) == {second, third}


def test_a_role_keeps_the_name_permissions_and_scopes_that_it_got_meanwhile(console: Client) -> None:
    role = make_role("reader", "reports:read", "files:read")
    first, second = Permission.objects.all()[:2]
    form = open_page(console, path := f"{ROLES}{role.pk}/change/", "Scope_roles-TOTAL_FORMS")
    Group.objects.filter(pk=role.pk).update(name="renamed")
    role.permissions.add(first)
    Scope.objects.get(name="reports:read").roles.remove(role)
    assert console.post(path, {**form, "permissions": [second.pk]}).status_code in {200, 302}
    role.refresh_from_db()
    assert (role.name, list(Scope.objects.filter(roles=role).values_list("name", flat=True))) == (
        "renamed",
        ["files:read"],
    )
    assert first in role.permissions.all()


def test_a_scope_keeps_the_roles_and_the_description_that_it_got_meanwhile(console: Client) -> None:
    gone, new, scope = make_role("gone", "files:read"), make_role("new"), Scope.objects.get(name="files:read")
    form = open_page(console, path := f"{SCOPES}{scope.pk}/change/", "description")
    scope.roles.remove(gone)
    Scope.objects.filter(pk=scope.pk).update(description="Another text.")
    assert console.post(path, {**form, "roles": [gone.pk, new.pk]}).status_code == 302
    scope.refresh_from_db()
    assert (scope.description, list(scope.roles.values_list("name", flat=True))) == ("Another text.", ["new"])


def test_a_row_of_a_role_that_becomes_another_scope_is_one_taken_and_one_given(console: Client) -> None:
    role, other = make_role("reader", "files:read"), Scope.objects.get(name="reports:read")
    form = open_page(console, path := f"{ROLES}{role.pk}/change/", "Scope_roles-TOTAL_FORMS")
    assert console.post(path, {**form, "Scope_roles-0-scope": other.pk}).status_code == 302
    assert [reason for *_, reason in events()] == ["reader grants reports:read", "reader no longer grants files:read"]


@pytest.mark.parametrize("sent", [{"groups": []}, {}], ids=["chosen", "not sent"])
def test_a_form_made_by_hand_is_compared_with_the_database(console: Client, bob: User, sent: dict[str, Any]) -> None:
    old, new = make_role("old"), make_role("new")
    bob.groups.add(old)
    body = {"username": "bob", "email": "bob@example.com", "is_active": "on"}
    chosen = {"groups": [new.pk]} if sent else {}
    assert console.post(f"{USERS}{bob.pk}/change/", {**body, **chosen}).status_code == 302
    assert roles(bob) == ({"new"} if sent else {"old"})
