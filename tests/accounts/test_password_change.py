"""POST /auth/password: who knows the password sets another one, and whoever else was logged in is out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import time_machine
from django.db import connection

from accounts.hashers import BCryptSHA256Hasher
from accounts.models import Session, User
from tests.accounts.conftest import at_once, claims_of
from tests.audit.conftest import events
from tests.conftest import BAD_CREDENTIAL, NO_CREDENTIAL, Api, errors_of
from tests.factories import PASSWORD, make_key, pair_of, token_of

ROUTE = "/auth/password"
NEW = "another-horse-battery"
CHANGE = {"current_password": PASSWORD, "new_password": NEW}
WRONG = {**CHANGE, "current_password": "wrong-horse-battery"}
LOCKED_OUT = {
    "type": "about:blank",
    "title": "Too Many Requests",
    "status": 429,
    "detail": "Too many failed attempts; try again after the seconds in Retry-After.",
}


def logs_in(api: Api, *words: str) -> list[int]:
    """Return the status of a login of alice with each password."""
    return [api.post("/auth/login", {"username": "alice", "password": word}).status_code for word in words]


def opens(api: Api, *tokens: str) -> list[bool]:
    """Say which tokens open anything."""
    return [api.get("/auth/me", token=token).status_code == 200 for token in tokens]


def test_the_new_password_opens_and_the_old_one_does_not(api: Api, alices_token: str) -> None:
    response = api.post(ROUTE, CHANGE, token=alices_token)
    assert (response.status_code, response.content) == (204, b"")
    assert logs_in(api, NEW, PASSWORD) == [200, 401]


def test_every_other_session_ends_and_the_one_that_asked_goes_on(api: Api, alice: User, bobs_token: str) -> None:
    here, there, elsewhere = pair_of(alice), pair_of(alice), pair_of(alice)
    assert api.post(ROUTE, CHANGE, token=here.access_token).status_code == 204
    tokens = [pair.access_token for pair in (here, there, elsewhere)]
    assert opens(api, *tokens, bobs_token) == [True, False, False, True]
    refreshed = [api.post("/auth/refresh", {"refresh_token": pair.refresh_token}) for pair in (here, there, elsewhere)]
    assert [answer.status_code for answer in refreshed] == [200, 401, 401]


def test_a_change_is_recorded_with_the_sessions_that_it_ended(api: Api, alice: User) -> None:
    here, _, _ = token_of(alice), token_of(alice), token_of(alice)
    before = len(events())
    assert api.post(ROUTE, CHANGE, token=here).status_code == 204
    assert events()[before:] == [
        ("user:password_changed", "Alice", "Alice", ""),
        ("session:ended", "Alice", "Alice", "2 ended: password changed"),
    ]
    reasons = Session.objects.order_by("id").values_list("ended_reason", flat=True)
    assert list(reasons) == ["", "password changed", "password changed"]


def test_a_change_with_no_other_session_records_the_change_alone(api: Api, alices_token: str) -> None:
    before = len(events())
    assert api.post(ROUTE, CHANGE, token=alices_token).status_code == 204
    assert events()[before:] == [("user:password_changed", "Alice", "Alice", "")]


def test_keys_stay(api: Api, alice: User) -> None:
    key = make_key(alice)[1]
    assert api.post(ROUTE, CHANGE, token=token_of(alice)).status_code == 204
    assert api.get("/protected/service", key=key).status_code == 200


def test_a_wrong_current_password_changes_and_ends_nothing(api: Api, alice: User) -> None:
    here, there = token_of(alice), token_of(alice)
    response = api.post(ROUTE, WRONG, token=here)
    assert errors_of(response) == [("current_password", "invalid_password")]
    assert response.json()["errors"][0]["message"] == "This is not the current password."
    assert (opens(api, here, there), logs_in(api, PASSWORD, NEW)) == ([True, True], [200, 401])


def test_a_wrong_current_password_is_recorded_as_a_failed_login(api: Api, alices_token: str) -> None:
    before = len(events())
    api.post(ROUTE, WRONG, token=alices_token)
    assert events()[before:] == [("user:login_failed", "Alice", "Alice", "password change: password wrong")]


@pytest.mark.parametrize(
    ("word", "code"),
    [
        pytest.param("short1!", "password_too_short", id="short"),
        pytest.param("password123", "password_too_common", id="common"),
        pytest.param("86420975313579", "password_entirely_numeric", id="digits"),
        pytest.param("alice@example.com", "password_too_similar", id="the address"),
    ],
)
def test_a_weak_new_password_is_refused_and_the_old_one_stays(
    api: Api, alices_token: str, word: str, code: str
) -> None:
    response = api.post(ROUTE, {**CHANGE, "new_password": word}, token=alices_token)
    assert errors_of(response) == [("new_password", code)]
    assert logs_in(api, PASSWORD, word) == [200, 401]


def test_every_fault_of_a_new_password_is_named(api: Api, alices_token: str) -> None:
    found = errors_of(api.post(ROUTE, {**CHANGE, "new_password": "12345"}, token=alices_token))
    assert {field for field, _ in found} == {"new_password"}
    assert {code for _, code in found} == {"password_too_short", "password_too_common", "password_entirely_numeric"}


def test_who_does_not_know_the_password_learns_nothing_of_what_a_new_one_must_be(api: Api, alices_token: str) -> None:
    weak = api.post(ROUTE, {**WRONG, "new_password": "12345"}, token=alices_token)
    assert errors_of(weak) == [("current_password", "invalid_password")]
    assert logs_in(api, PASSWORD) == [200]


@pytest.mark.parametrize(
    ("body", "errors"),
    [
        pytest.param({}, [("current_password", "required"), ("new_password", "required")], id="empty"),
        pytest.param({"current_password": PASSWORD}, [("new_password", "required")], id="no new one"),
        pytest.param({"new_password": NEW}, [("current_password", "required")], id="no current one"),
        pytest.param({**CHANGE, "new_password": ""}, [("new_password", "blank")], id="blank"),
        pytest.param({**CHANGE, "new_password": None}, [("new_password", "null")], id="null"),
        pytest.param({**CHANGE, "new_password": 12345678}, [("new_password", "invalid")], id="number"),
        pytest.param({**CHANGE, "new_password": ["x" * 9]}, [("new_password", "invalid")], id="array"),
        pytest.param({**CHANGE, "new_password": "x" * 1025}, [("new_password", "max_length")], id="long"),
        pytest.param({**CHANGE, "current_password": "x" * 1025}, [("current_password", "max_length")], id="long guess"),
        pytest.param({**CHANGE, "user": "bob"}, [("user", "unknown")], id="one field more"),
        pytest.param("null", [("body", "null")], id="null body"),
        pytest.param("[]", [("body", "invalid")], id="array body"),
    ],
)
def test_a_body_that_is_none_is_named_by_field_and_costs_no_bcrypt(
    api: Api, alices_token: str, body: Any, errors: list[tuple[str, str]], hashings: list[str]
) -> None:
    assert errors_of(api.post(ROUTE, body, token=alices_token)) == errors
    assert hashings == []
    assert logs_in(api, PASSWORD) == [200]


@pytest.mark.parametrize(
    "word", ["\x00" * 9, "\ud800" * 9, "horse\x00battery"], ids=["NUL", "half a pair", "NUL within"]
)
def test_characters_that_no_password_has_are_a_400(api: Api, alices_token: str, word: str) -> None:
    answers = [api.post(ROUTE, {**CHANGE, field: word}, token=alices_token) for field in CHANGE]
    assert [answer.status_code for answer in answers] == [400, 400]
    assert logs_in(api, PASSWORD) == [200]


def test_a_new_password_is_taken_exactly_as_it_was_sent(api: Api, alices_token: str) -> None:
    word = "  пароль \U0001f511 \t"
    assert api.post(ROUTE, {**CHANGE, "new_password": word}, token=alices_token).status_code == 204
    assert logs_in(api, word, word.strip()) == [200, 401]


def test_without_a_token_nothing_is_changed(api: Api, alice: User) -> None:
    nothing, junk = api.post(ROUTE, CHANGE), api.post(ROUTE, CHANGE, token="junk")
    assert (nothing.status_code, nothing.json()) == (401, NO_CREDENTIAL)
    assert (junk.status_code, junk.json()) == (401, BAD_CREDENTIAL)
    assert logs_in(api, PASSWORD) == [200]


def test_a_key_changes_no_password(api: Api, alice: User) -> None:
    response = api.post(ROUTE, CHANGE, key=make_key(alice)[1])
    assert (response.status_code, response.json()) == (401, NO_CREDENTIAL)
    assert api.get(ROUTE, token=token_of(alice)).status_code == 405


def test_guesses_count_and_after_five_even_the_right_password_is_refused(api: Api, alices_token: str) -> None:
    with time_machine.travel("2027-01-31T12:00:00Z", tick=False):
        token = api.post("/auth/login", {"username": "alice", "password": PASSWORD}).json()["access_token"]
        assert [api.post(ROUTE, WRONG, token=token).status_code for _ in range(5)] == [400] * 5
        response = api.post(ROUTE, CHANGE, token=token)
        assert (response.status_code, response.json(), response["Retry-After"]) == (429, LOCKED_OUT, "900")
        assert (logs_in(api, PASSWORD, NEW), opens(api, token)) == ([429, 429], [True])


def test_guesses_here_and_at_the_login_share_one_count(api: Api, alices_token: str) -> None:
    assert logs_in(api, "wrong", "wrong", "wrong") == [401] * 3
    assert [api.post(ROUTE, WRONG, token=alices_token).status_code for _ in range(3)] == [400, 400, 429]
    assert logs_in(api, PASSWORD) == [429]


def test_a_right_password_forgives_the_guesses_before_it(api: Api, alices_token: str) -> None:
    assert [api.post(ROUTE, WRONG, token=alices_token).status_code for _ in range(4)] == [400] * 4
    weak = {**CHANGE, "new_password": "12345"}
    assert api.post(ROUTE, weak, token=alices_token).status_code == 400
    assert [api.post(ROUTE, WRONG, token=alices_token).status_code for _ in range(5)] == [400] * 5


def test_an_operators_console_closes_with_a_change(api: Api, alice: User) -> None:
    User.objects.filter(pk=alice.pk).update(is_staff=True)
    body = {"username": "alice", "password": PASSWORD}
    assert api.client.post("/admin/login/?next=/admin/", body).status_code == 302
    assert api.client.get("/admin/").status_code == 200
    assert api.post(ROUTE, CHANGE, token=token_of(alice)).status_code == 204
    assert api.client.get("/admin/").status_code == 302


class OpenHasher(BCryptSHA256Hasher):
    """Notes, for each bcrypt, whether a transaction was open."""

    inside: list[bool] = []

    def encode(self, password: str, salt: str | bytes) -> str:
        self.inside.append(connection.in_atomic_block)
        return super().encode(password, salt)


@pytest.mark.django_db(transaction=True)
def test_no_transaction_is_open_while_bcrypt_runs(api: Api, alice: User, settings: Any) -> None:
    settings.PASSWORD_HASHERS = [f"{__name__}.OpenHasher"]
    token, OpenHasher.inside = token_of(alice), []
    assert api.post(ROUTE, WRONG, token=token).status_code == 400
    assert api.post(ROUTE, CHANGE, token=token).status_code == 204
    assert OpenHasher.inside == [False] * 3  # a wrong one, the right one, the new one


@pytest.mark.django_db(transaction=True)
def test_of_parallel_changes_one_wins_and_its_session_alone_goes_on(api: Api, alice: User) -> None:
    tokens = [token_of(alice) for _ in range(8)]

    def change(number: int) -> Callable[[], Any]:
        body = {**CHANGE, "new_password": f"{NEW}-{number}"}
        return lambda: Api().post(ROUTE, body, token=tokens[number])

    statuses = [answer.status_code for answer in at_once([change(number) for number in range(8)])]
    winner = statuses.index(204)
    assert (statuses.count(204), {*statuses} <= {204, 400, 401, 429}) == (1, True)
    alive = Session.objects.filter(ended_at=None).values_list("pk", flat=True)
    assert list(alive) == [int(claims_of(tokens[winner])["sid"])]
    assert User.objects.get(pk=alice.pk).check_password(f"{NEW}-{winner}")
