"""Tokens of the real service verified without asking it, by the keys that it publishes."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
import time_machine
from authsvc_client import Forbidden, Identity, Unauthenticated, Unavailable
from authsvc_client.offline import AsyncOfflineVerifier, OfflineVerifier
from django.utils import timezone

from tests.clients.conftest import Person, person
from tests.clients.serving import awaited
from tests.flows.conftest import Server, bearer, eventually
from tests.flows.proxy import Proxy


class Clock:
    """A monotonic clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(params=["ES256", "RS256", "EdDSA"])
def signing(launch: Callable[..., Server], request: pytest.FixtureRequest) -> Server:
    """A service that signs with a key pair."""
    running = launch(JWT_ALGORITHM=request.param)
    assert running.manage("rotate_signing_key").returncode == 0
    return running


@pytest.fixture
def es256(launch: Callable[..., Server]) -> Server:
    """The same, of one algorithm."""
    running = launch(JWT_ALGORITHM="ES256")
    assert running.manage("rotate_signing_key").returncode == 0
    return running


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def between(es256: Server) -> Iterator[Proxy]:
    """A proxy before the service, to cut."""
    with Proxy("127.0.0.1", es256.port) as proxy:
        yield proxy


def test_a_token_tells_who_it_is_for_as_long_as_it_lives(signing: Server) -> None:
    ann = person(signing, "reports:read")
    token = ann.login()["access_token"]
    with OfflineVerifier(signing.url) as verifier:
        who = Identity(ann.id, "", "jwt", None, frozenset({ann.name}), frozenset({"reports:read"}))
        assert verifier.verify(bearer(token), scopes=["reports:read"], roles=[ann.name]) == who
        assert verifier.verify({"Authorization": f"bearer   {token}"}) == who
        with pytest.raises(Unauthenticated):
            verifier.verify({"Authorization": f"Bearer \t{token}"})
        with pytest.raises(Forbidden):
            verifier.verify(bearer(token), scopes=["tokens:introspect"])
        with time_machine.travel(timezone.now() + timedelta(minutes=31)), pytest.raises(Unauthenticated) as refused:
            verifier.verify(bearer(token))
    assert refused.value.challenge == 'Bearer realm="authsvc", error="invalid_token"'


def test_coroutines_verify_too(es256: Server) -> None:
    ann = person(es256)
    with OfflineVerifier(jwks_url=f"{es256.url}/.well-known/jwks.json") as verifier:
        assert awaited(AsyncOfflineVerifier(verifier).verify(credential=ann.token)).subject == ann.id


def test_an_exchanged_token_is_good_for_whom_it_names_alone(es256: Server) -> None:
    ann = person(es256, "reports:read")
    key_id, key = ann.key(scopes=["reports:read"])
    body = {"audience": "billing", "scope": "reports:read"}
    token = es256.http.post("/auth/token", json=body, headers={"x-api-key": key}).json()["access_token"]
    with OfflineVerifier(es256.url, audience="billing") as billing, OfflineVerifier(es256.url) as anyone:
        who = billing.verify(credential=token, scopes=["reports:read"])
        assert (who.subject, who.key_id, who.method) == (ann.id, key_id, "jwt")
        for verifier, audience in ((billing, "shipping"), (anyone, None), (anyone, "shipping")):
            with pytest.raises(Unauthenticated):
                verifier.verify(credential=token, audience=audience)
        with pytest.raises(Unauthenticated):
            billing.verify(credential=ann.token)  # for nobody in particular


def test_a_rotated_key_is_found_and_a_leaked_one_forgotten(es256: Server, clock: Clock) -> None:
    before = person(es256)
    with OfflineVerifier(es256.url, clock=clock) as verifier:
        assert verifier.verify(credential=before.token).subject == before.id
        assert es256.manage("rotate_signing_key", "--at-once").returncode == 0
        after = signed_anew(es256, before)
        with pytest.raises(Unauthenticated):
            verifier.verify(credential=after)  # the keys were asked for this second
        clock.now += 1
        assert verifier.verify(credential=after).subject == before.id
        with pytest.raises(Unauthenticated):
            verifier.verify(credential=before.token)


def signed_anew(server: Server, who: Person) -> str:
    """Log in until the service has followed the rotation, which takes it seconds, or no time at all."""

    def published() -> list[str]:
        return [key["kid"] for key in server.http.get("/.well-known/jwks.json").json()["keys"]]

    eventually(lambda: kid(who.token) not in published())
    token: str = who.login()["access_token"]
    return token


def kid(token: str) -> str:
    """Return which key has signed a token."""
    head = token.partition(".")[0]
    return str(json.loads(urlsafe_b64decode(head + "=" * (-len(head) % 4)))["kid"])


def test_keys_outlive_the_service_for_their_max_age(es256: Server, between: Proxy, clock: Clock) -> None:
    ann = person(es256)
    with OfflineVerifier(f"http://127.0.0.1:{between.port}", clock=clock, timeout=1) as verifier:
        assert verifier.verify(credential=ann.token).subject == ann.id
        between.cut()
        clock.now += 299
        assert verifier.verify(credential=ann.token).subject == ann.id
        clock.now += 1
        for _ in range(2):  # the second time it does not ask
            with pytest.raises(Unavailable):
                verifier.verify(credential=ann.token)
        between.restore()
        clock.now += 1
        assert verifier.verify(credential=ann.token).subject == ann.id


def test_keys_cannot_be_verified_offline(es256: Server) -> None:
    _, key = person(es256).key()
    with OfflineVerifier(es256.url) as verifier, pytest.raises(Unauthenticated) as refused:
        verifier.verify({"x-api-key": key})
    assert refused.value.challenge == 'Bearer realm="authsvc"'


def test_a_service_under_hs256_publishes_nothing_to_verify_by(server: Server, es256: Server) -> None:
    ann, ben = person(server), person(es256)
    with OfflineVerifier(server.url) as verifier:
        with pytest.raises(Unauthenticated):
            verifier.verify(credential=ann.token)
        with pytest.raises(Unavailable, match="HS256"):
            verifier.verify(credential=ben.token)
