"""Setting a new password with the link from a mail: once, within 30 minutes, as long as nothing has happened since."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import time_machine
from django.db import connection
from django.test import Client
from django.utils import timezone

from accounts.hashers import BCryptSHA256Hasher
from accounts.models import Session, User
from accounts.services.users import set_active
from tests.accounts.conftest import at_once
from tests.accounts.mails import link_error_of, mailed
from tests.audit.conftest import events
from tests.conftest import Api, errors_of
from tests.factories import PASSWORD, UserFactory, make_key, pair_of, token_of

ASK, CONFIRM = "/auth/password/reset", "/auth/password/reset/confirm"
NEW = "another-horse-battery"
START = "2027-01-31T12:00:00Z"


@pytest.fixture
def token(api: Api, alice: User) -> str:
    """What was mailed to alice."""
    return mailed(api, ASK, "alice@example.com")


def confirm(api: Api, token: str, word: str = NEW) -> Any:
    return api.post(CONFIRM, {"token": token, "new_password": word})


def logs_in(api: Api, *words: str) -> list[int]:
    """Return the status of a login of alice with each password."""
    return [api.post("/auth/login", {"username": "alice", "password": word}).status_code for word in words]


def test_the_link_sets_the_password(api: Api, token: str) -> None:
    response = confirm(api, token)
    assert (response.status_code, response.content) == (204, b"")
    assert logs_in(api, NEW, PASSWORD) == [200, 401]


def test_every_session_ends_and_the_keys_of_a_confirmed_address_stay(api: Api, alice: User, bobs_token: str) -> None:
    User.objects.update(email_verified_at=timezone.now())
    key, pairs = make_key(alice)[1], [pair_of(alice) for _ in range(3)]
    assert confirm(api, mailed(api, ASK, "alice@example.com")).status_code == 204
    tokens = [*(pair.access_token for pair in pairs), bobs_token]
    assert [api.get("/auth/me", token=token).status_code for token in tokens] == [401, 401, 401, 200]
    refreshed = [api.post("/auth/refresh", {"refresh_token": pair.refresh_token}).status_code for pair in pairs]
    assert (refreshed, api.get("/protected/service", key=key).status_code) == ([401] * 3, 200)


def test_a_reset_is_recorded_without_its_secrets(api: Api, alice: User) -> None:
    token_of(alice)
    token, before = mailed(api, ASK, "alice@example.com"), len(events())
    assert confirm(api, token).status_code == 204
    assert events()[before:] == [
        ("user:password_reset", "Alice", "Alice", ""),
        ("session:ended", "Alice", "Alice", "1 ended: password changed"),
    ]
    assert not [text for text in (token, token.rpartition("-")[2], NEW) if text in repr(events())]


def test_it_works_once(api: Api, token: str) -> None:
    answers = [confirm(api, token), confirm(api, token, "third-horse-battery")]
    assert (answers[0].status_code, link_error_of(answers[1])) == (204, "used")
    assert logs_in(api, NEW) == [200]


@pytest.mark.parametrize(("seconds", "status"), [(0, 204), (1800, 204), (1801, 400)], ids=["at once", "last", "late"])
def test_it_works_for_thirty_minutes_to_the_second(api: Api, alice: User, seconds: int, status: int) -> None:
    with time_machine.travel(START, tick=False) as clock:
        token = mailed(api, ASK, "alice@example.com")
        clock.shift(seconds)
        response = confirm(api, token)
        assert response.status_code == status
        assert status == 204 or link_error_of(response) == "expired"
        assert logs_in(api, NEW, PASSWORD) == ([200, 401] if status == 204 else [401, 200])


def change_password(api: Api, alice: User) -> None:
    body = {"current_password": PASSWORD, "new_password": "third-horse-battery"}
    assert api.post("/auth/password", body, token=token_of(alice)).status_code == 204


def log_in(api: Api, alice: User) -> None:
    assert logs_in(api, PASSWORD) == [200]


def log_in_to_the_console(api: Api, alice: User) -> None:
    User.objects.filter(pk=alice.pk).update(is_staff=True)
    body = {"username": "alice", "password": PASSWORD}
    assert Client().post("/admin/login/?next=/admin/", body).status_code == 302


def change_address(api: Api, alice: User) -> None:
    User.objects.filter(pk=alice.pk).update(email="alice@example.org")


def disable(api: Api, alice: User) -> None:
    set_active(user=alice, active=False)


def turn_into_a_service(api: Api, alice: User) -> None:
    User.objects.filter(pk=alice.pk).update(is_service=True)


def delete(api: Api, alice: User) -> None:
    alice.delete()


def use_another_link(api: Api, alice: User) -> None:
    assert confirm(api, mailed(api, ASK, "alice@example.com"), "third-horse-battery").status_code == 204


@pytest.mark.parametrize(
    ("happen", "code"),
    [
        *[(happen, "used") for happen in (change_password, log_in, log_in_to_the_console, change_address)],
        *[(happen, "invalid") for happen in (disable, turn_into_a_service, delete)],
        (use_another_link, "used"),
    ],
)
def test_what_happens_in_between_voids_it(
    api: Api, alice: User, token: str, happen: Callable[[Api, User], None], code: str
) -> None:
    happen(api, alice)
    before = list(User.objects.values("password", "email_verified_at"))
    assert link_error_of(confirm(api, token)) == code
    assert list(User.objects.values("password", "email_verified_at")) == before


def test_asking_again_voids_no_earlier_link(api: Api, token: str) -> None:
    mailed(api, ASK, "alice@example.com")
    assert confirm(api, token).status_code == 204
    assert logs_in(api, NEW) == [200]


def flipped(token: str, index: int) -> str:
    """Return a token with one character changed."""
    letters = list(token)
    letters[index] = "1" if letters[index] != "1" else "2"
    return "".join(letters)


@pytest.mark.parametrize(
    "tamper",
    [
        pytest.param(lambda token: flipped(token, -2), id="near the end"),
        pytest.param(lambda token: flipped(token, token.rindex(".") + 1), id="first of the signature"),
        pytest.param(lambda token: flipped(token, token.index(".") + 1), id="time"),
        pytest.param(lambda token: flipped(token, token.index("-") + 1), id="state"),
        pytest.param(lambda token: token[:-1], id="one short"),
        pytest.param(lambda token: f"{token}a", id="one more"),
        pytest.param(lambda token: token.partition("-")[2], id="no user"),
        pytest.param(lambda token: f"{'z' * 13}-{token.partition('-')[2]}", id="user beyond bigint"),
        pytest.param(lambda token: f"{'z' * 14}-{token.partition('-')[2]}", id="user beyond reason"),
        pytest.param(lambda token: f"0-{token.partition('-')[2]}", id="user nobody"),
        pytest.param(lambda token: token.replace("-", ""), id="in one piece"),
        pytest.param(lambda token: token.rpartition(".")[0] + ".", id="no signature"),
        pytest.param(lambda token: f"{token.rpartition('.')[0]}.é", id="letters"),
        pytest.param(lambda token: f"{token.rpartition('.')[0]}.\U0001f511", id="a key"),
        pytest.param(lambda token: "-", id="a dash"),
        pytest.param(lambda token: "--", id="dashes"),
        pytest.param(lambda token: "-" * 1000, id="many dashes"),
        pytest.param(lambda token: "junk", id="junk"),
        pytest.param(lambda token: "a" * 100_000, id="long"),
    ],
)
def test_a_token_that_is_not_as_it_was_mailed_is_refused(
    api: Api, alice: User, token: str, tamper: Callable[[str], str]
) -> None:
    assert link_error_of(confirm(api, tamper(token))) == "invalid"
    assert logs_in(api, PASSWORD) == [200]


@pytest.mark.parametrize("end", ["\ud800", "\x00"], ids=["half a pair", "NUL"])
def test_a_token_of_what_is_no_text_is_refused_and_fails_nothing(api: Api, token: str, end: str) -> None:
    assert [field for field, _ in errors_of(confirm(api, f"{token.rpartition('.')[0]}.{end}"))] == ["token"]
    assert logs_in(api, PASSWORD) == [200]


def test_a_token_of_one_user_is_none_of_another(api: Api, bob: User, token: str) -> None:
    bobs = mailed(api, ASK, "bob@example.com")
    crossed = f"{bobs.partition('-')[0]}-{token.partition('-')[2]}"
    assert link_error_of(confirm(api, crossed)) == "invalid"
    assert (confirm(api, bobs).status_code, logs_in(api, NEW, PASSWORD)) == (204, [401, 200])


def test_a_token_that_confirms_an_address_sets_no_password(api: Api, alice: User) -> None:
    token = mailed(api, "/auth/email/verify", "alice@example.com")
    assert link_error_of(confirm(api, token)) == "invalid"
    assert api.post("/auth/email/verify/confirm", {"token": token}).status_code == 204


def test_a_bearer_token_sets_no_password(api: Api, alice: User) -> None:
    pair = pair_of(alice)
    assert [link_error_of(confirm(api, token)) for token in pair[:2]] == ["invalid", "invalid"]
    assert logs_in(api, PASSWORD) == [200]


@pytest.mark.parametrize(
    ("word", "code"),
    [
        ("short1!", "password_too_short"),
        ("password123", "password_too_common"),
        ("alice@example", "password_too_similar"),
    ],
    ids=["short", "common", "the address"],
)
def test_a_weak_password_is_refused_and_the_link_stays_good(api: Api, token: str, word: str, code: str) -> None:
    assert errors_of(confirm(api, token, word)) == [("new_password", code)]
    assert confirm(api, token).status_code == 204


def test_a_bad_token_is_not_told_what_a_password_must_be(api: Api, token: str) -> None:
    assert link_error_of(confirm(api, flipped(token, -2), "12345")) == "invalid"
    assert logs_in(api, PASSWORD) == [200]


@pytest.mark.parametrize(
    ("body", "errors"),
    [
        pytest.param({}, [("token", "required"), ("new_password", "required")], id="empty"),
        pytest.param({"token": "x", "new_password": None}, [("new_password", "null")], id="null"),
        pytest.param({"token": 7, "new_password": NEW}, [("token", "invalid")], id="number"),
        pytest.param({"token": "", "new_password": NEW}, [("token", "blank")], id="blank"),
        pytest.param({"token": "x", "new_password": "x" * 1025}, [("new_password", "max_length")], id="long"),
        pytest.param({"token": "x", "new_password": NEW, "email": "x"}, [("email", "unknown")], id="one field more"),
    ],
)
def test_a_body_that_is_none_is_named_by_field(api: Api, db: None, body: Any, errors: list[tuple[str, str]]) -> None:
    assert errors_of(api.post(CONFIRM, body)) == errors
    assert api.get(CONFIRM).status_code == 405


def test_a_link_outlives_a_change_of_the_secret_key_that_names_the_old_one(api: Api, token: str, settings: Any) -> None:
    old, settings.SECRET_KEY = settings.SECRET_KEY, "another key for tests, and for nothing else"
    assert link_error_of(confirm(api, token)) == "invalid"
    settings.SECRET_KEY_FALLBACKS = [old]
    assert confirm(api, token).status_code == 204


def test_a_reset_lifts_the_lockout_of_its_user(api: Api, alice: User) -> None:
    assert logs_in(api, *["wrong"] * 6) == [401] * 5 + [429]
    token = mailed(api, ASK, "alice@example.com")
    assert confirm(api, token).status_code == 204
    assert logs_in(api, NEW) == [200]


class Meddler:
    """A password validator, for these run between the look at the link and the write: it changes the address."""

    def validate(self, password: str, user: Any = None) -> None:
        User.objects.filter(pk=user.pk).update(email="mallory@example.com")


def test_a_reset_confirms_no_address_that_it_was_not_mailed_to(api: Api, token: str, settings: Any) -> None:
    settings.AUTH_PASSWORD_VALIDATORS = [{"NAME": f"{__name__}.Meddler"}]
    confirm(api, token)
    alice = User.objects.get(username="Alice")
    assert (alice.email, alice.email_verified_at) == ("mallory@example.com", None)


class OpenHasher(BCryptSHA256Hasher):
    """Notes, for each bcrypt, whether a transaction was open."""

    inside: list[bool] = []

    def encode(self, password: str, salt: str | bytes) -> str:
        self.inside.append(connection.in_atomic_block)
        return super().encode(password, salt)


@pytest.mark.django_db(transaction=True)
def test_no_transaction_is_open_while_bcrypt_runs(api: Api, token: str, settings: Any) -> None:
    settings.PASSWORD_HASHERS, OpenHasher.inside = [f"{__name__}.OpenHasher"], []
    assert confirm(api, token).status_code == 204
    assert OpenHasher.inside == [False]


@pytest.mark.django_db(transaction=True)
def test_of_parallel_uses_of_one_link_one_wins(api: Api) -> None:
    user = UserFactory(username="Alice", email="alice@example.com")
    pair_of(user)
    token = mailed(api, ASK, "alice@example.com")
    words = [f"{NEW}-{number}" for number in range(10)]
    answers = at_once([lambda word=word: confirm(Api(), token, word) for word in words])  # type: ignore[misc]
    statuses = [answer.status_code for answer in answers]
    assert sorted(statuses) == [204] + [400] * 9
    assert {link_error_of(answer) for answer in answers if answer.status_code != 204} == {"used"}
    assert logs_in(api, words[statuses.index(204)]) == [200]
    assert Session.objects.filter(ended_at=None).count() == 1
