"""What tokens and keys are, asked of the real service with a credential of one's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from authsvc_client import Forbidden, Introspection, Unauthenticated, Unavailable

from tests.clients.conftest import Connect, Person
from tests.clients.serving import Odd, http
from tests.flows.conftest import Server

INACTIVE = Introspection(active=False)


@pytest.fixture
def introspector(connect: Connect, analyst: Person) -> Any:
    """A client whose own key may introspect."""
    return connect(analyst.server.url, api_key=analyst.key(scopes=["tokens:introspect"])[1])


def test_a_key_and_both_kinds_of_token_are_told(introspector: Any, analyst: Person) -> None:
    key_id, key = analyst.key(scopes=["reports:read"])
    tokens = analyst.login()
    told, of_token, of_refresh = introspector.introspect_many([key, tokens["access_token"], tokens["refresh_token"]])
    assert (told.active, told.subject, told.username, told.client_id) == (True, analyst.id, analyst.name, key_id)
    assert (told.token_type, told.scopes, told.issuer) == ("api_key", frozenset({"reports:read"}), "authsvc")
    assert told.expires_at > told.issued_at
    assert told.token_id.startswith("api_key:")
    assert (of_token.token_type, of_token.client_id, of_token.audience) == ("bearer", None, ())
    assert of_refresh.token_type == "refresh_token"


def test_an_exchanged_token_names_whom_it_is_for(introspector: Any, analyst: Person) -> None:
    _, key = analyst.key()
    given = analyst.server.http.post("/auth/token", json={"audience": "billing"}, headers={"x-api-key": key}).json()
    assert introspector.introspect(given["access_token"]).audience == ("billing",)


def test_revocation_is_felt_at_the_next_call(introspector: Any, analyst: Person) -> None:
    key_id, key = analyst.key()
    assert introspector.introspect(key).active
    analyst.revoke(key_id)
    assert introspector.introspect(key) == INACTIVE


def test_a_thousand_are_told_in_their_order_and_junk_costs_nobody_an_answer(introspector: Any, analyst: Person) -> None:
    _, key = analyst.key()
    junk = ["", "\0", "\ud800", "é", "a b", "x" * 20_000, *(f"sk_{number}" for number in range(300))]
    told = introspector.introspect_many([key, *junk, analyst.token, key])
    assert [one.active for one in told] == [True, *(False for _ in junk), True, True]


def test_large_tokens_are_asked_about_in_requests_that_the_service_reads(introspector: Any) -> None:
    assert introspector.introspect_many([f"{number:04}{'x' * 16_000}" for number in range(90)]) == [INACTIVE] * 90


def test_nothing_asked_is_nothing_told(introspector: Any) -> None:
    assert introspector.introspect_many([]) == []


def test_a_token_may_introspect_too(connect: Connect, analyst: Person) -> None:
    assert connect(analyst.server.url, token=analyst.token).introspect(analyst.token).subject == analyst.id


def test_ones_own_credential_is_judged(connect: Connect, server: Server, nobody: Person) -> None:
    with pytest.raises(Forbidden):
        connect(server.url, token=nobody.token).introspect("x")
    with pytest.raises(Unauthenticated):
        connect(server.url, api_key="sk_junk").introspect("x")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"active",
        b"[" * 100_000,
        b"{}",
        b"[]",
        b'[{"active": true}, {"active": true}]',
        b"[null]",
        b"[{}]",
        b'[{"active": "true"}]',
        b'[{"active": 1}]',
        b'[{"active": true, "sub": 1}]',
        b'[{"active": true, "scope": ["a"]}]',
        b'[{"active": true, "exp": true}]',
        b'[{"active": true, "aud": {}}]',
        b'[{"active": true, "aud": [1]}]',
    ],
)
def test_an_answer_that_is_none_says_nothing(connect: Connect, odd: Callable[..., Odd], body: bytes) -> None:
    service = odd(http("200 OK", body, Content_Type="application/json"))
    with pytest.raises(Unavailable):
        connect(service.url, api_key="sk_own").introspect("x")


def test_its_own_credential_goes_to_introspection_alone(connect: Connect, odd: Callable[..., Odd]) -> None:
    service = odd(http("200 OK", b'[{"active": false}]'), http("401 Unauthorized"))
    client = connect(service.url, api_key="sk_own")
    assert client.introspect("x") == INACTIVE
    with pytest.raises(Unauthenticated):
        client.verify(credential="sk_x")
    assert ["sk_own" in request.decode() for request in service.requests] == [True, False]
