"""What one address may do in a while: sign up, log in, ask for mails."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import time_machine
from django.test import Client

from accounts.models import User
from tests.accounts.mails import api_from
from tests.conftest import Api
from tests.factories import PASSWORD, UserFactory

pytestmark = pytest.mark.django_db
LIMITED = {
    "type": "about:blank",
    "title": "Too Many Requests",
    "status": 429,
    "detail": "The rate limit is used up; try again after the seconds in Retry-After.",
}


def sign_up(api: Api, number: int) -> Any:
    name = f"user{number}"
    return api.post("/auth/signup", {"username": name, "email": f"{name}@example.com", "password": PASSWORD})


def log_in(api: Api, number: int) -> Any:
    return api.post("/auth/login", {"username": "alice", "password": PASSWORD})


def reset(api: Api, number: int) -> Any:
    return api.post("/auth/password/reset", {"email": f"user{number}@example.com"})


def verify(api: Api, number: int) -> Any:
    return api.post("/auth/email/verify", {"email": f"user{number}@example.com"})


ROUTES = [
    pytest.param("SIGNUP_RATE", sign_up, 201, id="sign-up"),
    pytest.param("LOGIN_RATE", log_in, 200, id="login"),
    pytest.param("MAIL_RATE", reset, 202, id="reset"),
    pytest.param("MAIL_RATE", verify, 202, id="confirmation"),
]
Call = Callable[[Api, int], Any]


@pytest.mark.parametrize(("name", "call", "good"), ROUTES)
def test_an_address_that_asks_too_often_waits_and_others_do_not(
    name: str, call: Call, good: int, alice: User, settings: Any
) -> None:
    setattr(settings, name, "2/minute")
    busy, other = api_from("203.0.113.9"), api_from("203.0.113.10")
    with time_machine.travel("2026-11-25T12:00:00Z", tick=False) as clock:
        assert [call(busy, number).status_code for number in range(2)] == [good, good]
        refused = call(busy, 2)
        assert (refused.status_code, refused.json(), refused["Retry-After"]) == (429, LIMITED, "60")
        assert refused["RateLimit-Policy"] == '"minute";q=2;w=60'
        assert call(other, 3).status_code == good
        clock.shift(61)
        assert call(busy, 4).status_code == good


@pytest.mark.parametrize(("name", "call", "good"), ROUTES)
def test_without_a_rate_an_address_asks_as_often_as_it_likes(
    name: str, call: Call, good: int, alice: User, settings: Any
) -> None:
    settings.SIGNUP_RATE = settings.LOGIN_RATE = settings.MAIL_RATE = ""
    busy = api_from("203.0.113.9")
    assert {call(busy, number).status_code for number in range(70)} == {good}


def test_what_is_no_form_does_not_use_up_the_rate(api: Api, settings: Any) -> None:
    settings.SIGNUP_RATE = "1/hour"
    assert [api.post("/auth/signup", {"username": "a"}).status_code for _ in range(3)] == [400] * 3
    assert sign_up(api, 1).status_code == 201


def test_the_consoles_login_has_the_rate_of_any_login(settings: Any) -> None:
    settings.LOGIN_RATE = "2/minute"
    UserFactory(username="operator", is_staff=True, is_superuser=True)
    client = Client()
    form = {"username": "operator", "password": "wrong"}
    statuses = [client.post("/admin/login/?next=/admin/", form).status_code for _ in range(3)]
    assert statuses == [200, 200, 429]
    right = {"username": "operator", "password": PASSWORD}
    assert client.post("/admin/login/?next=/admin/", right).status_code == 429
