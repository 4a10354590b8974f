"""The operator's console: who gets in, and what it does to people."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import User
from apikeys.models import APIKey
from audit.models import AuditEvent
from tests.apikeys.forms import form_with
from tests.conftest import Api
from tests.factories import PASSWORD, UserFactory, make_key, make_role, token_of

USERS, ROLES, SCOPES = ("/admin/accounts/user/", "/admin/accounts/role/", "/admin/accounts/scope/")
LOGIN = "/admin/login/"


@pytest.fixture
def operator(db: None) -> User:
    return UserFactory(username="operator", email="operator@example.com", is_staff=True, is_superuser=True)


@pytest.fixture
def console(operator: User) -> Client:
    """The console as the operator's browser has it open; a failure is an answer, not a raise."""
    client = Client(raise_request_exception=False)
    client.force_login(operator)
    return client


def edit(console: Client, path: str, field: str, **changes: Any) -> Any:
    """Open a page, change some fields of its form, and send the form."""
    return console.post(path, {**form_with(console.get(path), field), **changes})


def page_of(user: User) -> str:
    return f"{USERS}{user.pk}/change/"


def events() -> list[tuple[str, str, str]]:
    """Return (event, actor, reason) of what was recorded after the operator's login, in order."""
    return list(
        AuditEvent.objects.exclude(event="user:logged_in").order_by("id").values_list("event", "actor_name", "reason")
    )


# --- Logging in -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["operator", "OPERATOR", "operator@example.com", "Operator@Example.COM", " operator "])
def test_an_operator_logs_in_with_the_name_or_the_address(operator: User, name: str) -> None:
    client = Client()
    response = client.post(f"{LOGIN}?next=/admin/", {"username": name, "password": PASSWORD})
    assert (response.status_code, response["Location"]) == (302, "/admin/")
    assert client.get("/admin/").status_code == 200


def test_an_address_as_long_as_an_account_may_have_logs_in(db: None) -> None:
    email = f"{'a' * 64}@{'.'.join(['b' * 60] * 3)}.exampl"  # 254 characters
    UserFactory(email=email, is_staff=True)
    response = Client().post(f"{LOGIN}?next=/admin/", {"username": email, "password": PASSWORD})
    assert response.status_code == 302


@pytest.mark.parametrize(
    ("name", "password", "state"),
    [
        pytest.param("operator", "wrong", {}, id="wrong password"),
        pytest.param("nobody", PASSWORD, {}, id="unknown name"),
        pytest.param("nobody@example.com", PASSWORD, {}, id="unknown address"),
        pytest.param("operator", PASSWORD, {"is_staff": False}, id="no operator"),
        pytest.param("operator", PASSWORD, {"is_active": False}, id="disabled"),
        pytest.param("operator", "", {}, id="no password"),
        pytest.param("operator\x00", PASSWORD, {}, id="NUL"),
        pytest.param("%", PASSWORD, {}, id="wildcard"),
    ],
)
def test_a_login_that_is_not_right_is_the_form_again(
    operator: User, name: str, password: str, state: dict[str, bool]
) -> None:
    User.objects.filter(pk=operator.pk).update(**{"is_staff": True, **state})
    client = Client(raise_request_exception=False)
    assert client.post(LOGIN, {"username": name, "password": password}).status_code == 200
    assert client.get("/admin/").status_code == 302


def test_the_login_takes_no_form_from_elsewhere_and_leads_nowhere_else(operator: User) -> None:
    body = {"username": "operator", "password": PASSWORD}
    assert Client(enforce_csrf_checks=True).post(LOGIN, body).status_code == 403
    away = Client().post(f"{LOGIN}?next=https://evil.example/", {**body, "next": "https://evil.example/"})
    assert away.status_code == 302
    assert "evil" not in away["Location"]


# --- Users ----------------------------------------------------------------------------------------------------------

NEW = {"username": "dave", "email": "dave@example.com", "password1": PASSWORD, "password2": PASSWORD}


def test_a_user_made_here_can_log_in_and_has_no_role(console: Client, api: Api) -> None:
    response = console.post(f"{USERS}add/", NEW)
    dave = User.objects.get(username="dave")
    assert (response.status_code, response["Location"]) == (302, page_of(dave))
    assert (dave.is_active, dave.is_staff, dave.is_superuser, dave.groups.count()) == (True, False, False, 0)
    assert dave.password.startswith("bcrypt_sha256$")
    assert api.post("/auth/login", {"username": "dave", "password": PASSWORD}).status_code == 200
    assert events()[0] == ("user:created", "operator", "")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param({"username": "ALICE"}, "This username is taken.", id="name in another case"),
        pytest.param({"username": "Ａｌｉｃｅ"}, "This username is taken.", id="name in full width"),
        pytest.param({"email": "ALICE@Example.com"}, "This e-mail address is taken.", id="address in another case"),
        pytest.param({"username": "a b"}, "A username has letters, digits", id="space in the name"),
        pytest.param({"username": "a@b"}, "A username has letters, digits", id="address as a name"),
        pytest.param({"username": ""}, "This field is required.", id="no name"),
        pytest.param({"email": ""}, "This field is required.", id="no address"),
        pytest.param({"email": "nothing"}, "Enter a valid email address.", id="no such address"),
        pytest.param({"password2": "other"}, "didn’t match", id="two passwords"),
        pytest.param({"password1": "12345", "password2": "12345"}, "This password is too short.", id="weak password"),
    ],
)
def test_a_user_who_cannot_be_made_is_not(console: Client, alice: User, change: dict[str, str], message: str) -> None:
    before = User.objects.count()
    response = console.post(f"{USERS}add/", {**NEW, **change})
    assert response.status_code == 200
    assert message in response.content.decode()
    assert (User.objects.count(), events()) == (before, [])


def test_an_edit_stores_what_was_edited_and_records_it(
    console: Client, api: Api, alice: User, alices_token: str
) -> None:
    response = edit(console, page_of(alice), "username", email="new@example.com")
    alice.refresh_from_db()
    assert (response.status_code, alice.email, alice.username) == (302, "new@example.com", "Alice")
    assert events() == [("user:changed", "operator", "email")]
    assert api.get("/auth/me", token=alices_token).json()["email"] == "new@example.com"


def test_an_edit_of_nothing_writes_no_column(console: Client, alice: User) -> None:
    form = form_with(console.get(page_of(alice)), "username")
    with CaptureQueriesContext(connection) as queries:
        assert console.post(page_of(alice), form).status_code == 302
    assert not [query["sql"] for query in queries if query["sql"].startswith('UPDATE "accounts_user"')]
    assert events() == []


def test_an_edit_writes_the_columns_that_changed_and_no_other(console: Client, alice: User) -> None:
    form = form_with(console.get(page_of(alice)), "username")
    with CaptureQueriesContext(connection) as queries:
        console.post(page_of(alice), {**form, "email": "new@example.com"})
    (update,) = [query["sql"] for query in queries if query["sql"].startswith('UPDATE "accounts_user"')]
    assert re.findall(r'"(\w+)" = ', update.split(" WHERE ")[0]) == ["email", "email_verified_at"]


def test_a_user_disabled_while_the_page_was_open_stays_disabled_when_something_else_is_saved(
    console: Client, alice: User
) -> None:
    form = form_with(console.get(page_of(alice)), "username")
    User.objects.filter(pk=alice.pk).update(is_active=False)
    console.post(page_of(alice), {**form, "email": "new@example.com"})
    alice.refresh_from_db()
    assert alice.is_active is False


def test_an_address_changed_while_the_page_was_open_stays_changed(console: Client, alice: User) -> None:
    form = form_with(console.get(page_of(alice)), "username")
    User.objects.filter(pk=alice.pk).update(email="hers@example.com")
    console.post(page_of(alice), {**form, "username": "alicia"})
    alice.refresh_from_db()
    assert alice.email == "hers@example.com"


@pytest.mark.parametrize("name", ["BOB", "ｂｏｂ", "bob "], ids=["case", "full width", "space"])
def test_an_edit_cannot_take_a_name_that_somebody_has(console: Client, alice: User, bob: User, name: str) -> None:
    response = edit(console, page_of(alice), "username", username=name)
    assert (response.status_code, "This username is taken." in response.content.decode()) == (200, True)
    assert User.objects.get(pk=alice.pk).username == "Alice"


def test_an_edit_to_the_own_name_in_another_case_is_allowed(console: Client, alice: User) -> None:
    assert edit(console, page_of(alice), "username", username="ALICE").status_code == 302
    assert User.objects.get(pk=alice.pk).username == "ALICE"


def test_disabling_a_user_ends_all_that_is_theirs_and_enabling_brings_the_keys_back(
    console: Client, api: Api, alice: User, alices_token: str
) -> None:
    key = make_key(alice)[1]
    form = form_with(console.get(page_of(alice)), "username")

    def opens() -> list[int]:
        return [api.get("/auth/me", token=alices_token).status_code, api.get("/protected/service", key=key).status_code]

    assert console.post(page_of(alice), {name: form[name] for name in form if name != "is_active"}).status_code == 302
    assert opens() == [401, 401]
    assert edit(console, page_of(alice), "username", is_active="on").status_code == 302
    assert opens() == [401, 200]  # a session that has ended is over, a key is enabled again with its owner
    assert [event for event, actor, _ in events() if actor == "operator"] == [
        "user:disabled",
        "session:ended",
        "user:enabled",
    ]


def test_roles_given_and_taken_here_count_at_the_next_request_and_are_recorded(
    console: Client, api: Api, alice: User, alices_token: str
) -> None:
    role = make_role("reader", "reports:read")
    assert edit(console, page_of(alice), "username", groups=[role.pk]).status_code == 302
    assert api.get("/auth/me", token=alices_token).json()["scopes"] == ["reports:read"]
    assert edit(console, page_of(alice), "username", groups=[]).status_code == 302
    assert api.get("/auth/me", token=alices_token).json()["scopes"] == []
    assert [event[::2] for event in events()] == [("role:granted", "reader"), ("role:taken_away", "reader")]


def test_a_new_password_opens_and_the_old_one_does_not(console: Client, api: Api, alice: User) -> None:
    path, words = f"{USERS}{alice.pk}/password/", "another-horse-battery"
    weak = console.post(path, {"password1": "12345", "password2": "12345"})
    assert (weak.status_code, "too short" in weak.content.decode()) == (200, True)
    assert console.post(path, {"password1": words, "password2": words}).status_code == 302
    login = [api.post("/auth/login", {"username": "alice", "password": word}).status_code for word in (words, PASSWORD)]
    assert login == [200, 401]


def test_a_new_password_is_written_alone_because_hashing_takes_a_while(console: Client, alice: User) -> None:
    words = "another-horse-battery"
    with CaptureQueriesContext(connection) as queries:
        console.post(f"{USERS}{alice.pk}/password/", {"password1": words, "password2": words})
    updates = [query["sql"] for query in queries if query["sql"].startswith('UPDATE "accounts_user"')]
    assert [re.findall(r'"(\w+)" = ', sql.split(" WHERE ")[0]) for sql in updates] == [["password"]]


def test_a_new_password_is_recorded(console: Client, alice: User) -> None:
    words = "another-horse-battery"
    assert console.post(f"{USERS}{alice.pk}/password/", {"password1": words, "password2": words}).status_code == 302
    assert [actor for _, actor, _ in events()] == ["operator"]


def test_no_page_shows_the_hash_of_a_password_whole(console: Client, alice: User) -> None:
    pages = [console.get(path) for path in (USERS, page_of(alice), f"{USERS}{alice.pk}/password/")]
    assert [page.status_code for page in pages] == [200] * 3
    assert not [page for page in pages if alice.password.split("$")[-1] in page.content.decode()]


# --- Deleting -------------------------------------------------------------------------------------------------------


def test_a_user_without_keys_can_be_deleted_and_the_record_stays(console: Client, api: Api, alice: User) -> None:
    token = token_of(alice)
    assert console.post(f"{USERS}{alice.pk}/delete/", {"post": "yes"}).status_code == 302
    assert not User.objects.filter(pk=alice.pk).exists()
    assert api.get("/auth/me", token=token).status_code == 401
    assert events()[-1][:2] == ("user:deleted", "operator")


def test_a_user_with_keys_cannot_be_deleted_not_even_by_the_list(console: Client, alice: User, bob: User) -> None:
    make_key(alice)
    assert console.get(f"{USERS}{alice.pk}/delete/").status_code == 200
    console.post(f"{USERS}{alice.pk}/delete/", {"post": "yes"})
    chosen = {"action": "delete_selected", "_selected_action": [alice.pk, bob.pk], "post": "yes"}
    assert console.post(USERS, chosen).status_code in {200, 302, 403}
    assert User.objects.filter(pk__in=[alice.pk, bob.pk]).count() == 2
    assert APIKey.objects.count() == 1


def test_users_without_keys_can_be_deleted_together(console: Client, alice: User, bob: User) -> None:
    chosen = {"action": "delete_selected", "_selected_action": [alice.pk, bob.pk], "post": "yes"}
    assert console.post(USERS, chosen).status_code == 302
    assert not User.objects.filter(pk__in=[alice.pk, bob.pk]).exists()
    assert [event for event, _, _ in events()] == ["user:deleted"] * 2


# --- Who may do what ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [USERS, ROLES, SCOPES, f"{USERS}add/"])
def test_an_operator_without_permissions_sees_and_makes_nothing(db: None, path: str) -> None:
    clerk = Client()
    clerk.force_login(UserFactory(is_staff=True))
    assert [clerk.get(path).status_code, clerk.post(path, NEW).status_code] == [403, 403]
    assert not User.objects.filter(username="dave").exists()
