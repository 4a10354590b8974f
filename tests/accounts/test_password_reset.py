"""Asking for a link that sets a new password: one answer for everybody, and a mail for whoever has the address."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import time_machine
from django.core.mail.backends.base import BaseEmailBackend
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import User
from accounts.services.registration import get_or_create_service_account
from tests.accounts.mails import api_from, link_in, mailed, sent, token_in
from tests.audit.conftest import events
from tests.conftest import Api, errors_of
from tests.factories import PASSWORD, UserFactory

ASK = "/auth/password/reset"
ACCEPTED = {"status": "accepted"}
TEXT = """\
Somebody, most likely you, asked to set a new password for Alice.

To do so within 30 minutes, open

    {link}

If it was not you, leave it: nothing has changed, and nobody can do anything without this mail.
"""


@pytest.fixture
def people(alice: User) -> None:
    """One of each kind that can be asked for."""
    UserFactory(username="disabled", is_active=False)
    robot = get_or_create_service_account(name="robot")
    User.objects.filter(pk=robot.pk).update(email="robot@example.com")


@pytest.mark.usefixtures("people")
@pytest.mark.parametrize(
    ("email", "mails"),
    [
        pytest.param("alice@example.com", 1, id="known"),
        pytest.param("ALICE@Example.COM", 1, id="in capitals"),
        pytest.param(" alice@example.com ", 1, id="with spaces"),
        pytest.param("nobody@example.com", 0, id="unknown"),
        pytest.param("disabled@example.com", 0, id="disabled"),
        pytest.param("robot@example.com", 0, id="service account"),
        pytest.param("%@example.com", 0, id="wildcard"),
    ],
)
def test_the_answer_is_the_same_whoever_is_asked_for(api: Api, email: str, mails: int) -> None:
    response = api.post(ASK, {"email": email})
    usual = api.post(ASK, {"email": "nobody-at-all@example.com"})
    assert (response.status_code, response.json()) == (202, ACCEPTED)
    assert (response.content, response.headers.keys()) == (usual.content, usual.headers.keys())
    assert [message.to for message in sent()] == [["alice@example.com"]] * mails


@pytest.mark.usefixtures("people")
def test_it_costs_the_same_queries_whoever_is_asked_for(api: Api) -> None:
    counted = []
    for name in ("alice", "nobody", "disabled", "robot"):
        with CaptureQueriesContext(connection) as queries:
            assert api.post(ASK, {"email": f"{name}@example.com"}).status_code == 202
        counted.append([query["sql"].split()[0] for query in queries])
    assert counted == [["SELECT", "INSERT", "SELECT", "SELECT"]] * 4


def test_the_mail_names_the_account_and_has_the_link_to_the_page_of_the_app(
    api: Api, alice: User, settings: Any
) -> None:
    settings.APP_URL, settings.DEFAULT_FROM_EMAIL = "https://app.example/here", "auth@example.org"
    api.post(ASK, {"email": "Alice@EXAMPLE.com"})
    (message,) = sent()
    link = link_in(message)
    assert (message.subject, message.from_email, message.to) == (
        "Set a new password",
        "auth@example.org",
        ["alice@example.com"],
    )
    assert message.body == TEXT.format(link=link)
    assert link == f"https://app.example/here/reset-password?token={token_in(message)}"


def test_the_page_of_the_app_is_on_the_computer_of_whoever_tries_it_unless_told(api: Api, alice: User) -> None:
    api.post(ASK, {"email": "alice@example.com"})
    (message,) = sent()
    assert link_in(message).startswith("http://localhost:3000/reset-password?token=")
    assert re.fullmatch(r"[\w.-]+", token_in(message), re.ASCII)


def test_asking_changes_nothing(api: Api, alice: User) -> None:
    before = User.objects.filter(pk=alice.pk).values().get()
    assert api.post(ASK, {"email": "alice@example.com"}).status_code == 202
    assert User.objects.filter(pk=alice.pk).values().get() == before
    assert api.post("/auth/login", {"username": "alice", "password": PASSWORD}).status_code == 200


@pytest.mark.usefixtures("people")
def test_each_ask_is_recorded_without_the_address_of_a_stranger(api: Api) -> None:
    before = len(events())
    for name in ("alice", "nobody", "disabled"):
        api.post(ASK, {"email": f"{name}@example.com"})
    assert events()[before:] == [
        ("user:password_reset_asked", "", "Alice", ""),
        ("user:password_reset_asked", "", "", "nobody to send it to"),
        ("user:password_reset_asked", "", "", "nobody to send it to"),
    ]


def test_nothing_of_the_token_is_stored(api: Api, alice: User) -> None:
    token = mailed(api, ASK, "alice@example.com")
    secret = token.rpartition("-")[2]
    with connection.cursor() as cursor:
        stored = []
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")
            stored += cursor.fetchall()
    assert any("alice@example.com" in row for row in stored)
    assert secret not in repr(stored)


@pytest.mark.parametrize(
    ("body", "error"),
    [
        pytest.param({}, ("email", "required"), id="empty"),
        pytest.param({"email": ""}, ("email", "blank"), id="blank"),
        pytest.param({"email": None}, ("email", "null"), id="null"),
        pytest.param({"email": 7}, ("email", "invalid"), id="number"),
        pytest.param({"email": ["alice@example.com"]}, ("email", "invalid"), id="array"),
        pytest.param({"email": "alice"}, ("email", "invalid"), id="name"),
        pytest.param({"email": "alice@example.com,bob@example.com"}, ("email", "invalid"), id="two"),
        pytest.param({"email": "alice@example.com\nBcc: bob@example.com"}, ("email", "invalid"), id="header"),
        pytest.param({"email": f"{'a' * 250}@example.com"}, ("email", "max_length"), id="long"),
        pytest.param({"email": "alice@example.com", "link": "x"}, ("link", "unknown"), id="one field more"),
        pytest.param("7", ("body", "invalid"), id="number body"),
    ],
)
def test_what_is_no_address_is_named(api: Api, alice: User, body: Any, error: tuple[str, str]) -> None:
    assert error in errors_of(api.post(ASK, body))
    assert sent() == []


def test_it_is_a_post_and_its_answer_is_kept_by_no_cache(api: Api, alice: User) -> None:
    assert api.get(ASK).status_code == 405
    assert api.post(ASK, {"email": "alice@example.com"})["Cache-Control"] == "no-store"


def test_one_user_gets_five_mails_an_hour_and_the_answer_stays_the_same(api: Api, alice: User, bob: User) -> None:
    with time_machine.travel("2027-01-31T12:00:00Z", tick=False) as clock:
        answers = [api.post(ASK, {"email": "alice@example.com"}) for _ in range(7)]
        assert {(answer.status_code, answer.content) for answer in answers} == {(202, answers[0].content)}
        assert len(sent()) == 5
        api.post(ASK, {"email": "bob@example.com"})
        assert len(sent()) == 6
        clock.shift(3601)
        api.post(ASK, {"email": "alice@example.com"})
        assert len(sent()) == 7


def test_an_address_asks_thirty_times_a_minute_and_is_told_when_to_come_again(api: Api, alice: User) -> None:
    with time_machine.travel("2027-01-31T12:00:00Z", tick=False) as clock:
        body = {"email": "nobody@example.com"}
        assert {api.post(ASK, body).status_code for _ in range(30)} == {202}
        refused = api.post(ASK, {"email": "alice@example.com"})
        assert (refused.status_code, refused.json()) == (
            429,
            {
                "type": "about:blank",
                "title": "Too Many Requests",
                "status": 429,
                "detail": "The rate limit is used up; try again after the seconds in Retry-After.",
            },
        )
        assert (1 <= int(refused["Retry-After"]) <= 60, sent()) == (True, [])
        assert api_from("192.0.2.1").post(ASK, {"email": "alice@example.com"}).status_code == 202
        clock.shift(61)
        assert api.post(ASK, body).status_code == 202


def test_an_ipv6_client_has_one_network_to_ask_from(alice: User) -> None:
    answers = [api_from(f"2001:db8::{n:x}").post(ASK, {"email": "x@example.com"}).status_code for n in range(31)]
    assert answers == [202] * 30 + [429]
    assert api_from("2001:db8:0:1::1").post(ASK, {"email": "x@example.com"}).status_code == 202


def test_a_body_that_is_no_address_counts_against_nobody(api: Api, alice: User) -> None:
    assert {api.post(ASK, {"email": "x"}).status_code for _ in range(31)} == {400}
    assert api.post(ASK, {"email": "alice@example.com"}).status_code == 202


class Broken(BaseEmailBackend):
    """A mail server that takes nothing."""

    def send_messages(self, email_messages: Any) -> int:
        raise OSError("away")


def test_a_mail_that_cannot_leave_shows_in_no_answer(
    api: Api, alice: User, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    settings.EMAIL_BACKEND = f"{__name__}.Broken"
    response = api.post(ASK, {"email": "alice@example.com"})
    assert (response.status_code, json.loads(response.content)) == (202, ACCEPTED)
    assert sent() == []
    errors = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert errors == ["a mail could not be sent"]


@pytest.mark.parametrize("route", [ASK, "/auth/email/verify"])
def test_mails_that_failed_use_up_none_of_the_five_an_hour(api: Api, alice: User, settings: Any, route: str) -> None:
    works = settings.EMAIL_BACKEND
    settings.EMAIL_BACKEND = f"{__name__}.Broken"
    for _ in range(7):
        assert api.post(route, {"email": "alice@example.com"}).status_code == 202
        assert sent() == []  # which waits until the mail has failed
    settings.EMAIL_BACKEND = works
    for _ in range(7):
        api.post(route, {"email": "alice@example.com"})
    assert len(sent()) == 5


def test_a_user_whose_password_was_taken_away_gets_no_link_to_a_new_one(api: Api, alice: User) -> None:
    alice.set_unusable_password()
    alice.save()
    response = api.post(ASK, {"email": "alice@example.com"})
    assert (response.status_code, response.json(), sent()) == (202, ACCEPTED, [])
