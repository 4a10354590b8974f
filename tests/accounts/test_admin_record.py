"""What operators do in the console is recorded in the same transaction: who gave, took, changed or deleted what."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission
from django.db.models.signals import post_delete
from django.test import Client

from accounts.models import Scope, User
from audit.models import AuditEvent
from tests.audit.conftest import events
from tests.conftest import Api
from tests.factories import PASSWORD, UserFactory, make_key, make_role

pytestmark = pytest.mark.django_db
USERS, ROLES, SCOPES = "/admin/accounts/user/", "/admin/accounts/role/", "/admin/accounts/scope/"
NEW_PASSWORD = "another-horse-battery"


@pytest.fixture
def console(api: Api) -> Client:
    """A browser in which the operator ``root`` is logged in."""
    api.client.force_login(UserFactory(username="root", is_staff=True, is_superuser=True))
    return api.client


def fields_of(form: Any) -> Iterator[tuple[str, Any]]:
    """Yield what a browser sends of a form that nobody has touched."""
    for bound in form:
        value = bound.value()
        if isinstance(value, list | tuple):
            value = [getattr(item, "pk", item) for item in value]
        if value is not None and value is not False:
            yield bound.html_name, value
        if value is not None and bound.field.show_hidden_initial:
            yield bound.html_initial_name, value


def submit(client: Client, url: str, **changes: Any) -> None:
    """Open a form of the console, change some fields as an operator would, and save; None empties a field."""
    page = client.get(url)
    assert page.status_code == 200, page.content
    data = dict(fields_of(page.context["adminform"].form))
    for inline in page.context["inline_admin_formsets"]:
        data.update(fields_of(inline.formset.management_form))
        for form in inline.formset.initial_forms:
            data.update(fields_of(form))
    sent = {name: value for name, value in {**data, **changes}.items() if value is not None}
    response = client.post(url, sent)
    assert response.status_code == 302, response.context["errors"]


def test_making_a_user_is_recorded(console: Client) -> None:
    names = {"username": "New", "email": "new@example.com"}
    submit(console, f"{USERS}add/", **names, password1=PASSWORD, password2=PASSWORD, usable_password="true")
    assert events() == [("user:created", "root", "New", "")]
    assert User.objects.get(username="New").check_password(PASSWORD)


@pytest.mark.parametrize(
    ("before", "sent", "event"),
    [
        pytest.param(True, None, "user:disabled", id="disable"),
        pytest.param(False, "on", "user:enabled", id="enable"),
    ],
)
def test_disabling_and_enabling_are_events_of_their_own(
    console: Client, before: bool, sent: str | None, event: str
) -> None:
    user = UserFactory(username="dave", is_active=before)
    submit(console, f"{USERS}{user.pk}/change/", is_active=sent)
    assert events() == [(event, "root", "dave", "")]
    assert User.objects.get(pk=user.pk).is_active is not before


def test_other_changes_are_recorded_by_the_names_of_the_fields(console: Client, alice: User) -> None:
    submit(console, f"{USERS}{alice.pk}/change/", email="new@example.com", is_staff="on", is_active=None)
    assert events() == [
        ("user:disabled", "root", "Alice", ""),
        ("user:changed", "root", "Alice", "email is_staff"),
    ]
    assert "new@example.com" not in str(events())


def test_saving_what_nobody_changed_is_no_event(console: Client, alice: User) -> None:
    role = make_role("auditor", "reports:read")
    submit(console, f"{USERS}{alice.pk}/change/")
    submit(console, f"{ROLES}{role.pk}/change/")
    submit(console, f"{SCOPES}{Scope.objects.get(name='reports:read').pk}/change/")
    assert events() == []
    assert list(role.scopes.values_list("name", flat=True)) == ["reports:read"]


def test_roles_given_and_taken_away_are_recorded_one_by_one(console: Client, alice: User) -> None:
    old, kept, new, newer = (make_role(name) for name in ("old", "kept", "new", "newer"))
    alice.groups.set([old, kept])
    submit(console, f"{USERS}{alice.pk}/change/", groups=[kept.pk, new.pk, newer.pk])
    assert events() == [
        ("role:granted", "root", "Alice", "new"),
        ("role:granted", "root", "Alice", "newer"),
        ("role:taken_away", "root", "Alice", "old"),
    ]


def test_scopes_of_a_role_edited_from_its_own_side_are_recorded(console: Client) -> None:
    role = make_role("auditor", "reports:read")
    other = Scope.objects.get(name="tokens:introspect")
    prefix = "Scope_roles"
    submit(
        console,
        f"{ROLES}{role.pk}/change/",
        **{f"{prefix}-0-DELETE": "on", f"{prefix}-TOTAL_FORMS": 2, f"{prefix}-1-scope": other.pk},
        **{f"{prefix}-1-group": role.pk},
    )
    assert [reason for *_, reason in events()] == [
        "auditor grants tokens:introspect",
        "auditor no longer grants reports:read",
    ]
    assert {(event, actor) for event, actor, *_ in events()} == {("role:changed", "root")}


def test_roles_of_a_scope_edited_from_its_own_side_are_recorded(console: Client) -> None:
    old, new = make_role("old", "reports:read"), make_role("new")
    scope = Scope.objects.get(name="reports:read")
    submit(console, f"{SCOPES}{scope.pk}/change/", roles=[new.pk], description="Another text.")
    assert [(event, reason) for event, _, _, reason in events()] == [
        ("scope:changed", "description"),
        ("role:changed", "new grants reports:read"),
        ("role:changed", "old no longer grants reports:read"),
    ]
    assert list(old.scopes.all()) == []


def test_making_and_renaming_a_role_and_making_a_scope_are_recorded(console: Client) -> None:
    submit(console, f"{ROLES}add/", name="clerk")
    role = Group.objects.get(name="clerk")
    submit(console, f"{ROLES}{role.pk}/change/", name="registrar")
    submit(console, f"{SCOPES}add/", name="files:read", description="Read files.", roles=[role.pk])
    assert events() == [
        ("role:changed", "root", "clerk", "name"),
        ("role:changed", "root", "registrar", "name"),
        ("scope:changed", "root", "files:read", "name description"),
        ("role:changed", "root", "registrar", "registrar grants files:read"),
    ]


@pytest.mark.parametrize(
    ("section", "model", "event"),
    [
        pytest.param(ROLES, Group, "role:deleted", id="role"),
        pytest.param(SCOPES, Scope, "scope:deleted", id="scope"),
        pytest.param(USERS, User, "user:deleted", id="user"),
    ],
)
def test_deleting_one_or_many_is_recorded(console: Client, section: str, model: Any, event: str) -> None:
    field = {"user": "username"}.get(model._meta.model_name, "name")
    rows = [model.objects.create(**{field: f"x:{n}"}) for n in "abc"]
    console.post(f"{section}{rows[0].pk}/delete/", {"post": "yes"})
    chosen = [rows[1].pk, rows[2].pk]
    console.post(section, {"action": "delete_selected", "_selected_action": chosen, "post": "yes"})
    assert sorted(events()) == [(event, "root", f"x:{n}", "") for n in "abc"]
    assert not model.objects.filter(pk__in=[row.pk for row in rows]).exists()


def test_a_user_with_keys_is_not_deleted_and_nothing_is_recorded(console: Client, alice: User) -> None:
    make_key(alice)
    before = events()
    assert console.post(f"{USERS}{alice.pk}/delete/", {"post": "yes"}).status_code == 403
    console.post(USERS, {"action": "delete_selected", "_selected_action": [alice.pk], "post": "yes"})
    assert User.objects.filter(pk=alice.pk).exists()
    assert events() == before


@pytest.fixture
def no_deletion_ends_well() -> Iterator[None]:
    """Let whatever is deleted fail at its end, as when the database goes away."""

    def fail(**signal: Any) -> None:
        raise RuntimeError("the deletion failed")

    post_delete.connect(fail, sender=User)
    yield
    post_delete.disconnect(fail, sender=User)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("many", [False, True])
def test_a_deletion_that_fails_is_not_recorded(api: Api, no_deletion_ends_well: None, many: bool) -> None:
    operator, user = UserFactory(username="root", is_staff=True, is_superuser=True), UserFactory(username="dave")
    api.client.force_login(operator)
    url = USERS if many else f"{USERS}{user.pk}/delete/"
    answer = api.client.post(url, {"action": "delete_selected", "_selected_action": [user.pk], "post": "yes"})
    assert answer.status_code == 500
    assert User.objects.filter(username="dave").exists()
    assert events() == []


@pytest.mark.parametrize(
    "url",
    [pytest.param("/admin/password_change/", id="their own"), pytest.param(f"{USERS}{{pk}}/password/", id="another's")],
)
def test_a_password_set_in_the_console_is_recorded(console: Client, url: str) -> None:
    (root,) = User.objects.all()
    user = {True: root, False: UserFactory(username="dave")}["password_change" in url]
    new = {"new_password1": NEW_PASSWORD, "new_password2": NEW_PASSWORD}
    sent = {"old_password": PASSWORD, "password1": NEW_PASSWORD, "password2": NEW_PASSWORD, **new}
    console.post(url.format(pk=user.pk), {**sent, "usable_password": "true"})
    assert User.objects.get(pk=user.pk).check_password(NEW_PASSWORD)
    assert [(event, actor, subject) for event, actor, subject, _ in events()] == [("user:changed", "root", str(user))]


def test_an_operators_own_password_takes_the_current_one(console: Client) -> None:
    (root,) = User.objects.all()
    for answer in (console.get, console.post):
        assert answer(f"{USERS}{root.pk}/password/")["Location"] == "/admin/password_change/"
    assert User.objects.get().check_password(PASSWORD)


def test_permissions_given_to_a_user_or_a_role_are_recorded(console: Client, alice: User) -> None:
    permission = Permission.objects.get(codename="delete_user")
    submit(console, f"{USERS}{alice.pk}/change/", user_permissions=[permission.pk])
    submit(console, f"{ROLES}{make_role('clerk').pk}/change/", permissions=[permission.pk])
    assert [(event, actor, subject) for event, actor, subject, _ in events()] == [
        ("user:changed", "root", "Alice"),
        ("role:changed", "root", "clerk"),
    ]


@pytest.mark.parametrize(
    ("password", "event"), [(PASSWORD, "user:logged_in"), ("wrong", "user:login_failed")], ids=["good", "wrong"]
)
def test_a_login_to_the_console_is_a_login(api: Api, password: str, event: str) -> None:
    UserFactory(username="root", is_staff=True)
    api.client.post("/admin/login/", {"username": "root", "password": password})
    assert ("_auth_user_id" in api.client.session) is (password == PASSWORD)
    assert [(found, subject) for found, _, subject, _ in events()] == [(event, "root")]


def test_a_change_that_is_refused_is_no_event(console: Client, alice: User, bob: User) -> None:
    page = console.post(f"{USERS}{alice.pk}/change/", {"username": "BOB", "is_active": "on"})
    assert page.status_code == 200
    assert page.context["errors"]
    assert events() == []


def test_the_operators_address_and_request_are_recorded(console: Client, alice: User) -> None:
    response = console.post(f"{USERS}{alice.pk}/delete/", {"post": "yes"}, REMOTE_ADDR="192.0.2.77")
    assert response.status_code == 302
    found = AuditEvent.objects.values_list("event", "address", "request_id").get()
    assert found == ("user:deleted", "192.0.2.77", response["X-Request-ID"])


def test_the_list_of_roles_shows_what_each_grants(console: Client) -> None:
    make_role("auditor", "reports:read", "tokens:introspect")
    text = console.get(ROLES).content.decode()
    assert "reports:read tokens:introspect" in text
    assert console.get(f"{SCOPES}{Scope.objects.first().pk}/change/").context["adminform"].form.fields.keys() == {
        "description",
        "roles",
    }
