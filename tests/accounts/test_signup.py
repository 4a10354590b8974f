"""Signing up: what a user is made of, and what is refused."""

import re
from typing import Any

import pytest
from django.db import IntegrityError, transaction

from accounts.models import User
from tests.accounts.conftest import SIGNUP, at_once
from tests.conftest import Api, errors_of

TOO_MUCH = {"password_too_short", "password_too_common", "password_entirely_numeric"}
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"


@pytest.mark.django_db
def test_who_signs_up_is_an_ordinary_user_without_a_role(api: Api) -> None:
    response = api.post("/auth/signup", SIGNUP)
    user, body = User.objects.get(), response.json()
    assert re.fullmatch(TIME, body["created_at"])
    assert (response.status_code, body) == (
        201,
        {
            "id": user.pk,
            "email": "carol@example.com",
            "username": "carol",
            "roles": [],
            "created_at": body["created_at"],
        },
    )
    assert (user.is_active, user.is_staff, user.is_superuser, user.last_login) == (True, False, False, None)


@pytest.mark.django_db
def test_the_password_is_stored_as_bcrypt_over_sha_256_at_the_configured_cost(api: Api, settings: Any) -> None:
    settings.BCRYPT_ROUNDS = 5
    api.post("/auth/signup", SIGNUP)
    stored = User.objects.get().password
    assert re.fullmatch(r"bcrypt_sha256\$\$2b\$05\$[./A-Za-z0-9]{53}", stored)
    assert SIGNUP["password"] not in stored


@pytest.mark.django_db
@pytest.mark.parametrize(
    "field", ["is_staff", "is_superuser", "is_active", "id", "pk", "roles", "groups", "scopes", "created_at", "_state"]
)
def test_nobody_grants_themselves_anything(api: Api, field: str) -> None:
    assert errors_of(api.post("/auth/signup", {**SIGNUP, field: True})) == [(field, "unknown")]
    assert not User.objects.exists()


@pytest.mark.django_db
def test_sign_up_that_is_closed_is_403_before_anything_is_read(
    api: Api, settings: Any, django_assert_num_queries: Any
) -> None:
    settings.SIGNUP_ENABLED = False
    with django_assert_num_queries(0):
        answers = [api.post("/auth/signup", body) for body in (SIGNUP, b"{")]
    assert [answer.status_code for answer in answers] == [403, 403]
    assert answers[0].json() == {
        "type": "about:blank",
        "title": "Forbidden",
        "status": 403,
        "detail": "Sign-up is closed here; ask the operator for an account.",
    }


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("field", "value", "codes"),
    [
        pytest.param("username", "a b", {"invalid"}, id="space"),
        pytest.param("username", "a@b", {"invalid"}, id="at"),
        pytest.param("username", "a\uff20b", {"invalid"}, id="full-width at"),
        pytest.param("username", "a\nb", {"invalid"}, id="line break"),
        pytest.param("username", "a\u202eb", {"invalid"}, id="turned around"),
        pytest.param("username", "a\u200bb", {"invalid"}, id="zero width"),
        pytest.param("username", "<script>", {"invalid"}, id="markup"),
        pytest.param("username", "\U0001f4a9", {"invalid"}, id="emoji"),
        pytest.param("username", "\u0130stanbul", {"invalid"}, id="dotted capital I"),
        pytest.param("username", "a" * 151, {"max_length"}, id="151 characters"),
        pytest.param("username", "\ufb03" * 51, {"max_length"}, id="153 after folding"),
        pytest.param("username", " ", {"blank"}, id="blank"),
        pytest.param("username", "\u2003", {"blank"}, id="wide space"),
        pytest.param("email", "carol", {"invalid"}, id="no at"),
        pytest.param("email", "carol@", {"invalid"}, id="no domain"),
        pytest.param("email", "@example.com", {"invalid"}, id="no name"),
        pytest.param("email", "a@b@example.com", {"invalid"}, id="two ats"),
        pytest.param("email", "carol@example.com\nBcc: a@example.com", {"invalid"}, id="header injection"),
        pytest.param("email", f"{'a' * 250}@example.com", {"max_length"}, id="262 characters"),
        pytest.param("password", "short1!", {"password_too_short"}, id="short"),
        pytest.param("password", "password123", {"password_too_common"}, id="common"),
        pytest.param("password", "8203947561", {"password_entirely_numeric"}, id="digits"),
        pytest.param("password", "carol@example", {"password_too_similar"}, id="like the address"),
        pytest.param("password", "1234", TOO_MUCH, id="three faults"),
        pytest.param("password", "a" * 1025, {"max_length"}, id="1,025 characters"),
    ],
)
def test_what_is_not_valid_is_named_by_its_field(api: Api, field: str, value: str, codes: set[str]) -> None:
    errors = errors_of(api.post("/auth/signup", {**SIGNUP, field: value}))
    assert {name for name, _ in errors} == {field}
    assert {code for _, code in errors} == codes
    assert not User.objects.exists()


@pytest.mark.parametrize("filler", ["\u3164", "\u115f", "\u1160", "\uffa0"])
def test_a_letter_that_nobody_sees_makes_no_second_user_of_the_same_looks(api: Api, alice: User, filler: str) -> None:
    assert errors_of(api.post("/auth/signup", {**SIGNUP, "username": f"Alice{filler}"})) == [("username", "invalid")]
    assert list(User.objects.all()) == [alice]


@pytest.mark.django_db
def test_two_names_that_are_taken_are_named_both_and_nothing_is_hashed(
    api: Api, alice: User, hashings: list[str]
) -> None:
    taken = {**SIGNUP, "username": "ALICE", "email": "Alice@Example.COM"}
    response = api.post("/auth/signup", taken)
    assert errors_of(response) == [("username", "unique"), ("email", "unique")]
    messages = [error["message"] for error in response.json()["errors"]]
    assert messages == ["This username is taken.", "This e-mail address is taken."]
    assert hashings == []


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("rival", "field"),
    [
        pytest.param({"username": "CAROL", "email": "rival@example.com"}, "username", id="username"),
        pytest.param({"username": "rival", "email": "CAROL@example.com"}, "email", id="email"),
    ],
)
def test_a_name_taken_in_the_last_moment_reads_like_any_name_taken(
    api: Api, settings: Any, rival: dict[str, str], field: str
) -> None:
    settings.AUTH_PASSWORD_VALIDATORS = [{"NAME": "tests.accounts.rivals.Rival", "OPTIONS": rival}]
    assert errors_of(api.post("/auth/signup", SIGNUP)) == [(field, "unique")]
    assert [user.username for user in User.objects.all()] == [rival["username"]]


@pytest.mark.usefixtures("committed")
@pytest.mark.parametrize("field", ["username", "email"])
def test_of_any_number_of_concurrent_sign_ups_with_one_name_one_gets_in(field: str) -> None:
    names = [{"username": f"user{n}", "email": f"user{n}@example.com"} for n in range(8)]
    for n, name in enumerate(names):
        same = "".join(letter.upper() if n >> bit & 1 else letter for bit, letter in enumerate(SIGNUP[field]))
        name[field] = same
    answers = at_once([lambda name=name: Api().post("/auth/signup", {**SIGNUP, **name}) for name in names])
    assert sorted(answer.status_code for answer in answers) == [201] + [400] * 7
    refused = [errors_of(answer) for answer in answers if answer.status_code == 400]
    assert refused == [[(field, "unique")]] * 7
    assert User.objects.count() == 1


@pytest.mark.usefixtures("committed")
def test_concurrent_sign_ups_of_different_people_all_get_in() -> None:
    names = [{"username": f"user{n}", "email": f"user{n}@example.com"} for n in range(6)]
    answers = at_once([lambda name=name: Api().post("/auth/signup", {**SIGNUP, **name}) for name in names])
    assert [answer.status_code for answer in answers] == [201] * 6
    assert User.objects.count() == 6


@pytest.mark.parametrize(
    ("username", "email", "constraint"),
    [
        ("aLICE", "other@example.com", "accounts_user_username_unique"),
        ("other", "ALICE@example.com", "accounts_user_email_unique"),
    ],
)
def test_the_database_itself_refuses_a_second_user_of_a_name(
    alice: User, username: str, email: str, constraint: str
) -> None:
    with pytest.raises(IntegrityError, match=constraint), transaction.atomic():
        User(username=username, email=email).save()
    assert list(User.objects.all()) == [alice]
