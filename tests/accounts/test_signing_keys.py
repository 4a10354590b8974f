"""Signing keys: made, published first, signing later, retired when they can be, and never mistaken for one another."""

from __future__ import annotations

import base64
import hashlib
import hmac
import io
import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import jwt
import pytest
import time_machine
from cryptography.hazmat.primitives.asymmetric import ec
from django.core.management import call_command
from django.core.management.base import CommandError
from django.test import Client
from jsonschema import Draft202012Validator

from accounts.jwt import keyring
from accounts.models import SigningKey, User
from accounts.services import signing_keys
from audit.models import AuditEvent
from tests.accounts.conftest import claims_of, encode, sign
from tests.conftest import BAD_CREDENTIAL, Api
from tests.factories import PASSWORD, pair_of, token_of

JWKS = "/.well-known/jwks.json"
START = "2027-01-31T12:00:00Z"
ASYMMETRIC = ("ES256", "RS256", "EdDSA")


@pytest.fixture(autouse=True)
def fresh_ring() -> Iterator[None]:
    """Forget the keys before and after: the next test's database has others."""
    keyring.invalidate()
    yield
    keyring.invalidate()


@pytest.fixture(params=ASYMMETRIC)
def algorithm(request: pytest.FixtureRequest, settings: Any, db: None) -> str:
    settings.JWT_ALGORITHM = request.param
    return str(request.param)


@pytest.fixture
def es256(settings: Any, db: None) -> None:
    settings.JWT_ALGORITHM = "ES256"


@pytest.fixture
def clock() -> Iterator[Any]:
    """A clock that only the test moves."""
    with time_machine.travel(START, tick=False) as clock:
        yield clock


def rotate(*options: str) -> tuple[str, str]:
    """Run the command and return (kid, what it says)."""
    out, err = io.StringIO(), io.StringIO()
    call_command("rotate_signing_key", *options, stdout=out, stderr=err)
    return out.getvalue().strip(), err.getvalue()


def header_of(token: str) -> dict[str, Any]:
    return dict(jwt.get_unverified_header(token))


def published(api: Api) -> list[str]:
    return [key["kid"] for key in api.get(JWKS).json()["keys"]]


def opens(api: Api, token: str) -> bool:
    response = api.get("/auth/me", token=token)
    assert response.status_code == 200 or response.json() == BAD_CREDENTIAL
    return bool(response.status_code == 200)


def follow(clock: Any) -> None:
    """Let as much time pass as a process takes to look at the keys again."""
    keyring.invalidate()


@pytest.mark.django_db
def test_under_hs256_no_key_is_published(api: Api) -> None:
    response = api.get(JWKS)
    assert (response.status_code, response.json()) == (200, {"keys": []})
    assert response["Cache-Control"] == "public, max-age=300"
    assert [api.post(JWKS).status_code, api.call("HEAD", JWKS).status_code] == [405, 200]


def test_a_set_without_a_key_that_signs_is_not_kept_because_the_next_key_signs_at_once(
    api: Api, algorithm: str, settings: Any
) -> None:
    def answer() -> tuple[int, list[str], str]:
        response = api.get(JWKS)
        return response.status_code, [key["kid"] for key in response.json()["keys"]], response["Cache-Control"]

    assert answer() == (200, [], "no-store")
    kid, _ = rotate()
    assert answer() == (200, [kid], "public, max-age=300")
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "another secret, of more than 32 characters", []
    keyring.invalidate()
    assert answer() == (200, [kid], "no-store")


def test_a_token_names_its_algorithm_and_key_and_is_verified_by_what_is_published(
    api: Api, alice: User, algorithm: str
) -> None:
    kid, said = rotate()
    token = api.post("/auth/login", {"username": "alice", "password": PASSWORD}).json()["access_token"]
    assert header_of(token) == {"alg": algorithm, "kid": kid, "typ": "at+jwt"}
    key = jwt.PyJWKSet.from_dict(api.get(JWKS).json())[kid]
    claims = jwt.decode(token, key, algorithms=[algorithm], issuer="authsvc")
    assert (claims["sub"], opens(api, token)) == (str(alice.pk), True)
    assert f"A new {algorithm} key is published and signs from 20" in said


def test_what_is_published_is_public(api: Api, algorithm: str) -> None:
    kid, _ = rotate()
    (key,) = api.get(JWKS).json()["keys"]
    members = {"ES256": {"crv", "x", "y"}, "RS256": {"n", "e"}, "EdDSA": {"crv", "x"}}[algorithm]
    assert key.keys() == {"kty", "kid", "alg", "use", *members}
    assert (key["kid"], key["alg"], key["use"]) == (kid, algorithm, "sig")


def test_what_is_published_is_as_the_document_says(api: Api, algorithm: str) -> None:
    rotate()
    document, response = api.get("/openapi.json").json(), api.get(JWKS)
    (content,) = document["paths"][JWKS]["get"]["responses"]["200"]["content"].items()
    schema = {**content[1]["schema"], "components": document["components"]}
    assert (content[0], len(response.json()["keys"])) == (response["Content-Type"], 1)
    assert [error.message for error in Draft202012Validator(schema).iter_errors(response.json())] == []


def test_a_kid_is_the_thumbprint_of_the_key(es256: None, api: Api) -> None:
    rotate()
    (key,) = api.get(JWKS).json()["keys"]
    canonical = f'{{"crv":"{key["crv"]}","kty":"EC","x":"{key["x"]}","y":"{key["y"]}"}}'
    digest = hashlib.sha256(canonical.encode()).digest()
    assert key["kid"] == base64.urlsafe_b64encode(digest).decode().rstrip("=")


def test_a_private_key_is_stored_encrypted_alone(algorithm: str) -> None:
    rotate()
    row = SigningKey.objects.get()
    assert b"PRIVATE" not in bytes(row.private_key)
    assert b"BEGIN PRIVATE KEY" in keyring.private_key_cipher().decrypt(bytes(row.private_key))
    assert "PRIVATE" not in str(AuditEvent.objects.values().get(event="signing_key:rotated"))


def test_a_new_key_is_published_first_and_signs_once_verifiers_have_it(
    api: Api, alice: User, es256: None, clock: Any
) -> None:
    old, _ = rotate()
    new, said = rotate()
    assert said == "A new ES256 key is published and signs from 2027-01-31T12:10:00Z.\n"
    assert published(api) == [new, old]
    assert header_of(token_of(alice))["kid"] == old
    clock.shift(timedelta(minutes=10, seconds=-1))
    follow(clock)
    assert header_of(token_of(alice))["kid"] == old
    clock.shift(1)
    follow(clock)
    assert header_of(token_of(alice))["kid"] == new


def test_the_old_key_goes_once_its_last_token_has_expired(api: Api, alice: User, es256: None, clock: Any) -> None:
    old, _ = rotate()
    new, _ = rotate()
    clock.shift(timedelta(minutes=10, seconds=-1))
    last = token_of(alice)
    clock.shift(timedelta(minutes=29, seconds=59))
    follow(clock)
    assert (published(api), opens(api, last)) == ([new, old], True)
    clock.shift(timedelta(seconds=62))
    follow(clock)
    assert (published(api), opens(api, last)) == ([new], False)


def test_a_key_that_leaked_is_void_at_once_with_its_tokens(api: Api, alice: User, es256: None) -> None:
    rotate()
    token = token_of(alice)
    new, _ = rotate("--at-once")
    assert (published(api), opens(api, token)) == ([new], False)
    assert header_of(token_of(alice))["kid"] == new
    assert [e.reason for e in AuditEvent.objects.filter(event="signing_key:rotated").order_by("id")] == ["", "at once"]


def test_a_session_outlives_the_keys_of_its_access_tokens(api: Api, alice: User, es256: None) -> None:
    rotate()
    pair = pair_of(alice)
    rotate("--at-once")
    response = api.post("/auth/refresh", {"refresh_token": pair.refresh_token})
    assert (response.status_code, opens(api, response.json()["access_token"])) == (200, True)


def test_without_a_key_nobody_can_log_in_and_the_answer_says_so(api: Api, alice: User, es256: None) -> None:
    response = api.post("/auth/login", {"username": "alice", "password": PASSWORD})
    assert (response.status_code, response["Retry-After"]) == (503, "5")
    assert response.json()["detail"] == "This service has no key to sign tokens with yet; try again later."
    assert not alice.sessions.exists()
    rotate()
    assert api.post("/auth/login", {"username": "alice", "password": PASSWORD}).status_code == 200


def test_another_process_follows_within_seconds(api: Api, alice: User, es256: None, monkeypatch: Any) -> None:
    now = [1000.0]
    monkeypatch.setattr(keyring.time, "monotonic", lambda: now[0])
    rotate()
    assert len(published(api)) == 1
    signing_elsewhere = keyring._ring
    rotate("--at-once")
    token = token_of(alice)
    monkeypatch.setattr(keyring, "_ring", signing_elsewhere)  # what another process still holds
    assert not opens(api, token)
    now[0] += keyring.RETRY_SECONDS
    assert opens(api, token)  # a kid that it does not know makes it look, at most once a second
    monkeypatch.setattr(keyring, "_ring", signing_elsewhere)
    now[0] += keyring.REFRESH_SECONDS
    assert len(published(api)) == 1
    assert published(api) == [header_of(token)["kid"]]


def test_an_unknown_kid_cannot_make_a_process_ask_the_database_for_each_request(
    api: Api, alice: User, es256: None, django_assert_num_queries: Any
) -> None:
    rotate()
    token = token_of(alice)
    forged = f"{encode({'alg': 'ES256', 'kid': 'x'})}.{encode(claims_of(token))}.{encode(b'x' * 64)}"
    assert opens(api, token)
    with django_assert_num_queries(0):
        assert [opens(api, forged) for _ in range(20)] == [False] * 20
    with django_assert_num_queries(1):
        assert opens(api, token)


def confused(api: Api, token: str) -> dict[str, str]:
    """Return tokens that mistake one kind of key for another, for the claims of a good one."""
    claims, kid = claims_of(token), header_of(token)["kid"]
    (key,) = api.get(JWKS).json()["keys"]
    pem = jwt.PyJWK(key).key.public_bytes(*pem_format())
    own = ec.generate_private_key(ec.SECP256R1())
    own_jwk = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(own.public_key()))
    return {
        "HS256 under the public key": hmac_token({"alg": "HS256", "kid": kid}, claims, pem),
        "HS256 under the JWK": hmac_token({"alg": "HS256", "kid": kid}, claims, json.dumps(key).encode()),
        "HS256 under SECRET_KEY": sign(claims, {"alg": "HS256", "kid": kid}),
        "alg none": f"{encode({'alg': 'none', 'kid': kid})}.{encode(claims)}.",
        "another key under our kid": jwt.encode(claims, own, "ES256", headers={"kid": kid}),
        "its own key in the header": jwt.encode(claims, own, "ES256", headers={"kid": kid, "jwk": own_jwk}),
        "its own key by address": jwt.encode(claims, own, "ES256", headers={"kid": "x", "jku": "http://127.0.0.1/x"}),
        "no kid": without_kid(token),
        "kid a path": jwt.encode(claims, own, "ES256", headers={"kid": "../../dev/null"}),
        "kid SQL": jwt.encode(claims, own, "ES256", headers={"kid": "' OR 1=1 --"}),
    }


def pem_format() -> tuple[Any, Any]:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat  # noqa: PLC0415  used here alone

    return Encoding.PEM, PublicFormat.SubjectPublicKeyInfo


def hmac_token(header: dict[str, str], claims: Any, key: bytes) -> str:
    """Return an HS256 token under bytes that PyJWT itself refuses as a key."""
    body = f"{encode(header)}.{encode(claims)}"
    return f"{body}.{encode(hmac.new(key, body.encode(), hashlib.sha256).digest())}"


def without_kid(token: str) -> str:
    """Return a token whose header has been changed under its signature."""
    return f"{encode({'alg': 'ES256'})}.{token.split('.', 1)[1]}"


CONFUSED = (
    *("HS256 under the public key", "HS256 under the JWK", "HS256 under SECRET_KEY", "alg none", "no kid"),
    *("another key under our kid", "its own key in the header", "its own key by address", "kid a path", "kid SQL"),
)


@pytest.mark.parametrize("kind", CONFUSED)
def test_no_key_is_mistaken_for_another(api: Api, alice: User, es256: None, kind: str) -> None:
    rotate()
    token = token_of(alice)
    forged = confused(api, token)
    assert (forged.keys(), opens(api, token)) == (set(CONFUSED), True)
    assert not opens(api, forged[kind])


def test_a_key_of_another_algorithm_verifies_nothing(api: Api, alice: User, settings: Any, es256: None) -> None:
    rotate()
    token = token_of(alice)
    settings.JWT_ALGORITHM = "EdDSA"
    kid, _ = rotate()
    assert (published(api), opens(api, token)) == ([kid], False)
    settings.JWT_ALGORITHM = "HS256"
    assert (published(api), opens(api, token)) == ([], False)


def test_a_change_of_the_secret_key_voids_nothing_while_the_old_one_is_a_fallback(
    api: Api, alice: User, settings: Any, es256: None
) -> None:
    rotate()
    pair = pair_of(alice)
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = (
        "another key for tests, also for nothing else",
        [settings.SECRET_KEY],
    )
    keyring.invalidate()
    assert opens(api, pair.access_token)
    assert opens(api, token_of(alice))
    assert api.post("/auth/refresh", {"refresh_token": pair.refresh_token}).status_code == 200
    settings.SECRET_KEY_FALLBACKS = []
    keyring.invalidate()
    assert opens(api, pair.access_token)  # the public half is not encrypted
    with pytest.raises(keyring.NoSigningKey):
        token_of(alice)
    rotate()
    assert opens(api, token_of(alice))  # a key that nobody can open is nothing to wait for


def test_under_hs256_a_former_secret_key_still_verifies_and_signs_nothing(api: Api, alice: User, settings: Any) -> None:
    old = token_of(alice)
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = (
        "another key for tests, also for nothing else",
        [settings.SECRET_KEY],
    )
    new = token_of(alice)
    assert (opens(api, old), opens(api, new)) == (True, True)
    settings.SECRET_KEY_FALLBACKS = []
    assert (opens(api, old), opens(api, new)) == (False, True)


@pytest.mark.django_db
def test_under_hs256_there_is_nothing_to_rotate() -> None:
    with pytest.raises(CommandError, match="HS256 signs with SECRET_KEY; set JWT_ALGORITHM to ES256, RS256 or EdDSA"):
        rotate()
    assert not SigningKey.objects.exists()


@pytest.mark.parametrize(("meant_for", "accepted"), [("", False), ("reports", True), ("other", False)])
def test_a_token_for_an_audience_is_good_there_alone(
    api: Api, alice: User, settings: Any, meant_for: str, accepted: bool
) -> None:
    settings.JWT_AUDIENCE = "reports"
    token = token_of(alice)
    assert claims_of(token)["aud"] == "reports"
    settings.JWT_AUDIENCE = meant_for
    assert opens(api, token) is accepted


def test_where_an_audience_is_asked_for_a_token_without_one_is_refused(api: Api, alice: User, settings: Any) -> None:
    token = token_of(alice)
    settings.JWT_AUDIENCE = "reports"
    assert not opens(api, token)


STARTS = [("nbf", 5, True), ("nbf", 6, False), ("iat", 5, True), ("iat", 6, False), ("exp", 0, False), ("exp", 1, True)]


@pytest.mark.parametrize(("claim", "seconds", "good"), STARTS)
def test_clocks_may_differ_by_five_seconds_at_the_start_and_by_none_at_the_end(
    api: Api, alice: User, clock: Any, claim: str, seconds: int, good: bool
) -> None:
    claims = claims_of(token_of(alice))
    assert opens(api, sign({**claims, claim: claims["iat"] + seconds})) is good


def test_the_leeway_is_the_operators_choice(api: Api, alice: User, settings: Any, clock: Any) -> None:
    claims = claims_of(token_of(alice))
    settings.JWT_LEEWAY_SECONDS = 0
    assert not opens(api, sign({**claims, "nbf": claims["iat"] + 1}))
    assert opens(api, sign(claims))


def test_the_console_shows_a_key_without_its_private_half(client: Client, alice: User, es256: None) -> None:
    User.objects.filter(pk=alice.pk).update(is_staff=True, is_superuser=True)
    client.force_login(User.objects.get())
    kid, _ = rotate()
    row = SigningKey.objects.get()
    pages = [
        client.get(path) for path in ("/admin/accounts/signingkey/", f"/admin/accounts/signingkey/{row.pk}/change/")
    ]
    assert [(page.status_code, kid in page.content.decode()) for page in pages] == [(200, True)] * 2
    assert not any("gAAAA" in page.content.decode() for page in pages)
    assert str(row) == f"ES256 key {kid[:8]}"


@pytest.mark.parametrize(("minutes", "last"), [(30, 31), (1, 6)], ids=["a login's token", "a key's token"])
def test_the_last_token_is_good_however_late_it_was_signed(settings: Any, minutes: int, last: int) -> None:
    settings.ACCESS_TOKEN_EXPIRE_MINUTES = minutes
    assert signing_keys.last_token() == timedelta(minutes=last)


def test_the_first_key_signs_at_once_even_where_a_process_has_just_looked(
    api: Api, alice: User, es256: None, monkeypatch: Any
) -> None:
    monkeypatch.setattr(keyring.time, "monotonic", lambda: 1000.0)
    assert published(api) == []
    looked = keyring._ring
    rotate()
    monkeypatch.setattr(keyring, "_ring", looked)  # what another process still holds
    assert opens(api, token_of(alice))


def test_readiness_tells_of_a_key_that_is_missing(api: Api, es256: None) -> None:
    assert (api.get("/readyz").json()["status"], api.get("/readyz").json()["signing_key"]) == ("degraded", "missing")
    rotate()
    assert (api.get("/readyz").json()["status"], api.get("/readyz").json()["signing_key"]) == ("ok", "ok")
