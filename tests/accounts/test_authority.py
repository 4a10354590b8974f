"""What an operator who is no superuser may do to accounts, roles and scopes: nobody climbs or locks out."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission
from django.core.exceptions import PermissionDenied
from django.test import Client

from accounts.models import Lockout, Role, Scope, Session, User
from accounts.services import administration, lockout, mail_links, roles, sessions, users
from tests.apikeys.forms import form_with
from tests.audit.conftest import events
from tests.conftest import Api
from tests.factories import PASSWORD, UserFactory, make_role, token_of

pytestmark = pytest.mark.django_db
USERS, ROLES, SCOPES = "/admin/accounts/user/", "/admin/accounts/role/", "/admin/accounts/scope/"
NEW_PASSWORD = "another-horse-battery"


def operator_with(*codenames: str, name: str = "clerk") -> User:
    """Return an operator with these permissions and no other."""
    user = UserFactory(username=name, is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    return user


def console_of(user: User) -> Client:
    client = Client(raise_request_exception=False)
    client.force_login(user)
    return client


@pytest.fixture
def clerk(db: None) -> User:
    """An operator who may see, add, change and delete users, roles, scopes, sessions and lockouts."""
    return operator_with(
        *(f"{verb}_{name}" for verb in ("view", "add", "change", "delete") for name in ("user", "role", "scope")),
        *("view_session", "view_lockout", "add_group", "change_group"),
    )


@pytest.fixture
def console(clerk: User) -> Client:
    return console_of(clerk)


@pytest.fixture
def root(db: None) -> User:
    return UserFactory(username="root", email="root@example.com", is_staff=True, is_superuser=True)


@pytest.fixture
def auditor(db: None) -> User:
    """An operator with a permission that the clerk lacks, by a role."""
    user, role = UserFactory(username="auditor", is_staff=True), make_role("console-auditor")
    role.permissions.add(Permission.objects.get(codename="view_auditevent"))
    user.groups.add(role)
    return user


def page_of(user: User) -> str:
    return f"{USERS}{user.pk}/change/"


def state(*users: User) -> list[Any]:
    """Return everything that accounts can do or be opened with."""
    columns = ("username", "email", "password", "is_active", "is_staff", "is_superuser", "email_verified_at")
    rows = User.objects.filter(pk__in=[user.pk for user in users]).order_by("pk")
    roles = [sorted(row.groups.values_list("name", flat=True)) for row in rows]
    permissions = [sorted(row.user_permissions.values_list("pk", flat=True)) for row in rows]
    return [list(rows.values_list(*columns)), roles, permissions]


def everything() -> list[int]:
    return list(Permission.objects.values_list("pk", flat=True))


# --- Nobody makes themself, or anybody, more ------------------------------------------------------------------------


@pytest.mark.parametrize("flag", ["is_superuser", "is_staff", "user_permissions", "groups"])
def test_the_page_of_a_user_offers_no_flags_or_permissions(console: Client, alice: User, flag: str) -> None:
    assert (f'name="{flag}"' in console.get(page_of(alice)).content.decode()) is (flag == "groups")


@pytest.mark.parametrize(
    "initial", [{}, {"initial-is_superuser": "True", "initial-is_staff": "True"}], ids=["", "lies"]
)
@pytest.mark.parametrize("change", [{"is_superuser": "on"}, {"is_superuser": "on", "is_staff": "on"}], ids=str)
@pytest.mark.parametrize("whose", ["own", "another's"])
def test_a_tick_makes_nobody_superuser(
    console: Client, clerk: User, alice: User, whose: str, change: dict[str, str], initial: dict[str, str]
) -> None:
    user = clerk if whose == "own" else alice
    form, before = form_with(console.get(page_of(user)), "username"), state(clerk, alice)
    assert console.post(page_of(user), {**form, **change, **initial}).status_code == 403
    assert (state(clerk, alice), events()) == (before, [])


@pytest.mark.parametrize("lie", [False, True])
def test_permissions_are_granted_to_nobody_also_where_the_page_claims_they_were_there(
    console: Client, clerk: User, lie: bool
) -> None:
    form, before = form_with(console.get(page_of(clerk)), "username"), state(clerk)
    sent = {**form, "user_permissions": everything(), **({"initial-user_permissions": everything()} if lie else {})}
    assert console.post(page_of(clerk), sent).status_code == 403
    assert (state(clerk), events()) == (before, [])


def test_a_superuser_who_forges_a_page_grants_nothing_without_a_trace(root: User, alice: User) -> None:
    console = console_of(root)
    form = form_with(console.get(page_of(alice)), "username")
    sent = {**form, "user_permissions": everything(), "initial-user_permissions": everything()}
    console.post(page_of(alice), sent)
    assert (alice.user_permissions.count(), events()) == (0, [])
    console.post(page_of(alice), {**form, "user_permissions": everything()[:2]})
    granted = [reason for *_, reason in events()]
    assert alice.user_permissions.count() == len(granted) == 2
    assert all(reason.startswith("grants permission ") for reason in granted)


def test_a_new_user_has_no_rights_whatever_is_posted(console: Client) -> None:
    names = {"username": "dave", "email": "dave@example.com", "password1": PASSWORD, "password2": PASSWORD}
    sent = {**names, "is_superuser": "on", "is_staff": "on", "user_permissions": everything(), "groups": [1]}
    console.post(f"{USERS}add/?_popup=1", sent)
    dave = User.objects.get(username="dave")
    assert (dave.is_staff, dave.is_superuser, dave.user_permissions.count(), dave.groups.count()) == (
        False,
        False,
        0,
        0,
    )


# --- Nobody touches somebody who holds more -------------------------------------------------------------------------


@pytest.mark.parametrize("victim", ["root", "auditor"])
@pytest.mark.parametrize("disabled", [False, True])
def test_somebody_who_holds_more_is_not_changed_reset_or_deleted(
    request: Any, console: Client, alice: User, victim: str, disabled: bool
) -> None:
    user: User = request.getfixturevalue(victim)
    User.objects.filter(pk=user.pk).update(is_active=not disabled)
    before, form = state(user), form_with(console.get(page_of(alice)), "username")
    shown = console.get(page_of(user))
    assert (shown.status_code, 'name="_save"' in shown.content.decode()) == (200, False)
    password = {"password1": NEW_PASSWORD, "password2": NEW_PASSWORD, "usable_password": "true"}
    statuses = [
        console.post(page_of(user), {**form, "username": user.username, "email": "mine@example.com"}).status_code,
        console.post(page_of(user), {"username": user.username, "email": user.email}).status_code,
        console.get(f"{USERS}{user.pk}/password/").status_code,
        console.post(f"{USERS}{user.pk}/password/", password).status_code,
        console.post(f"{USERS}{user.pk}/password/", {"usable_password": "false", "unset-password": "1"}).status_code,
        console.post(f"{USERS}{user.pk}/delete/", {"post": "yes"}).status_code,
        console.post(USERS, {"action": "delete_selected", "_selected_action": [user.pk], "post": "yes"}).status_code,
    ]
    assert statuses == [403] * len(statuses)
    assert (state(user), events()) == (before, [])


@pytest.mark.parametrize("action", ["end_sessions", "confirm_addresses"])
def test_an_action_on_a_list_leaves_out_who_holds_more(console: Client, root: User, alice: User, action: str) -> None:
    for user in (root, alice):
        token_of(user)
    page = console.post(USERS, {"action": action, "_selected_action": [root.pk, alice.pk]}, follow=True)
    assert "Left out: 1. Only a superuser changes an account" in page.content.decode()
    ended = {session.user.username: session.ended_at is not None for session in Session.objects.select_related("user")}
    confirmed = {user.username: user.email_verified_at is not None for user in (User.objects.all())}
    expected = {"root": False, "Alice": True}
    assert (ended if action == "end_sessions" else {name: confirmed[name] for name in expected}) == expected


def test_a_session_and_a_lockout_of_who_holds_more_stay(api: Api, console: Client, root: User, alice: User) -> None:
    for user in (root, alice):
        token_of(user)
        api.post("/auth/login", {"username": user.username, "password": "wrong"})
    chosen = list(Session.objects.values_list("pk", flat=True))
    page = console.post("/admin/accounts/session/", {"action": "end_selected", "_selected_action": chosen}, follow=True)
    assert "Ended 1 of 1 sessions." in page.content.decode()
    rows = list(Lockout.objects.values_list("pk", flat=True))
    console.post("/admin/accounts/lockout/", {"action": "lift_selected", "_selected_action": rows})
    assert list(Session.objects.filter(ended_at=None).values_list("user__username", flat=True)) == ["root"]
    assert list(Lockout.objects.values_list("user__username", flat=True)) == ["root"]


def test_the_account_of_somebody_with_a_role_is_disabled_and_not_taken_over(console: Client, alice: User) -> None:
    alice.groups.add(Group.objects.get(name="admin"))
    form = form_with(console.get(page_of(alice)), "username")
    password = {"password1": NEW_PASSWORD, "password2": NEW_PASSWORD, "usable_password": "true"}
    taken = [
        console.post(page_of(alice), {**form, "email": "mine@example.com"}).status_code,
        console.post(page_of(alice), {**form, "username": "mine"}).status_code,
        console.post(f"{USERS}{alice.pk}/password/", password).status_code,
    ]
    assert (taken, events()) == ([403] * 3, [])
    disabled = console.post(page_of(alice), {name: form[name] for name in form if name != "is_active"})
    assert (disabled.status_code, User.objects.get(pk=alice.pk).is_active) == (302, False)


def test_an_ordinary_account_is_changed_and_the_own_too(console: Client, clerk: User, alice: User) -> None:
    password = {"password1": NEW_PASSWORD, "password2": NEW_PASSWORD, "usable_password": "true"}
    assert console.post(f"{USERS}{alice.pk}/password/", password).status_code == 302
    for user, email in ((alice, "new@example.com"), (clerk, "clerk@example.org")):
        form = form_with(console.get(page_of(user)), "username")
        assert console.post(page_of(user), {**form, "email": email}).status_code == 302
        assert User.objects.get(pk=user.pk).email == email
    assert console.post(f"{USERS}{alice.pk}/delete/", {"post": "yes"}).status_code == 302
    assert not User.objects.filter(pk=alice.pk).exists()


# --- Roles and scopes -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("whose", ["own", "another's"])
@pytest.mark.parametrize("carries", ["permissions", "scopes", "nothing"])
def test_a_role_that_the_operator_lacks_or_that_carries_permissions_is_granted_to_nobody(
    console: Client, clerk: User, alice: User, whose: str, carries: str
) -> None:
    role = make_role("target", *(["reports:read"] if carries == "scopes" else []))
    if carries == "permissions":
        role.permissions.add(Permission.objects.get(codename="view_user"))
        clerk.groups.add(role)
    user = alice if whose != "own" or carries == "permissions" else clerk
    form, before = form_with(console.get(page_of(user)), "username"), state(clerk, alice)
    assert console.post(page_of(user), {**form, "groups": [role.pk]}).status_code == 403
    assert (state(clerk, alice), events()) == (before, [])


def test_a_role_that_the_operator_has_is_granted_and_any_plain_one_revoked(
    console: Client, clerk: User, alice: User
) -> None:
    held, other = make_role("held", "reports:read"), make_role("other")
    clerk.groups.add(held)
    alice.groups.add(other)
    form = form_with(console.get(page_of(alice)), "username")
    assert console.post(page_of(alice), {**form, "groups": [held.pk]}).status_code == 302
    assert events() == [("role:granted", "clerk", "Alice", "held"), ("role:taken_away", "clerk", "Alice", "other")]


def test_a_role_with_permissions_is_not_taken_from_anybody(console: Client, alice: User) -> None:
    role = make_role("viewer")
    role.permissions.add(Permission.objects.get(codename="view_user"))
    alice.groups.add(role)
    form = form_with(console.get(page_of(alice)), "username")
    assert console.post(page_of(alice), {name: form[name] for name in form if name != "groups"}).status_code == 403
    assert alice.groups.get() == role


def test_a_role_is_given_no_permissions_and_one_that_has_some_is_only_looked_at(console: Client, clerk: User) -> None:
    plain, mighty = make_role("plain"), make_role("mighty")
    mighty.permissions.add(Permission.objects.get(codename="view_user"))
    clerk.groups.add(plain, mighty)
    page = f"{ROLES}{plain.pk}/change/"
    assert 'name="permissions"' not in console.get(page).content.decode()
    form = form_with(console.get(page), "Scope_roles-TOTAL_FORMS")
    console.post(page, {**form, "permissions": everything(), "initial-permissions": everything()})
    console.post(f"{ROLES}add/?_popup=1", {**form, "name": "fresh", "permissions": everything()})
    assert [plain.permissions.count(), Role.objects.get(name="fresh").permissions.count()] == [0, 0]
    page = f"{ROLES}{mighty.pk}/change/"
    assert [console.get(page).status_code, console.post(page, form).status_code] == [200, 403]
    assert console.post(f"{ROLES}{mighty.pk}/delete/", {"post": "yes"}).status_code == 403
    assert Role.objects.filter(pk=mighty.pk).exists()


def test_scopes_that_the_operator_lacks_are_put_on_no_role_from_either_side(console: Client, clerk: User) -> None:
    role, scope = make_role("mine"), Scope.objects.get(name="reports:read")
    clerk.groups.add(role)
    row = {"Scope_roles-TOTAL_FORMS": 1, "Scope_roles-0-scope": scope.pk, "Scope_roles-0-group": role.pk}
    form = form_with(console.get(f"{ROLES}{role.pk}/change/"), "Scope_roles-TOTAL_FORMS")
    assert console.post(f"{ROLES}{role.pk}/change/", {**form, **row}).status_code == 403
    form = form_with(console.get(f"{SCOPES}{scope.pk}/change/"), "description")
    assert console.post(f"{SCOPES}{scope.pk}/change/", {**form, "roles": [role.pk]}).status_code == 403
    added = {"name": "files:read", "description": "Read files.", "roles": [role.pk]}
    assert console.post(f"{SCOPES}add/", added).status_code == 403
    assert (role.scopes.count(), events()) == (0, [])  # type: ignore[attr-defined]  # of Scope.roles


def test_an_operator_moves_the_scopes_that_are_held_and_describes_them(console: Client, clerk: User) -> None:
    held, other = make_role("held", "reports:read"), make_role("other")
    clerk.groups.add(held)
    scope = Scope.objects.get(name="reports:read")
    form = form_with(console.get(f"{SCOPES}{scope.pk}/change/"), "description")
    sent = {**form, "roles": [held.pk, other.pk], "description": "New."}
    assert console.post(f"{SCOPES}{scope.pk}/change/", sent).status_code == 302
    assert [reason for *_, reason in events()] == ["description", "other grants reports:read"]


def test_a_role_is_not_renamed_into_another(console: Client, clerk: User) -> None:
    role = make_role("held")
    clerk.groups.add(role)
    Group.objects.filter(name="admin").delete()
    form = form_with(console.get(f"{ROLES}{role.pk}/change/"), "Scope_roles-TOTAL_FORMS")
    console.post(f"{ROLES}{role.pk}/change/", {**form, "name": "admin"})
    assert Group.objects.get(pk=role.pk).name == "held"
    with pytest.raises(PermissionDenied):
        administration.change_row(row=role, changes={"name": "admin"}, actor=clerk)


# --- The services hold the same ----------------------------------------------------------------------------------


def test_every_service_refuses_an_actor_who_may_not(clerk: User, root: User, api: Api) -> None:
    token_of(root)
    api.post("/auth/login", {"username": "root", "password": "wrong"})
    mighty, scope = make_role("mighty"), Scope.objects.get(name="reports:read")
    mighty.permissions.add(Permission.objects.get(codename="view_user"))
    calls: list[Any] = [
        lambda: roles.grant_role(user=root, role="admin", actor=clerk),
        lambda: roles.grant_role(user=clerk, role="brand-new", actor=clerk),
        lambda: roles.revoke_role(user=root, role="admin", actor=clerk),
        lambda: users.set_active(user=root, active=False, actor=clerk),
        lambda: sessions.end_all(user=root, reason="x", actor=clerk),
        lambda: sessions.end(session=Session.objects.get(), reason="x", actor=clerk),
        lambda: mail_links.mark_email_confirmed(user=root, actor=clerk),
        lambda: lockout.unlock(rows=list(Lockout.objects.filter(user=root)), actor=clerk),
        lambda: administration.delete_user(user=root, actor=clerk),
        lambda: administration.change_user(user=root, changes={"email": "x@example.com"}, actor=clerk),
        lambda: administration.change_user(user=clerk, changes={"is_superuser": True}, actor=clerk),
        lambda: administration.change_permissions(of=clerk, grant=Permission.objects.all(), actor=clerk),
        lambda: administration.change_permissions(of=mighty, grant=Permission.objects.all(), actor=clerk),
        lambda: administration.change_scopes(role=mighty, revoke=[scope], actor=clerk),
        lambda: administration.delete_row(row=mighty, actor=clerk),
    ]
    before = (state(clerk, root), events())
    for call in calls:
        with pytest.raises(PermissionDenied):
            call()
    assert (state(clerk, root), events()) == before
    assert not Group.objects.filter(name="brand-new").exists()


def test_the_command_line_may_do_everything(alice: User) -> None:
    administration.change_user(user=alice, changes={"is_superuser": True, "email": "alice@example.com"}, actor=None)
    administration.change_permissions(of=alice, grant=Permission.objects.filter(codename="view_user"), actor=None)
    administration.change_permissions(of=alice, revoke=Permission.objects.filter(codename="view_user"), actor=None)
    assert [reason for *_, reason in events()] == [
        "is_superuser",
        "grants permission accounts.view_user",
        "no longer grants permission accounts.view_user",
    ]


def test_an_operator_who_may_only_look_at_users_sees_their_pages(alice: User) -> None:
    page = console_of(operator_with("view_user")).get(page_of(alice))
    assert (page.status_code, "alice@example.com" in page.content.decode()) == (200, True)
