"""Introspection (RFC 7662): what is good is told, whatever is not is inactive and nothing more."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import Session, User
from apikeys import keys, usage
from apikeys.models import APIKey, Secret, Usage
from tests.accounts.conftest import claims_of, sign
from tests.conftest import NO_CREDENTIAL, Api, errors_of
from tests.factories import make_key, make_role, pair_of, token_of

ROUTE = "/auth/introspect"
FORM = "application/x-www-form-urlencoded"
INACTIVE = {"active": False}


@pytest.fixture
def caller(bob: User) -> str:
    """The token of somebody who may ask."""
    bob.groups.add(make_role("introspector", "tokens:introspect"))
    return token_of(bob)


@pytest.fixture
def analyst(alice: User) -> User:
    alice.groups.add(make_role("analyst", "reports:read", "files:read"))
    return alice


def ask(api: Api, caller: str, token: str, **more: str) -> Any:
    response = api.post(ROUTE, {"token": token, **more}, token=caller)
    assert response.status_code == 200, response.content
    return response.json()


def test_a_key_is_told(api: Api, analyst: User, caller: str) -> None:
    key, plaintext = make_key(analyst, scopes=["reports:read"])
    assert ask(api, caller, plaintext) == {
        "active": True,
        "scope": "reports:read",
        "client_id": str(key.pk),
        "username": "Alice",
        "token_type": "api_key",
        "exp": int(key.expires_at.timestamp()),
        "iat": int(key.created_at.timestamp()),
        "sub": str(analyst.pk),
        "iss": "authsvc",
        "jti": f"api_key:{Secret.objects.get().pk}",
    }


def test_an_access_token_is_told_with_what_it_may_do_now(api: Api, analyst: User, caller: str) -> None:
    token = token_of(analyst)
    claims = claims_of(token)
    assert ask(api, caller, token) == {
        "active": True,
        "scope": "files:read reports:read",
        "username": "Alice",
        "token_type": "bearer",
        **{name: claims[name] for name in ("exp", "iat", "sub", "iss", "jti")},
    }
    analyst.groups.clear()
    assert ask(api, caller, token)["scope"] == ""


def test_a_refresh_token_is_told_until_it_is_spent(api: Api, analyst: User, caller: str) -> None:
    token = pair_of(analyst).refresh_token
    claims = claims_of(token)
    assert ask(api, caller, token, token_type_hint="refresh_token") == {
        "active": True,
        "scope": "files:read reports:read",
        "username": "Alice",
        "token_type": "refresh_token",
        **{name: claims[name] for name in ("exp", "iat", "sub", "iss", "jti")},
    }
    assert api.post("/auth/refresh", {"refresh_token": token}).status_code == 200
    assert ask(api, caller, token) == INACTIVE
    assert Session.objects.filter(ended_at=None, user=analyst).exists()  # to ask is not to use, and so no theft


def test_a_token_of_a_key_is_told_with_its_key_and_its_audience(api: Api, analyst: User, caller: str) -> None:
    key, plaintext = make_key(analyst, scopes=["reports:read", "files:read"])
    token = api.post("/auth/token", {"scope": "reports:read", "audience": "billing"}, key=plaintext).json()[
        "access_token"
    ]
    told = ask(api, caller, token)
    assert (told["active"], told["client_id"], told["aud"]) == (True, str(key.pk), "billing")
    assert (told["scope"], told["token_type"], told["username"]) == ("reports:read", "bearer", "Alice")


def test_whatever_is_not_good_is_inactive_and_nothing_more(api: Api, analyst: User, caller: str) -> None:
    past = timezone.now() - timedelta(seconds=1)
    states = [{"revoked_at": past}, {"expires_at": past}, {"is_enabled": False}]
    bad = [make_key(analyst, **state)[1] for state in states]
    retired = make_key(analyst)
    Secret.objects.filter(api_key=retired[0]).update(retires_at=past)
    key, plaintext = make_key(analyst)
    of_key = api.post("/auth/token", {}, key=plaintext).json()["access_token"]
    APIKey.objects.filter(pk=key.pk).update(revoked_at=past)
    ended = pair_of(analyst)
    Session.objects.filter(user=analyst).update(ended_at=past)
    claims = claims_of(pair_of(analyst).access_token)
    bad += [
        retired[1],
        keys.generate("sk").plaintext,
        of_key,
        *ended[:2],
        "",
        "junk",
        "sk_junk",
        "a.b.c",
        "x" * 100_000,
    ]
    bad += [
        sign({**claims, "exp": 1}),
        sign(claims, key="another key, which is long enough too"),
        sign({**claims, "sid": "0"}),
    ]
    bad += ["\0", "\ud800", f" {retired[1]} ", "\u65e5\u672c.a.b"]
    bad += [sign({**claims, "sub": "0"}), sign({name: claims[name] for name in claims if name != "sid"})]
    assert [ask(api, caller, text) for text in bad] == [INACTIVE] * len(bad)


def test_everything_of_a_disabled_user_is_inactive(api: Api, analyst: User, caller: str) -> None:
    texts = [make_key(analyst)[1], *pair_of(analyst)[:2]]
    User.objects.filter(pk=analyst.pk).update(is_active=False)
    assert [ask(api, caller, text) for text in texts] == [INACTIVE] * 3


def test_junk_never_reaches_the_database(api: Api, caller: str, django_assert_num_queries: Any) -> None:
    junk = ["", "junk", f"sk_{'A' * 49}", "a.b.c", sign({"sid": "1"}, key="another key, which is long enough too")]
    with django_assert_num_queries(1):  # the caller
        response = api.post(ROUTE, {"tokens": junk * 20}, token=caller)
    assert response.json() == [INACTIVE] * 100


def test_many_are_told_in_their_order(api: Api, alice: User, caller: str) -> None:
    (first, one), (second, two) = make_key(alice), make_key(alice)
    told = api.post(ROUTE, {"tokens": [two, "junk", one]}, token=caller).json()
    assert [answer.get("client_id") for answer in told] == [str(second.pk), None, str(first.pk)]


def test_a_text_is_taken_as_it_is_and_none_fails_the_others(api: Api, alice: User, caller: str) -> None:
    plaintext = make_key(alice)[1]
    texts = [f" {plaintext}", f"{plaintext}\n", "\0", "\ud800", plaintext]
    told = api.post(ROUTE, {"tokens": texts}, token=caller).json()
    assert [answer["active"] for answer in told] == [False] * 4 + [True]


def test_to_be_asked_about_is_no_use(api: Api, alice: User, caller: str) -> None:
    _, plaintext = make_key(alice, rate_limit="1/hour", allowed_ips=["192.0.2.1"])
    assert [ask(api, caller, plaintext)["active"] for _ in range(3)] == [True] * 3
    usage.flush()
    assert (APIKey.objects.get().last_used_at, Usage.objects.count()) == (None, 0)


@pytest.mark.parametrize("hint", ["access_token", "refresh_token", "api_key", "nonsense", ""])
def test_a_hint_is_taken_and_not_trusted(api: Api, alice: User, caller: str, hint: str) -> None:
    texts = [make_key(alice)[1], *pair_of(alice)[:2]]
    assert [ask(api, caller, text, token_type_hint=hint)["active"] for text in texts] == [True] * 3


def test_a_form_is_taken_as_rfc_7662_has_it(api: Api, alice: User, caller: str) -> None:
    plaintext = make_key(alice)[1]
    response = api.post(ROUTE, f"token={plaintext}&token_type_hint=api_key", token=caller, content_type=FORM)
    assert (response.status_code, response.json()["active"]) == (200, True)


@pytest.mark.parametrize(
    ("body", "error"),
    [
        pytest.param({}, ("token", "required"), id="nothing"),
        pytest.param({"token": "x", "tokens": []}, ("token", "exclusive"), id="both"),
        pytest.param({"token": 7}, ("token", "invalid"), id="a number"),
        pytest.param({"tokens": "x"}, ("tokens", "not_a_list"), id="no list"),
        pytest.param({"tokens": ["x"] * 101}, ("tokens", "max_length"), id="too many"),
        pytest.param({"token": "x", "hint": "y"}, ("hint", "unknown"), id="a typo"),
    ],
)
def test_a_body_that_is_none_is_named(api: Api, caller: str, body: dict[str, Any], error: tuple[str, str]) -> None:
    assert errors_of(api.post(ROUTE, body, token=caller)) == [error]


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        pytest.param({}, "required", "Send token or tokens.", id="neither"),
        pytest.param({"token": "x", "tokens": ["x"]}, "exclusive", "Send token or tokens, not both.", id="both"),
    ],
)
def test_one_token_or_many_are_asked_about(
    api: Api, caller: str, body: dict[str, Any], code: str, message: str
) -> None:
    response = api.post(ROUTE, body, token=caller)
    assert (response.status_code, response.json()) == (
        400,
        {
            "type": "about:blank",
            "title": "Bad Request",
            "status": 400,
            "detail": "The request has fields that are not valid.",
            "errors": [{"field": "token", "code": code, "message": message}],
        },
    )


def test_who_may_not_ask_learns_nothing(api: Api, alice: User) -> None:
    plaintext = make_key(alice)[1]
    assert [
        api.post(ROUTE, {"token": plaintext}, **who).status_code
        for who in ({"token": token_of(alice)}, {"key": plaintext})
    ] == [403, 403]
    nobody = api.post(ROUTE, {"token": plaintext})
    assert (nobody.status_code, nobody.json()) == (401, NO_CREDENTIAL)


def test_a_key_with_the_scope_may_ask(api: Api, alice: User, bob: User) -> None:
    bob.groups.add(make_role("introspector", "tokens:introspect"))
    asking = make_key(bob, scopes=["tokens:introspect"])[1]
    response = api.post(ROUTE, {"token": make_key(alice)[1]}, key=asking)
    assert (response.status_code, response.json()["active"]) == (200, True)
