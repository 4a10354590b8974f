"""Forward auth: by status and headers alone, and verified as the API's own views verify it."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any, NamedTuple

import pytest
from django.db import OperationalError
from django.test import Client, RequestFactory
from django.utils import timezone

from accounts.models import User
from apikeys import keys, usage
from apikeys.models import APIKey, Usage
from authsvc.server.handler import Handler
from gateway import forward_auth
from tests.accounts.conftest import claims_of, sign
from tests.conftest import BAD_CREDENTIAL, NO_CREDENTIAL, Api
from tests.factories import UserFactory, make_key, make_role, pair_of, token_of

VERIFY = "/auth/verify"
EITHER = 'Bearer realm="authsvc", ApiKey realm="authsvc"'
NOT_GRANTED = {
    "type": "about:blank",
    "title": "Forbidden",
    "status": 403,
    "detail": "The credential is good, but it does not grant this.",
}
IDENTITY = ("Subject", "Username", "Method", "Key-Id", "Roles", "Scopes")


def identity(response: Any) -> dict[str, str]:
    """Return the identity headers of an answer, all of which must be there."""
    return {name: response[f"X-Auth-{name}"] for name in IDENTITY}


@pytest.fixture
def analyst(alice: User) -> User:
    """Alice with two roles and two scopes."""
    alice.groups.add(make_role("analyst", "reports:read", "files:read"), make_role("admin"))
    return alice


def test_a_token_tells_who_it_is_and_costs_one_query(api: Api, analyst: User, django_assert_num_queries: Any) -> None:
    token = token_of(analyst)
    with django_assert_num_queries(1):
        response = api.get(VERIFY, token=token)
    assert (response.status_code, response.content) == (200, b"")
    assert identity(response) == {
        "Subject": str(analyst.pk),
        "Username": "Alice",
        "Method": "jwt",
        "Key-Id": "",
        "Roles": "admin analyst",
        "Scopes": "files:read reports:read",
    }
    assert (response["Cache-Control"], response["Content-Length"], "Content-Type" in response.headers) == (
        "no-store",
        "0",
        False,
    )


def test_a_key_tells_who_it_is_and_carries_no_role(api: Api, analyst: User, django_assert_num_queries: Any) -> None:
    key, plaintext = make_key(analyst, scopes=["reports:read"], rate_limit="5/minute")
    assert api.get(VERIFY, key=plaintext).status_code == 200
    with django_assert_num_queries(1):
        response = api.get(VERIFY, key=plaintext)
    assert identity(response) == {
        "Subject": str(analyst.pk),
        "Username": "Alice",
        "Method": "api_key",
        "Key-Id": str(key.pk),
        "Roles": "",
        "Scopes": "reports:read",
    }
    assert response["RateLimit-Policy"] == '"minute";q=5;w=60'


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "TRACE"])
@pytest.mark.usefixtures("db")
def test_any_method_is_judged(api: Api, alice: User, method: str) -> None:
    assert api.call(method, VERIFY, token=token_of(alice)).status_code == 200
    assert api.call(method, VERIFY).status_code == 401
    assert api.call(method, VERIFY, "not json {", token="junk").status_code == 401


@pytest.mark.parametrize("path", [VERIFY, f"{VERIFY}-prefix/orders"])
@pytest.mark.parametrize(
    ("headers", "body"), [({}, NO_CREDENTIAL), ({"X-API-Key": "junk"}, BAD_CREDENTIAL)], ids=["none", "a bad one"]
)
@pytest.mark.usefixtures("db")
def test_a_head_is_answered_as_a_get_without_its_body(path: str, headers: dict[str, str], body: dict[str, Any]) -> None:
    # As a server gets them: Django's test client removes the body of an answer to HEAD by itself.
    sent = {"X-Request-ID": "one", **headers}
    get, head = (
        Handler().get_response(RequestFactory().generic(method, path, headers=sent)) for method in ("GET", "HEAD")
    )
    assert (get.status_code, json.loads(get.getvalue())) == (401, body)
    assert (head.status_code, head.getvalue(), dict(head.items())) == (401, b"", dict(get.items()))
    assert head["Content-Length"] == str(len(get.getvalue()))


@pytest.mark.usefixtures("db")
def test_a_preflight_is_no_way_in(api: Api) -> None:
    preflight = {"Origin": "http://localhost:3000", "Access-Control-Request-Method": "GET"}
    for path in (VERIFY, f"{VERIFY}-prefix/api/orders"):
        response = api.call("OPTIONS", path, headers=preflight)
        assert (response.status_code, "Access-Control-Allow-Origin" in response.headers) == (401, False)


def test_neither_the_host_nor_plain_http_matters_to_a_gateway(api: Api, alice: User, settings: Any) -> None:
    settings.SECURE_SSL_REDIRECT, settings.ALLOWED_HOSTS = True, ["auth.example.com"]
    headers = {
        "Host": "shop.example.com",
        "X-Forwarded-Host": "x",
        "X-Forwarded-Uri": "/a?b",
        "X-Forwarded-Method": "PUT",
    }
    fresh = Api()
    fresh.client = Client(raise_request_exception=False)
    assert fresh.get(VERIFY, token=token_of(alice), headers=headers).status_code == 200


class Table(NamedTuple):
    """A credential, as headers, and whether it is good."""

    headers: dict[str, str]
    good: bool


def credentials(alice: User) -> dict[str, Table]:
    """Return credentials in every state, by name."""

    def key(**state: Any) -> dict[str, str]:
        return {"X-API-Key": make_key(alice, **state)[1]}

    def token(change: Callable[[dict[str, Any]], dict[str, Any]] = dict) -> dict[str, str]:
        return {"Authorization": f"Bearer {sign(change(claims_of(token_of(alice))))}"}

    past = timezone.now() - timedelta(seconds=1)
    gone = UserFactory(username="gone")
    of_gone = {"X-API-Key": make_key(gone)[1]}
    session_of_gone = {"Authorization": f"Bearer {token_of(gone)}"}
    User.objects.filter(pk=gone.pk).update(is_active=False)
    return {
        "a token": Table(token(), True),
        "a key": Table(key(), True),
        "both": Table({**token(), **key()}, True),
        "a good token and a bad key": Table({**token(), "X-API-Key": "junk"}, True),
        "a bad token and a good key": Table({"Authorization": "Bearer junk", **key()}, False),
        "another scheme and a good key": Table({"Authorization": "Basic eDp5", **key()}, True),
        "nothing": Table({}, False),
        "another scheme": Table({"Authorization": "Basic eDp5"}, False),
        "an empty bearer": Table({"Authorization": "Bearer "}, False),
        "an expired token": Table(token(lambda claims: {**claims, "exp": claims["iat"] - 1}), False),
        "a token for another": Table(token(lambda claims: {**claims, "aud": "another"}), False),
        "a token of no session": Table(token(lambda claims: {**claims, "sid": "0"}), False),
        "a refresh token": Table({"Authorization": f"Bearer {pair_of(alice).refresh_token}"}, False),
        "an empty key": Table({"X-API-Key": ""}, False),
        "a typo": Table({"X-API-Key": f"{make_key(alice)[1][:-1]}!"}, False),
        "an unknown key": Table({"X-API-Key": keys.generate("sk").plaintext}, False),
        "a revoked key": Table(key(revoked_at=past), False),
        "an expired key": Table(key(expires_at=past), False),
        "a disabled key": Table(key(is_enabled=False), False),
        "a key from elsewhere": Table(key(allowed_ips=["192.0.2.1"]), False),
        "a key of a disabled user": Table(of_gone, False),
        "a token of a disabled user": Table(session_of_gone, False),
    }


NAMES = (
    *("a token", "a key", "both", "a good token and a bad key", "a bad token and a good key"),
    *("another scheme and a good key", "nothing", "another scheme", "an empty bearer", "an expired token"),
    *("a token for another", "a token of no session", "a refresh token", "an empty key", "a typo", "an unknown key"),
    *("a revoked key", "an expired key", "a disabled key", "a key from elsewhere", "a key of a disabled user"),
    "a token of a disabled user",
)


@pytest.mark.parametrize("name", NAMES)
def test_forward_auth_and_the_api_verify_alike(api: Api, alice: User, name: str) -> None:
    table = credentials(alice)
    assert table.keys() == set(NAMES)
    door, view = (api.get(path, headers=table[name].headers) for path in (VERIFY, "/protected/any"))
    assert door.status_code == view.status_code == (200 if table[name].good else 401)
    if not table[name].good:
        assert door.json() == view.json()
        assert door["WWW-Authenticate"] == view["WWW-Authenticate"]
        assert door.json() in (BAD_CREDENTIAL, NO_CREDENTIAL)


@pytest.mark.parametrize(
    ("query", "by_token", "by_key"),
    [
        pytest.param("?scope=reports:read", 200, 200, id="a scope that both have"),
        pytest.param("?scope=reports%3Aread", 200, 200, id="encoded"),
        pytest.param("?scope=files:read", 200, 403, id="a scope that the key lacks"),
        pytest.param("?scope=reports:read&scope=files:read", 200, 403, id="two"),
        pytest.param("?scope=none:such", 403, 403, id="a scope that nobody has"),
        pytest.param("?scope=", 403, 403, id="an empty scope"),
        pytest.param("?role=admin", 200, 403, id="a role, which no key carries"),
        pytest.param("?role=admin&role=analyst&scope=files:read", 200, 403, id="roles and a scope"),
        pytest.param("?role=nobody", 403, 403, id="a role that nobody has"),
        pytest.param("?scopes=reports:read", 400, 400, id="a typo"),
        pytest.param("?scope=reports:read&x=1", 400, 400, id="something more"),
        pytest.param("?audience=a&audience=b", 400, 400, id="two audiences"),
        pytest.param("?" + "&".join(["scope=a:b"] * 101), 400, 400, id="too many"),
    ],
)
def test_scopes_and_roles_can_be_asked_for(api: Api, analyst: User, query: str, by_token: int, by_key: int) -> None:
    key = make_key(analyst, scopes=["reports:read"])[1]
    answers = [api.get(f"{VERIFY}{query}", token=token_of(analyst)), api.get(f"{VERIFY}{query}", key=key)]
    assert [answer.status_code for answer in answers] == [by_token, by_key]
    for answer in answers:
        assert ("X-Auth-Subject" in answer.headers) == (answer.status_code == 200)
        assert answer.status_code != 403 or answer.json() == NOT_GRANTED


def test_a_refused_scope_counts_as_one_for_the_key(api: Api, alice: User) -> None:
    _, plaintext = make_key(alice)
    api.get(VERIFY, key=plaintext)
    api.get(f"{VERIFY}?scope=reports:read", key=plaintext)
    usage.flush()
    assert dict(Usage.objects.values_list("outcome", "count")) == {"ok": 1, "scope": 1}


def test_envoy_may_append_the_path_and_query_of_its_client(api: Api, alice: User) -> None:
    response = api.get(f"{VERIFY}-prefix/api/orders?scopes=x&role=admin&scope=none:such", token=token_of(alice))
    assert (response.status_code, identity(response)["Username"]) == (200, "Alice")


@pytest.mark.parametrize(
    "path", [f"{VERIFY}x", f"{VERIFY}/", f"{VERIFY}/?scope=a:b", f"{VERIFY}//", f"{VERIFY}-prefix"]
)
def test_a_slash_too_many_is_no_door(api: Api, alice: User, path: str) -> None:
    assert api.get(path, token=token_of(alice)).status_code == 404


def test_a_rate_limit_is_429_with_its_headers(api: Api, alice: User) -> None:
    _, plaintext = make_key(alice, rate_limit="1/hour")
    answers = [api.get(VERIFY, key=plaintext) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 429]
    assert (answers[1]["Retry-After"], answers[1]["RateLimit"]) == ("3600", '"hour";r=0;t=3600')


def test_without_a_database_nobody_passes(api: Api, alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*words: Any, **names: Any) -> None:
        raise OperationalError

    monkeypatch.setattr(forward_auth, "authenticate_key", away)
    response = api.get(VERIFY, key=make_key(alice)[1])
    assert (response.status_code, response["Retry-After"], "X-Auth-Subject" in response.headers) == (503, "5", False)


@pytest.mark.parametrize(
    ("username", "told"),
    [
        ("alice+bob_c.d-e", "alice+bob_c.d-e"),
        ("zo\N{LATIN SMALL LETTER E WITH DIAERESIS}", "zo%C3%AB"),
        ("\u65e5\u672c", "%E6%97%A5%E6%9C%AC"),
    ],
    ids=["ASCII", "accent", "another script"],
)
def test_a_name_travels_as_ascii(api: Api, db: None, username: str, told: str) -> None:
    user = UserFactory(username=username, email="someone@example.com")
    assert identity(api.get(VERIFY, token=token_of(user)))["Username"] == told


def test_no_identity_header_breaks_a_line_or_repeats_what_the_client_sent(api: Api, alice: User) -> None:
    alice.groups.add(make_role("two words"), make_role("line\r\nX-Auth-Subject: 1"))
    sent = {f"X-Auth-{name}": "spoofed" for name in IDENTITY}
    response = api.get(VERIFY, token=token_of(alice), headers={**sent, "X-Auth-Other": "spoofed"})
    told = identity(response)
    assert told["Roles"] == "1 X-Auth-Subject: line two words"  # no form makes such roles; they fall apart into words
    assert "spoofed" not in str(response.headers)


def test_the_audience_is_whom_the_gateway_asks_for(api: Api, alice: User) -> None:
    key = make_key(alice)[1]
    token = api.post("/auth/token", {"audience": "billing"}, key=key).json()["access_token"]
    asked = ("", "?audience=billing", "?audience=shipping")
    assert [api.get(f"{VERIFY}{query}", token=token).status_code for query in asked] == [401, 200, 401]
    for_nobody = token_of(alice)
    assert [api.get(f"{VERIFY}{query}", token=for_nobody).status_code for query in asked] == [200] * 3


def test_a_revocation_holds_at_the_next_request(api: Api, alice: User) -> None:
    key, plaintext = make_key(alice)
    before = api.get(VERIFY, key=plaintext).status_code
    APIKey.objects.filter(pk=key.pk).update(revoked_at=timezone.now())
    assert (before, api.get(VERIFY, key=plaintext).status_code) == (200, 401)
