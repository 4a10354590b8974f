"""The client asks the real service: who comes, and whether it may."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from authsvc_client import Forbidden, Identity, RateLimited, Unauthenticated, Unavailable

from tests.clients.conftest import Connect, Person
from tests.flows.conftest import PASSWORD, Server, bearer, new_name
from tests.flows.proxy import Proxy

EITHER = 'Bearer realm="authsvc", ApiKey realm="authsvc"'
BAD_BEARER = 'Bearer realm="authsvc", error="invalid_token", ApiKey realm="authsvc"'


def test_a_token_tells_who_it_is(client: Any, analyst: Person) -> None:
    both = frozenset({"reports:read", "tokens:introspect"})
    who = Identity(analyst.id, analyst.name, "jwt", None, frozenset({analyst.name}), both)
    assert client.verify(bearer(analyst.token)) == who
    assert client.verify(credential=analyst.token, scopes=["reports:read"], roles=[analyst.name]) == who


def test_a_key_tells_whose_it_is_and_which(client: Any, analyst: Person) -> None:
    key_id, key = analyst.key(scopes=["reports:read"])
    who = Identity(analyst.id, analyst.name, "api_key", key_id, frozenset(), frozenset({"reports:read"}))
    assert client.verify({"X-API-Key": key}) == who
    assert client.verify(credential=key, scopes=["reports:read"]) == who


def test_a_name_beyond_ascii_comes_as_it_is_written(client: Any, server: Server) -> None:
    name = f"zoë.+{new_name()}"
    who = {"username": name, "email": f"{new_name()}@example.com", "password": PASSWORD}
    assert server.http.post("/auth/signup", json=who).status_code == 201
    token = server.http.post("/auth/login", json={"username": name, "password": PASSWORD}).json()["access_token"]
    assert client.verify(credential=token).username == name


@pytest.mark.parametrize("form", [dict, list, "raw"])
def test_headers_come_as_a_mapping_or_as_pairs(client: Any, analyst: Person, form: Any) -> None:
    pairs = [("Host", "shop.example.com"), ("AUTHORIZATION", f"bearer {analyst.token}"), ("Cookie", "a=b")]
    raw = [(name.encode(), value.encode()) for name, value in pairs]
    assert client.verify(raw if form == "raw" else form(pairs)).subject == analyst.id


def test_the_token_decides_where_both_come(client: Any, analyst: Person, nobody: Person) -> None:
    _, key = analyst.key()
    assert client.verify({**bearer(nobody.token), "x-api-key": key}).subject == nobody.id
    with pytest.raises(Unauthenticated):
        client.verify({**bearer("a.b.c"), "x-api-key": key})


@pytest.mark.parametrize(
    ("headers", "challenge"),
    [
        ({}, EITHER),
        ({"Cookie": "session=1"}, EITHER),
        ({"Authorization": "Bearer a.b.c"}, BAD_BEARER),
        ({"x-api-key": "sk_junk"}, EITHER),
        ({"x-api-key": ""}, EITHER),
        ({"Authorization": "Basic eDp5"}, EITHER),
        ({"Authorization": "Bearer naïve"}, EITHER),
        ({"Authorization": f"Bearer {'a' * 20_000}"}, EITHER),
        ({"x-api-key": "sk_\r\nX-Forwarded-For: 192.0.2.1"}, EITHER),
    ],
)
def test_no_usable_credential_is_401_with_the_challenge(client: Any, headers: dict[str, str], challenge: str) -> None:
    with pytest.raises(Unauthenticated) as refused:
        client.verify(headers)
    assert (refused.value.status, refused.value.challenge) == (401, challenge)


def test_a_header_that_comes_twice_is_a_bad_credential(client: Any, analyst: Person, nobody: Person) -> None:
    with pytest.raises(Unauthenticated):
        client.verify([("Authorization", f"Bearer {who.token}") for who in (analyst, nobody)])


@pytest.mark.parametrize("wanted", [{"scopes": ["reports:read"]}, {"roles": ["admin"]}, {"scopes": [""]}])
def test_a_good_credential_without_the_scope_or_role_is_403(client: Any, nobody: Person, wanted: Any) -> None:
    with pytest.raises(Forbidden):
        client.verify(credential=nobody.token, **wanted)


def test_revocation_is_felt_at_the_next_call(client: Any, analyst: Person) -> None:
    key_id, key = analyst.key()
    assert client.verify(credential=key).key_id == key_id
    analyst.revoke(key_id)
    with pytest.raises(Unauthenticated):
        client.verify(credential=key)


def test_a_logout_is_felt_at_the_next_call(client: Any, analyst: Person) -> None:
    tokens = analyst.login()
    assert client.verify(credential=tokens["access_token"]).subject == analyst.id
    body = {"refresh_token": tokens["refresh_token"]}
    assert analyst.server.http.post("/auth/logout", json=body).status_code == 204
    with pytest.raises(Unauthenticated):
        client.verify(credential=tokens["access_token"])


def test_a_rate_limit_is_429_and_says_when_to_come_again(client: Any, analyst: Person) -> None:
    _, key = analyst.key(rate_limit="1/day")
    client.verify(credential=key)
    with pytest.raises(RateLimited) as refused:
        client.verify(credential=key)
    assert 0 < (refused.value.retry_after or 0) <= 86_400


def test_a_token_for_another_audience_is_refused(client: Any, analyst: Person) -> None:
    _, key = analyst.key()
    given = analyst.server.http.post("/auth/token", json={"audience": "billing"}, headers={"x-api-key": key}).json()
    assert client.verify(credential=given["access_token"], audience="billing").subject == analyst.id
    for audience in (None, "shipping"):
        with pytest.raises(Unauthenticated):
            client.verify(credential=given["access_token"], audience=audience)


def test_the_clients_address_counts_where_it_is_given(
    connect: Connect, launch: Callable[..., Server], analyst: Person
) -> None:
    client, (_, key) = connect(launch(TRUSTED_PROXIES="1").url), analyst.key(allowed_ips=["192.0.2.0/24"])
    headers = {"x-api-key": key, "X-Forwarded-For": "192.0.2.7"}
    assert client.verify(headers, client_address="192.0.2.7").subject == analyst.id
    for address in (None, "198.51.100.7"):
        with pytest.raises(Unauthenticated):
            client.verify(headers, client_address=address)


def test_many_calls_go_over_one_connection(connect: Connect, proxy: Proxy, analyst: Person) -> None:
    client, (key_id, key) = connect(f"http://127.0.0.1:{proxy.port}"), analyst.key()
    for _ in range(10):
        assert client.verify(credential=key).key_id == key_id
        with pytest.raises(Unauthenticated):
            client.verify(credential="sk_junk")
    assert len(proxy.sockets) == 2  # the client's and the proxy's own


def test_a_service_that_goes_and_comes_back_lets_nobody_in_meanwhile(
    connect: Connect, proxy: Proxy, analyst: Person
) -> None:
    client = connect(f"http://127.0.0.1:{proxy.port}", timeout=5)
    assert client.verify(credential=analyst.token).subject == analyst.id
    proxy.cut()
    with pytest.raises(Unavailable):
        client.verify(credential=analyst.token)
    proxy.restore()
    assert client.verify(credential=analyst.token).subject == analyst.id
