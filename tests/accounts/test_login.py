"""Logging in: the same answer and the same work for whatever is wrong."""

import re
from datetime import timedelta
from typing import Any, ClassVar

import pytest
from django.contrib.auth.hashers import make_password
from django.test import Client

from accounts.models import User
from tests.accounts.conftest import SIGNUP, at_once, claims_of
from tests.accounts.hashers import CountingHasher
from tests.conftest import BAD_CREDENTIAL, Api, errors_of
from tests.factories import PASSWORD, UserFactory, make_role

LOGIN = {"username": "alice", "password": PASSWORD}
BYTES_72 = "correct-horse-battery-staple" + "-" * 44


@pytest.mark.usefixtures("alice")
@pytest.mark.parametrize("name", ["Alice", "alice", "ALICE", "alice@example.com", "ALICE@EXAMPLE.COM", " alice "])
def test_a_user_logs_in_by_name_or_address_in_any_case(api: Api, name: str) -> None:
    response = api.post("/auth/login", {"username": name, "password": PASSWORD})
    body = response.json()
    assert response.status_code == 200
    assert body == {
        "access_token": body["access_token"],
        "token_type": "bearer",
        "expires_in": 1800,
        "refresh_token": body["refresh_token"],
    }


def test_a_login_costs_a_handful_of_queries(api: Api, alice: User, django_assert_num_queries: Any) -> None:
    # The user; the lockouts, before and after bcrypt; in a savepoint (2): user, session, refresh token, audit.
    with django_assert_num_queries(9):
        response = api.post("/auth/login", LOGIN)
    assert response.status_code == 200
    assert claims_of(response.json()["access_token"])["sub"] == str(alice.pk)


def test_the_tokens_say_who_it_is_and_what_it_may_do(api: Api, alice: User) -> None:
    alice.groups.add(make_role("reporter", "reports:read", "reports:write"), make_role("admin"))
    body = api.post("/auth/login", LOGIN).json()
    access, refresh = claims_of(body["access_token"]), claims_of(body["refresh_token"])
    assert access == {
        "token_type": "access",
        "sub": str(alice.pk),
        "iss": "authsvc",
        "iat": access["iat"],
        "exp": access["iat"] + 1800,
        "jti": access["jti"],
        "sid": refresh["sid"],
        "bind": refresh["bind"],
        "roles": ["admin", "reporter"],
        "scope": "reports:read reports:write",
    }
    assert refresh == {
        **{name: refresh[name] for name in ("iat", "jti", "sid", "bind")},
        "token_type": "refresh",
        "sub": str(alice.pk),
        "iss": "authsvc",
        "exp": refresh["iat"] + timedelta(days=14).total_seconds(),
    }
    assert access["jti"] != refresh["jti"]


@pytest.mark.usefixtures("alice")
def test_the_lives_of_tokens_are_the_operators_choice(api: Api, settings: Any) -> None:
    settings.ACCESS_TOKEN_EXPIRE_MINUTES, settings.REFRESH_TOKEN_EXPIRE_DAYS = 7, 2
    body = api.post("/auth/login", LOGIN).json()
    access, refresh = claims_of(body["access_token"]), claims_of(body["refresh_token"])
    assert body["expires_in"] == access["exp"] - access["iat"] == 7 * 60
    assert refresh["exp"] - refresh["iat"] == 2 * 24 * 3600


@pytest.mark.usefixtures("alice")
def test_each_login_is_a_session_of_its_own(api: Api) -> None:
    claims = [claims_of(api.post("/auth/login", LOGIN).json()["access_token"]) for _ in range(3)]
    assert len({found["sid"] for found in claims}) == 3
    assert all(re.fullmatch(r"[0-9a-f]{32}", found["jti"]) for found in claims)


@pytest.fixture
def wrong(alice: User) -> dict[str, dict[str, str]]:
    """Ways of being wrong, by name."""
    UserFactory(username="disabled", is_active=False)
    UserFactory(username="service", password=make_password(None))
    UserFactory(username="nohash", password="")
    return {
        "nobody": {"username": "nobody", "password": PASSWORD},
        "no address": {"username": "nobody@example.com", "password": PASSWORD},
        "wrong password": {**LOGIN, "password": "wrong-horse-battery"},
        "password in capitals": {**LOGIN, "password": PASSWORD.upper()},
        "password with a space": {**LOGIN, "password": f"{PASSWORD} "},
        "disabled": {"username": "disabled", "password": PASSWORD},
        "disabled, wrong": {"username": "disabled", "password": "wrong-horse-battery"},
        "no usable password": {"username": "service", "password": PASSWORD},
        "name that is no name": {"username": "a b\u200b'; --", "password": PASSWORD},
        "name that folds to nothing": {"username": "\u00a0\u2003\u3000.", "password": PASSWORD},
    }


WRONG = (
    *("nobody", "no address", "wrong password", "password in capitals", "password with a space", "disabled"),
    *("disabled, wrong", "no usable password", "name that is no name", "name that folds to nothing"),
)


@pytest.mark.parametrize("kind", WRONG)
def test_whatever_is_wrong_reads_the_same(api: Api, wrong: dict[str, dict[str, str]], kind: str) -> None:
    response = api.post("/auth/login", wrong[kind])
    assert (response.status_code, response.json()) == (401, BAD_CREDENTIAL)
    assert response["WWW-Authenticate"] == 'Bearer realm="authsvc"'


@pytest.mark.parametrize("kind", WRONG)
def test_whatever_is_wrong_costs_the_same_queries_and_one_hash(
    api: Api, wrong: dict[str, dict[str, str]], kind: str, hashings: list[str], django_assert_num_queries: Any
) -> None:
    # The user, the lockouts, a count for the user and one for the address, the audit.
    with django_assert_num_queries(5):
        api.post("/auth/login", wrong[kind])
    assert hashings == ["04"]
    assert set(wrong) == set(WRONG)


def test_a_stored_password_that_is_no_hash_opens_nothing(api: Api, wrong: Any, hashings: list[str]) -> None:
    answers = [api.post("/auth/login", {"username": "nohash", "password": word}) for word in (PASSWORD, "!", "x")]
    assert [(answer.status_code, answer.json()) for answer in answers] == [(401, BAD_CREDENTIAL)] * 3
    assert hashings == ["04"] * 3


def test_a_password_is_hashed_anew_at_the_next_login_when_the_cost_has_changed(
    api: Api, alice: User, settings: Any, django_assert_num_queries: Any
) -> None:
    settings.BCRYPT_ROUNDS = 5
    with django_assert_num_queries(10):
        assert api.post("/auth/login", LOGIN).status_code == 200
    with django_assert_num_queries(9):
        assert api.post("/auth/login", LOGIN).status_code == 200
    alice.refresh_from_db()
    assert alice.password.startswith("bcrypt_sha256$$2b$05$")


def test_a_wrong_password_is_not_hashed_into_the_place_of_the_right_one(api: Api, alice: User, settings: Any) -> None:
    settings.BCRYPT_ROUNDS = 5
    assert api.post("/auth/login", {**LOGIN, "password": "wrong"}).status_code == 401
    assert User.objects.get().password == alice.password


def test_while_the_cost_is_being_raised_a_wrong_password_still_costs_as_much_as_an_unknown_user(
    api: Api, wrong: dict[str, dict[str, str]], settings: Any, hashings: list[str]
) -> None:
    settings.BCRYPT_ROUNDS = 6

    def work(kind: str) -> int:
        hashings.clear()
        api.post("/auth/login", wrong[kind])
        return sum(2 ** int(cost) for cost in hashings)

    assert work("nobody") == 2**6
    assert work("wrong password") == pytest.approx(2**6, rel=0.1)


@pytest.mark.django_db
@pytest.mark.parametrize(
    "password",
    [
        pytest.param("p" * 20 + "w" * 109, id="129 characters"),
        pytest.param("p" * 20 + "w" * 1004, id="1,024 characters"),
        pytest.param("  spaces around  ", id="spaces around"),
        pytest.param("\u043f\u0430\u0440\u043e\u043b\u044c-\u5bc6\u7801-\U0001f511", id="any script"),
        pytest.param("tab\tand\nline", id="control characters"),
    ],
)
def test_a_password_is_used_exactly_as_it_was_sent(api: Api, password: str) -> None:
    assert api.post("/auth/signup", {**SIGNUP, "password": password}).status_code == 201
    tried = [password, password.strip()[:-1], f"{password[:-1]}\u00e9", f" {password}"[:1024], password.upper()]
    answers = [api.post("/auth/login", {"username": "carol", "password": word}).status_code for word in tried]
    assert answers == [200, 401, 401, 401, 401]


@pytest.mark.django_db
def test_passwords_that_differ_after_byte_72_only_are_different(api: Api) -> None:
    assert len(BYTES_72.encode()) == 72
    assert api.post("/auth/signup", {**SIGNUP, "password": f"{BYTES_72}a"}).status_code == 201
    answers = [api.post("/auth/login", {"username": "carol", "password": f"{BYTES_72}{end}"}) for end in ("a", "b", "")]
    assert [answer.status_code for answer in answers] == [200, 401, 401]


@pytest.mark.parametrize("field", ["username", "password"])
def test_a_field_too_long_to_be_anybodys_is_refused_before_any_hashing(
    api: Api, alice: User, hashings: list[str], field: str
) -> None:
    assert errors_of(api.post("/auth/login", {**LOGIN, field: "a" * 1025})) == [(field, "max_length")]
    assert hashings == []


@pytest.mark.usefixtures("committed")
def test_logins_at_the_same_moment_that_all_hash_anew_all_succeed(settings: Any) -> None:
    UserFactory(username="alice")
    settings.BCRYPT_ROUNDS = 5
    answers = at_once([lambda: Api().post("/auth/login", LOGIN) for _ in range(6)])
    assert [answer.status_code for answer in answers] == [200] * 6
    assert User.objects.get().password.startswith("bcrypt_sha256$$2b$05$")


@pytest.mark.parametrize("name", ["alice", "ALICE@example.com"])
def test_the_admins_login_knows_people_as_the_api_does(alice: User, client: Client, name: str) -> None:
    assert client.login(username=name, password=PASSWORD)
    assert not client.login(username=name, password="wrong")
    assert not client.login(username="", password=PASSWORD)


class Renewing(CountingHasher):
    """While a password is verified, somebody writes another hash of it: as often as there are any left."""

    left: ClassVar[int] = 0

    def verify(self, password: str, encoded: str) -> bool:
        if Renewing.left:
            Renewing.left -= 1
            User.objects.update(password=make_password(PASSWORD))
        return super().verify(password, encoded)


@pytest.mark.parametrize(("times", "status"), [(1, 200), (2, 200), (3, 401)])
def test_a_login_whose_user_changes_meanwhile_is_proven_anew_but_not_for_ever(
    api: Api, alice: User, settings: Any, times: int, status: int
) -> None:
    settings.PASSWORD_HASHERS = [f"{__name__}.Renewing"]
    Renewing.left = times
    response = api.post("/auth/login", LOGIN)
    assert (response.status_code, Renewing.left) == (status, 0)
    assert status == 200 or response.json() == BAD_CREDENTIAL


@pytest.mark.usefixtures("alice")
@pytest.mark.parametrize("field", ["username", "email"])
@pytest.mark.parametrize("value", ["alice", "ALICE", "alice@example.com"])
def test_either_field_takes_a_name_or_an_address(api: Api, field: str, value: str) -> None:
    response = api.post("/auth/login", {field: value, "password": PASSWORD})
    assert (response.status_code, response.json().get("token_type")) == (200, "bearer")


@pytest.mark.usefixtures("alice")
@pytest.mark.parametrize(
    ("body", "errors"),
    [
        ({"password": PASSWORD}, [("username", "required")]),
        ({"username": "alice", "email": "alice", "password": PASSWORD}, [("email", "exclusive")]),
        ({"email": "", "password": PASSWORD}, [("email", "blank")]),
        ({"email": None, "password": PASSWORD}, [("email", "null")]),
        ({"email": "alice"}, [("password", "required")]),
        ({}, [("username", "required"), ("password", "required")]),
    ],
)
def test_a_login_names_one_of_the_two(api: Api, body: Any, errors: list[tuple[str, str]]) -> None:
    assert errors_of(api.post("/auth/login", body)) == errors
