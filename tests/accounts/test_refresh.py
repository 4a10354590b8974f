"""Refresh and logout: a token is spent once, a stolen one ends its session, and no refresh prolongs anything."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.utils import timezone

from accounts.jwt.tokens import TokenPair
from accounts.models import RefreshToken, Session, User
from audit.models import AuditEvent
from tests.accounts.conftest import claims_of, encode, sign
from tests.conftest import BAD_CREDENTIAL, Api, errors_of
from tests.factories import make_role, pair_of

START = "2027-01-31T12:00:00Z"


def refresh(api: Api, token: str) -> Any:
    return api.post("/auth/refresh", {"refresh_token": token})


def log_out(api: Api, token: str) -> Any:
    return api.post("/auth/logout", {"refresh_token": token})


def renewed(api: Api, pair: TokenPair) -> TokenPair:
    """Return the pair that a refresh token is good for."""
    response = refresh(api, pair.refresh_token)
    assert response.status_code == 200, response.content
    body = response.json()
    return TokenPair(body["access_token"], body["refresh_token"], body["expires_in"])


def opens(api: Api, token: str) -> bool:
    return bool(api.get("/auth/me", token=token).status_code == 200)


def test_a_refresh_token_is_good_for_a_new_pair_of_the_same_session(api: Api, alice: User) -> None:
    old = pair_of(alice)
    alice.groups.add(make_role("reader", "reports:read"))
    response = refresh(api, old.refresh_token)
    body = response.json()
    assert response.status_code == 200
    assert body == {
        "access_token": body["access_token"],
        "token_type": "bearer",
        "expires_in": 1800,
        "refresh_token": body["refresh_token"],
    }
    claims = claims_of(body["access_token"])
    assert (claims["sid"], claims["sub"]) == (claims_of(old.access_token)["sid"], str(alice.pk))
    assert (claims["roles"], claims["scope"]) == (["reader"], "reports:read")
    assert opens(api, body["access_token"])
    assert Session.objects.count() == 1


def test_a_spent_token_shown_again_at_once_is_refused_and_nothing_more(api: Api, alice: User) -> None:
    with time_machine.travel(START, tick=False) as clock:
        old = pair_of(alice)
        new = renewed(api, old)
        clock.shift(10)
        answers = [refresh(api, old.refresh_token) for _ in range(3)]
        assert [(answer.status_code, answer.json()) for answer in answers] == [(401, BAD_CREDENTIAL)] * 3
        assert opens(api, new.access_token)
        assert refresh(api, new.refresh_token).status_code == 200
    assert not AuditEvent.objects.filter(event="session:refresh_reused").exists()


def test_a_spent_token_shown_again_later_ends_its_session_and_is_recorded_once(api: Api, alice: User) -> None:
    with time_machine.travel(START, tick=False) as clock:
        old, other = pair_of(alice), pair_of(alice)
        new = renewed(api, old)
        clock.shift(10.001)
        assert [refresh(api, old.refresh_token).status_code for _ in range(2)] == [401, 401]
        assert [opens(api, pair.access_token) for pair in (old, new, other)] == [False, False, True]
        assert (refresh(api, new.refresh_token).status_code, refresh(api, other.refresh_token).status_code) == (
            401,
            200,
        )
    (event,) = AuditEvent.objects.filter(event="session:refresh_reused")
    sid = claims_of(old.access_token)["sid"]
    assert (event.subject_name, event.address, event.subject_id) == (f"Alice, session #{sid}", "127.0.0.1", int(sid))
    assert Session.objects.get(pk=sid).ended_reason == "refresh token reused"


def test_a_logout_counts_though_another_tab_has_just_refreshed(api: Api, alice: User) -> None:
    with time_machine.travel(START, tick=False) as clock:
        old = pair_of(alice)
        new = renewed(api, old)
        clock.shift(10)
        assert log_out(api, old.refresh_token).status_code == 204
        assert [opens(api, pair.access_token) for pair in (old, new)] == [False, False]
    assert not AuditEvent.objects.filter(event="session:refresh_reused").exists()


def test_a_logout_with_a_token_spent_long_ago_is_theft_too(api: Api, alice: User) -> None:
    with time_machine.travel(START, tick=False) as clock:
        old = pair_of(alice)
        new = renewed(api, old)
        clock.shift(11)
        assert log_out(api, old.refresh_token).status_code == 401
        assert not opens(api, new.access_token)
    assert AuditEvent.objects.filter(event="session:refresh_reused").exists()


def test_the_ten_seconds_are_each_tokens_own(api: Api, alice: User) -> None:
    with time_machine.travel(START, tick=False) as clock:
        first = pair_of(alice)
        second = renewed(api, first)
        clock.shift(6)
        third = renewed(api, second)
        assert refresh(api, first.refresh_token).status_code == 401
        assert opens(api, third.access_token)
        clock.shift(6)
        assert refresh(api, second.refresh_token).status_code == 401
        assert opens(api, third.access_token)
        assert refresh(api, first.refresh_token).status_code == 401
        assert not opens(api, third.access_token)


def test_a_token_spent_so_long_ago_that_it_is_forgotten_is_theft(api: Api, alice: User) -> None:
    with time_machine.travel(START, tick=False) as clock:
        pairs = [pair_of(alice)]
        for _ in range(3):
            clock.shift(600)
            pairs.append(renewed(api, pairs[-1]))
        assert RefreshToken.objects.count() == 2
        assert refresh(api, pairs[0].refresh_token).status_code == 401
        assert not opens(api, pairs[-1].access_token)


def test_a_second_in_which_everything_happens_revives_no_spent_token(api: Api, alice: User) -> None:
    with time_machine.travel(START, tick=False):
        pairs = [pair_of(alice)]
        for _ in range(5):
            pairs.append(renewed(api, pairs[-1]))
        assert [refresh(api, pair.refresh_token).status_code for pair in pairs] == [401] * 5 + [200]


def test_no_refresh_prolongs_a_session(api: Api, alice: User, settings: Any) -> None:
    settings.REFRESH_TOKEN_EXPIRE_DAYS = 2
    with time_machine.travel(START, tick=False) as clock:
        pair, end = pair_of(alice), timezone.now() + timedelta(days=2)
        for _ in range(3):
            clock.shift(timedelta(hours=15))
            pair = renewed(api, pair)
        settings.REFRESH_TOKEN_EXPIRE_DAYS = 30
        pair = renewed(api, pair)
        assert claims_of(pair.refresh_token)["exp"] == int(end.timestamp())
        assert Session.objects.get().expires_at == end
        clock.move_to(end - timedelta(seconds=1))
        pair = renewed(api, pair)
        assert pair.expires_in == 1
        clock.move_to(end)
        assert refresh(api, pair.refresh_token).status_code == 401


def test_a_refresh_notes_where_it_came_from(api: Api, alice: User) -> None:
    token = pair_of(alice).refresh_token
    api.post("/auth/refresh", {"refresh_token": token}, headers={"User-Agent": "Another browser"})
    assert (Session.objects.get().device, Session.objects.get().address) == ("Another browser", "127.0.0.1")


BAD: dict[str, Callable[[dict[str, Any], TokenPair], str]] = {
    "junk": lambda claims, pair: "junk",
    "an access token": lambda claims, pair: pair.access_token,
    "of another key": lambda claims, pair: sign(claims, key="another key, which is long enough too"),
    "alg none": lambda claims, pair: f"{encode({'alg': 'none'})}.{encode(claims)}.",
    "HS512": lambda claims, pair: sign(claims, {"alg": "HS512"}, digest="sha512"),
    "expired": lambda claims, pair: sign({**claims, "exp": claims["iat"]}),
    "no exp": lambda claims, pair: sign({k: v for k, v in claims.items() if k != "exp"}),
    "no jti": lambda claims, pair: sign({k: v for k, v in claims.items() if k != "jti"}),
    "of no session": lambda claims, pair: sign({**claims, "sid": "0"}),
    "sid a list": lambda claims, pair: sign({**claims, "sid": []}),
    "100 kB": lambda claims, pair: sign({**claims, "x": "y" * 12_200}),
}


@pytest.mark.parametrize("route", ["/auth/refresh", "/auth/logout"])
@pytest.mark.parametrize("kind", BAD)
def test_every_bad_refresh_token_reads_the_same_and_ends_nothing(api: Api, alice: User, kind: str, route: str) -> None:
    pair = pair_of(alice)
    response = api.post(route, {"refresh_token": BAD[kind](claims_of(pair.refresh_token), pair)})
    assert (response.status_code, response.json()) == (401, BAD_CREDENTIAL)
    assert response["WWW-Authenticate"] == 'Bearer realm="authsvc"'
    assert opens(api, pair.access_token)


def test_a_token_that_we_signed_for_a_session_but_never_issued_is_theft(api: Api, alice: User) -> None:
    pair = pair_of(alice)
    forged = sign({**claims_of(pair.refresh_token), "jti": uuid.uuid4().hex})
    assert refresh(api, forged).status_code == 401
    assert not opens(api, pair.access_token)


@pytest.mark.parametrize("route", ["/auth/refresh", "/auth/logout"])
@pytest.mark.parametrize(
    ("body", "code"),
    [({}, "required"), ({"refresh_token": None}, "null"), ({"refresh_token": 7}, "invalid"),
     ({"refresh_token": ""}, "blank")],
    ids=["absent", "null", "a number", "empty"],
)  # fmt: skip
@pytest.mark.django_db
def test_a_body_that_is_none_is_named(api: Api, route: str, body: dict[str, Any], code: str) -> None:
    assert errors_of(api.post(route, body)) == [("refresh_token", code)]


def test_a_logout_ends_its_session_and_no_other(api: Api, alice: User) -> None:
    here, there = pair_of(alice), pair_of(alice)
    response = log_out(api, here.refresh_token)
    assert (response.status_code, response.content) == (204, b"")
    assert [opens(api, pair.access_token) for pair in (here, there)] == [False, True]
    again = [log_out(api, here.refresh_token), refresh(api, here.refresh_token)]
    assert [(answer.status_code, answer.json()) for answer in again] == [(401, BAD_CREDENTIAL)] * 2
    (event,) = AuditEvent.objects.filter(event="session:ended")
    assert (event.actor_name, event.reason) == ("Alice", "logout")


def test_a_disabled_user_refreshes_nothing_even_where_the_session_was_not_ended(api: Api, alice: User) -> None:
    pair = pair_of(alice)
    User.objects.filter(pk=alice.pk).update(is_active=False)
    assert refresh(api, pair.refresh_token).status_code == 401
    User.objects.filter(pk=alice.pk).update(is_active=True)
    assert refresh(api, pair.refresh_token).status_code == 200


def test_a_deleted_user_refreshes_nothing(api: Api, alice: User) -> None:
    pair = pair_of(alice)
    alice.delete()
    answers = [refresh(api, pair.refresh_token).status_code, log_out(api, pair.refresh_token).status_code]
    assert (answers, RefreshToken.objects.count()) == ([401, 401], 0)
