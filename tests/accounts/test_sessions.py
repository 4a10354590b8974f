"""Sessions: each login is one, its user sees and ends them, and what has ended opens nothing from then on."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from io import StringIO
from threading import Event
from typing import Any

import pytest
import time_machine
from django.core.management import call_command
from django.db import connection, transaction
from django.test import Client
from django.utils import timezone

from accounts.models import Session, User
from accounts.services import mail_links, users
from audit.models import AuditEvent
from tests.accounts.conftest import at_once, claims_of, sign
from tests.conftest import BAD_CREDENTIAL, IMPATIENCE, NOT_FOUND, Api, errors_of
from tests.factories import PASSWORD, UserFactory, granted, make_key, pair_of, token_of

ROUTE = "/auth/sessions"
LOGIN = {"username": "alice", "password": PASSWORD}


def session_id(token: str) -> int:
    """Return the session that a token names."""
    return int(claims_of(token)["sid"])


def opens(api: Api, *tokens: str) -> list[bool]:
    """Say which tokens open anything."""
    return [api.get("/auth/me", token=token).status_code == 200 for token in tokens]


def test_a_login_begins_a_session_that_tells_the_device_and_the_address(api: Api, alice: User) -> None:
    with time_machine.travel("2027-01-31T12:00:00Z", tick=False):
        headers = {"User-Agent": "A browser\x1b[31m" + "x" * 300}
        token = api.post("/auth/login", LOGIN, headers=headers).json()["access_token"]
        response = api.get(ROUTE, token=token)
    assert response.status_code == 200
    assert response.json() == [
        {
            "id": session_id(token),
            "device": ("A browser?[31m" + "x" * 300)[:200],
            "address": "127.0.0.1",
            "created_at": "2027-01-31T12:00:00Z",
            "last_used_at": "2027-01-31T12:00:00Z",
            "expires_at": "2027-02-14T12:00:00Z",
            "current": True,
        }
    ]


def test_the_newest_session_comes_first_and_the_one_that_asks_is_marked(api: Api, alice: User, bob: User) -> None:
    tokens = [token_of(alice) for _ in range(3)]
    token_of(bob)
    found = [(row["id"], row["current"]) for row in api.get(ROUTE, token=tokens[1]).json()]
    assert found == [(session_id(token), token is tokens[1]) for token in reversed(tokens)]


def test_a_long_list_comes_in_pages(api: Api, alice: User) -> None:
    tokens = [token_of(alice) for _ in range(5)]
    path, found = f"{ROUTE}?limit=2", []
    while path:
        response = api.get(path, token=tokens[0])
        found += [row["id"] for row in response.json()]
        path = response.headers.get("Link", "").partition(">")[0].removeprefix("<http://testserver")
    assert found == [session_id(token) for token in reversed(tokens)]


@pytest.mark.parametrize(
    ("query", "field"), [("limit=0", "limit"), ("limit=101", "limit"), ("limit=x", "limit"), ("cursor=x", "cursor")]
)
def test_a_page_that_is_none_is_named(api: Api, alices_token: str, query: str, field: str) -> None:
    assert [name for name, _ in errors_of(api.get(f"{ROUTE}?{query}", token=alices_token))] == [field]


def test_one_session_is_ended_and_the_others_go_on(api: Api, alice: User) -> None:
    here, there = token_of(alice), token_of(alice)
    answers = [api.delete(f"{ROUTE}/{session_id(there)}", token=here).status_code for _ in range(2)]
    assert answers == [204, 204]
    assert opens(api, here, there) == [True, False]
    assert [row["id"] for row in api.get(ROUTE, token=here).json()] == [session_id(here)]
    events = AuditEvent.objects.filter(event="session:ended")
    assert [(e.actor_name, e.subject_name, e.reason) for e in events] == [
        ("Alice", f"Alice, session #{session_id(there)}", "ended by its user")
    ]


def test_the_session_that_asks_can_end_itself(api: Api, alices_token: str) -> None:
    assert api.delete(f"{ROUTE}/{session_id(alices_token)}", token=alices_token).status_code == 204
    response = api.get(ROUTE, token=alices_token)
    assert (response.status_code, response.json()) == (401, BAD_CREDENTIAL)


@pytest.mark.parametrize("which", ["bob's", "nobody's", "beyond bigint"])
def test_a_session_that_is_not_mine_reads_like_none(api: Api, alices_token: str, bobs_token: str, which: str) -> None:
    number = {"bob's": session_id(bobs_token), "nobody's": 999_999, "beyond bigint": 2**70}[which]
    response = api.delete(f"{ROUTE}/{number}", token=alices_token)
    assert (response.status_code, response.json()) == (404, NOT_FOUND)
    assert opens(api, bobs_token) == [True]


def test_all_sessions_end_at_once_and_the_keys_stay(api: Api, alice: User, bobs_token: str) -> None:
    tokens, key = [token_of(alice) for _ in range(3)], make_key(alice)[1]
    assert api.delete(ROUTE, token=tokens[0]).status_code == 204
    assert opens(api, *tokens, bobs_token) == [False] * 3 + [True]
    assert api.get("/protected/service", key=key).status_code == 200
    events = AuditEvent.objects.filter(event="session:ended")
    assert [(e.actor_name, e.subject_name, e.reason) for e in events] == [
        ("Alice", "Alice", "3 ended: ended by its user")
    ]


def test_a_session_is_over_to_the_second_whatever_its_token_says(api: Api, alice: User, settings: Any) -> None:
    settings.REFRESH_TOKEN_EXPIRE_DAYS, settings.ACCESS_TOKEN_EXPIRE_MINUTES = 1, 1440
    with time_machine.travel("2027-01-31T12:00:00Z", tick=False) as clock:
        claims = claims_of(token_of(alice))
        token = sign({**claims, "exp": claims["exp"] + 3600})
        clock.shift(timedelta(days=1, seconds=-1))
        before = opens(api, token)
        clock.shift(1)
        after = opens(api, token)
    assert (before, after) == ([True], [False])


def test_no_token_outlives_its_session(alice: User, settings: Any) -> None:
    settings.REFRESH_TOKEN_EXPIRE_DAYS, settings.ACCESS_TOKEN_EXPIRE_MINUTES = 1, 1440
    with time_machine.travel("2027-01-31T12:00:00.900Z", tick=False):
        pair = pair_of(alice)
    end = int(Session.objects.get().expires_at.timestamp())
    assert [claims_of(token)["exp"] for token in pair[:2]] == [end, end]
    assert pair.expires_in == 86_400


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda claims: {**claims, "sid": "0"}, id="no such session"),
        pytest.param(lambda claims: {**claims, "sid": str(2**80)}, id="beyond bigint"),
        pytest.param(lambda claims: {**claims, "sid": int(claims["sid"])}, id="a number"),
        pytest.param(lambda claims: {**claims, "sid": ""}, id="empty"),
        pytest.param(lambda claims: {**claims, "sid": None}, id="null"),
        pytest.param(lambda claims: {k: v for k, v in claims.items() if k != "sid"}, id="absent"),
        pytest.param(lambda claims: {**claims, "sub": str(int(claims["sub"]) + 1)}, id="another's session"),
    ],
)
def test_a_token_without_a_session_of_its_user_opens_nothing(
    api: Api, alices_token: str, bob: User, change: Callable[[Any], Any]
) -> None:
    response = api.get("/auth/me", token=sign(change(claims_of(alices_token))))
    assert (response.status_code, response.json()) == (401, BAD_CREDENTIAL)


def test_a_session_costs_no_query_of_its_own(api: Api, alice: User, django_assert_num_queries: Any) -> None:
    token = token_of(alice)
    assert opens(api, token) == [True]
    with django_assert_num_queries(1):
        assert opens(api, token) == [True]


def test_its_use_is_noted_at_most_once_a_minute_and_never_backwards(
    api: Api, alice: User, django_assert_num_queries: Any
) -> None:
    with time_machine.travel("2027-01-31T12:00:00Z", tick=False) as clock:
        token, begun = token_of(alice), timezone.now()
        clock.shift(59)
        with django_assert_num_queries(1):
            opens(api, token)
        clock.shift(1)
        with django_assert_num_queries(2):
            opens(api, token)
        with django_assert_num_queries(1):
            opens(api, token)
        Session.objects.update(last_used_at=begun + timedelta(hours=1))
        opens(api, token)
    assert Session.objects.get().last_used_at == begun + timedelta(hours=1)


def test_disabling_a_user_ends_the_sessions_and_enabling_revives_none(api: Api, alice: User) -> None:
    token = token_of(alice)
    users.set_active(user=alice, active=False)
    users.set_active(user=alice, active=False)
    assert opens(api, token) == [False]
    users.set_active(user=alice, active=True)
    assert opens(api, token, token_of(alice)) == [False, True]
    events = AuditEvent.objects.exclude(event="user:logged_in").order_by("id").values_list("event", flat=True)
    assert list(events) == ["user:disabled", "session:ended", "user:enabled"]


def test_disabling_ends_the_console_session_and_the_mailed_links_too(api: Api, alice: User) -> None:
    User.objects.update(is_staff=True)
    operator, link = Client(), mail_links.reset_tokens.make(alice)
    operator.force_login(granted(alice))
    for active in (False, True):
        users.set_active(user=alice, active=active)
    assert operator.get("/admin/").status_code == 302
    body = {"token": link, "new_password": "another-horse-battery"}
    assert api.post("/auth/password/reset/confirm", body).status_code == 400


@pytest.mark.parametrize("by", ["DELETE /auth/sessions", "end_sessions", "the console"])
def test_all_sessions_are_those_of_the_console_too(api: Api, alice: User, alices_token: str, by: str) -> None:
    User.objects.update(is_staff=True)
    operator = Client()
    operator.force_login(granted(alice))
    assert operator.get("/admin/").status_code == 200
    if by == "end_sessions":
        call_command("end_sessions", "--user", "alice", stdout=StringIO())
    elif by == "the console":
        root = Client()
        root.force_login(granted(UserFactory(is_staff=True, is_superuser=True)))
        root.post("/admin/accounts/user/", {"action": "end_sessions", "_selected_action": [alice.pk]})
    else:
        assert api.delete("/auth/sessions", token=alices_token).status_code == 204
    assert operator.get("/admin/").status_code == 302


def test_nothing_of_a_token_is_kept_in_clear(api: Api, alice: User) -> None:
    pair = pair_of(alice)
    session = Session.objects.get()
    kept = repr([list(session.refresh_tokens.values()), Session.objects.values().get()])
    for token in pair[:2]:
        assert token not in kept
        assert claims_of(token)["jti"] not in kept
    assert (str(session), str(session.refresh_tokens.get())) == (
        f"session #{session.pk}",
        f"refresh token #{session.refresh_tokens.get().pk}",
    )


@pytest.mark.django_db(transaction=True)
def test_a_good_token_is_not_refused_because_its_use_cannot_be_written_down_just_now(
    alice: User, caplog: pytest.LogCaptureFixture
) -> None:
    token, last = token_of(alice), timezone.now() - timedelta(hours=1)
    Session.objects.update(last_used_at=last)
    held, answered = Event(), Event()

    def hold() -> list[bool]:
        with transaction.atomic():
            Session.objects.update(last_used_at=last)
            held.set()
            return [answered.wait(30)]

    def impatient() -> list[bool]:
        held.wait(30)
        with connection.cursor() as cursor:
            cursor.execute(IMPATIENCE[connection.vendor])
        try:
            return opens(Api(), token)
        finally:
            answered.set()

    assert at_once([hold, impatient]) == [[True], [True]]
    assert "the use of a session could not be recorded: OperationalError" in caplog.text
    assert Session.objects.get().last_used_at == last
    assert opens(Api(), token) == [True]
    assert Session.objects.get().last_used_at > last
