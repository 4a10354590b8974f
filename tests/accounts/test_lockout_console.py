"""The lockout at the console's own login, and the operator who sees and lifts it."""

from __future__ import annotations

from typing import Any

import pytest
import time_machine
from django.contrib.auth.models import Permission
from django.test import Client

from accounts.models import Lockout, User
from tests.accounts.mails import api_from
from tests.audit.conftest import events
from tests.conftest import Api
from tests.factories import PASSWORD, UserFactory, token_of

LOGIN, LOCKOUTS = "/admin/login/?next=/admin/", "/admin/accounts/lockout/"
SENTENCE = "Too many failed attempts; try again in 15 minutes."
START = "2027-01-31T12:00:00Z"


@pytest.fixture
def operator(db: None) -> User:
    return UserFactory(username="operator", is_staff=True, is_superuser=True)


@pytest.fixture
def console(operator: User) -> Client:
    client = Client(raise_request_exception=False)
    client.force_login(operator)
    return client


def send(client: Client, word: str, name: str = "operator") -> Any:
    return client.post(LOGIN, {"username": name, "password": word})


def guess(api: Api, name: str, times: int) -> list[int]:
    """Return the statuses of so many wrong guesses."""
    body = {"username": name, "password": "wrong"}
    return [api.post("/auth/login", body).status_code for _ in range(times)]


# --- The console's login --------------------------------------------------------------------------------------------


def test_an_operator_who_came_by_the_logins_own_address_lands_in_the_console(operator: User) -> None:
    client = Client()
    answer = client.post("/admin/login/", {"username": "operator", "password": PASSWORD})
    assert (answer.status_code, answer["Location"]) == (302, "/admin/")
    assert client.get("/admin/").status_code == 200


def test_after_five_failures_the_page_says_so_and_takes_no_right_password(operator: User) -> None:
    with time_machine.travel(START, tick=False) as clock:
        client = Client(raise_request_exception=False)
        assert [send(client, "wrong").status_code for _ in range(5)] == [200] * 5
        clock.shift(60)
        response = send(client, PASSWORD)
        assert (response.status_code, response["Retry-After"]) == (429, "840")
        assert (response["Content-Type"], SENTENCE.replace("15", "14") in response.content.decode()) == (
            "text/html; charset=utf-8",
            True,
        )
        assert client.get("/admin/").status_code == 302


def test_the_page_of_a_refusal_is_the_form_again_and_says_it_once(operator: User) -> None:
    with time_machine.travel(START, tick=False) as clock:
        client = Client()
        pages = [send(client, "wrong").content.decode() for _ in range(6)]
        assert [page.count(SENTENCE) for page in pages] == [0] * 5 + [1]
        assert 'name="password"' in pages[-1]
        clock.shift(900)
        assert (client.get(LOGIN).content.decode().count(SENTENCE), send(client, PASSWORD).status_code) == (0, 302)


def test_the_console_and_the_api_share_one_count(api: Api, operator: User) -> None:
    assert guess(api, "operator", 3) == [401] * 3
    client = Client()
    assert [send(client, "wrong", name).status_code for name in ("OPERATOR", "operator@example.com")] == [200] * 2
    assert (send(client, PASSWORD).status_code, guess(api, "operator", 1)) == (429, [429])


def test_a_right_password_of_who_is_no_operator_is_no_failure(api: Api, alice: User) -> None:
    client = Client()
    assert [send(client, PASSWORD, "alice").status_code for _ in range(6)] == [200] * 6
    assert api.post("/auth/login", {"username": "alice", "password": PASSWORD}).status_code == 200


def test_unknown_names_are_counted_at_the_console_too(operator: User) -> None:
    client = Client()
    assert [send(client, "wrong", "nobody").status_code for _ in range(6)] == [200] * 5 + [429]
    assert send(client, PASSWORD).status_code == 302


def test_failures_at_the_console_are_recorded_as_such(operator: User) -> None:
    client = Client()
    for _ in range(6):
        send(client, "wrong")
    failed = ("user:login_failed", "", "operator", "console: password wrong")
    assert [event for event in events() if event[0] == "user:login_failed"] == [failed] * 5
    assert ("user:locked_out", "", "operator", "5 failures from 127.0.0.1") in events()


def test_a_form_without_a_name_or_a_password_counts_nothing(operator: User) -> None:
    client = Client()
    assert {send(client, "").status_code for _ in range(6)} | {send(client, "x", "").status_code} == {200}
    assert Lockout.objects.count() == 0


def test_guesses_at_the_old_password_in_the_console_count_too(console: Client, operator: User) -> None:
    body = {"new_password1": "another-horse-battery", "new_password2": "another-horse-battery"}
    for _ in range(6):
        console.post("/admin/password_change/", {**body, "old_password": "wrong"})
    console.post("/admin/password_change/", {**body, "old_password": PASSWORD})
    assert User.objects.get(pk=operator.pk).check_password(PASSWORD)


# --- The operator's page --------------------------------------------------------------------------------------------


def rows(console: Client, query: str = "") -> list[tuple[str, str, int, str]]:
    """Return (user, address, failures, locked) as the list shows them, in its order."""
    response = console.get(f"{LOCKOUTS}{query}")
    assert response.status_code == 200
    admin, found = response.context["cl"].model_admin, response.context["cl"].result_list
    return [(admin.shown_user(row), row.address, row.failures, admin.shown_status(row)) for row in found]


def test_the_list_shows_who_is_counted_and_who_is_locked_out(console: Client, alice: User) -> None:
    with time_machine.travel(START, tick=False) as clock:
        guess(api_from("203.0.113.9"), "alice", 6)
        clock.shift(1)
        guess(api_from("198.51.100.7"), "hunter2", 2)
        console.force_login(User.objects.get(username="operator"))
        assert sorted(rows(console)) == [
            ("(all users)", "198.51.100.7", 2, "counting"),
            ("(all users)", "203.0.113.9", 5, "counting"),
            ("(nobody's name)", "198.51.100.7", 2, "counting"),
            ("Alice", "203.0.113.9", 5, "locked out"),
        ]
        assert "hunter2" not in console.get(LOCKOUTS).content.decode()
        clock.shift(899)
        assert {address for _, address, _, _ in rows(console)} == {"198.51.100.7"}


def test_the_list_is_searched_by_user_and_by_address(console: Client, alice: User, bob: User) -> None:
    guess(api_from("203.0.113.9"), "alice", 1)
    guess(api_from("198.51.100.7"), "bob", 1)
    assert [row[:2] for row in rows(console, "?q=alice@")] == [("Alice", "203.0.113.9")]
    assert {row[:2] for row in rows(console, "?q=198.51")} == {("bob", "198.51.100.7"), ("(all users)", "198.51.100.7")}


def lift(console: Client, *chosen: Lockout) -> Any:
    body = {"action": "lift_selected", "_selected_action": [row.pk for row in chosen]}
    return console.post(LOCKOUTS, body, follow=True)


def test_an_operator_lifts_a_lockout_and_it_is_recorded(console: Client, api: Api, alice: User) -> None:
    guess(api, "alice", 6)
    before = len(events())
    page = lift(console, Lockout.objects.get(user=alice))
    assert "Lockouts lifted: 1." in page.content.decode()
    assert events()[before:] == [("user:unlocked", "operator", "Alice", "from 127.0.0.1")]
    assert api.post("/auth/login", {"username": "alice", "password": PASSWORD}).status_code == 200


def test_an_operator_lifts_the_lockout_of_an_address(console: Client, alice: User, settings: Any) -> None:
    settings.LOGIN_RATE = ""
    mallory = api_from("203.0.113.9")
    assert {guess(mallory, f"nobody{number}", 1)[0] for number in range(100)} == {401}
    assert guess(mallory, "alice", 1) == [429]
    lift(console, Lockout.objects.get(limit=100))
    assert events()[-1] == ("user:unlocked", "operator", "", "from 203.0.113.9")
    assert guess(mallory, "alice", 1) == [401]


def test_a_lockout_that_somebody_else_has_lifted_is_not_recorded_twice(console: Client, api: Api, alice: User) -> None:
    guess(api, "alice", 5)
    row, before = Lockout.objects.get(user=alice), len(events())
    answers = [lift(console, row).status_code for _ in range(2)]
    assert (answers, len(events())) == ([200, 200], before + 1)


def clerk_with(*codenames: str) -> Client:
    """Return the console of an operator with these permissions and no other."""
    clerk = UserFactory(username="clerk", is_staff=True)
    clerk.user_permissions.set(Permission.objects.filter(content_type__app_label="accounts", codename__in=codenames))
    client = Client()
    client.force_login(clerk)
    return client


def test_who_may_only_look_lifts_nothing(api: Api, alice: User) -> None:
    guess(api, "alice", 6)
    clerk = clerk_with("view_lockout")
    row = Lockout.objects.get(user=alice)
    assert (clerk.get(LOCKOUTS).status_code, "lift_selected" in clerk.get(LOCKOUTS).content.decode()) == (200, False)
    lift(clerk, row)
    assert Lockout.objects.filter(pk=row.pk).exists()


def test_who_may_change_users_lifts_and_who_may_nothing_sees_nothing(api: Api, alice: User) -> None:
    guess(api, "alice", 6)
    lift(clerk_with("view_lockout", "change_user"), Lockout.objects.get(user=alice))
    assert not Lockout.objects.filter(user=alice).exists()
    nobody = Client()
    nobody.force_login(UserFactory(is_staff=True))
    assert nobody.get(LOCKOUTS).status_code == 403


def test_a_lockout_is_neither_made_nor_changed_nor_deleted_here(console: Client, api: Api, alice: User) -> None:
    guess(api, "alice", 6)
    before = list(Lockout.objects.order_by("id").values())
    path = f"{LOCKOUTS}{before[0]['id']}"
    sent = {"failures": 0, "address": "x", "limit": 9, "post": "yes"}
    answers = [
        console.post(where, sent).status_code for where in (f"{LOCKOUTS}add/", f"{path}/change/", f"{path}/delete/")
    ]
    assert (answers, console.get(f"{path}/change/").status_code) == ([403] * 3, 200)
    assert list(Lockout.objects.order_by("id").values()) == before


def test_a_user_who_is_deleted_takes_the_count_along(console: Client, api: Api, alice: User) -> None:
    token_of(alice)
    guess(api, "alice", 6)
    assert console.post(f"/admin/accounts/user/{alice.pk}/delete/", {"post": "yes"}).status_code == 302
    assert not User.objects.filter(pk=alice.pk).exists()
    assert list(Lockout.objects.values_list("user", "failures")) == [(None, 5)]
