"""Tokens that are not what they seem, and keys that are none."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import jwt
import pytest
from authsvc_client import Unauthenticated, Unavailable
from authsvc_client.offline import OfflineVerifier
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.clients.serving import Odd, http

PRIVATE, OTHER = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
PEM = PRIVATE.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
NOW = int(time.time())
CLAIMS = {
    "sub": "1",
    "sid": "1",
    "jti": "j",
    "iat": NOW,
    "exp": NOW + 3600,
    "iss": "authsvc",
    "token_type": "access",
    "roles": ["admin"],
    "scope": "reports:read",
}
HEADER = {"typ": "at+jwt", "kid": "k1"}


def jwk(kid: Any = "k1", **changed: Any) -> dict[str, Any]:
    """Return the public key as it is published."""
    public = jwt.algorithms.ECAlgorithm.to_jwk(PRIVATE.public_key(), as_dict=True)
    return {**public, "kid": kid, "alg": "ES256", "use": "sig", **changed}


def jwks(*keys: Any, **headers: str) -> bytes:
    """Return the answer that publishes keys."""
    return http("200 OK", json.dumps({"keys": keys}).encode(), **headers)


def token(claims: dict[str, Any] = CLAIMS, key: Any = PRIVATE, algorithm: str = "ES256", **header: Any) -> str:
    return jwt.encode(claims, key, algorithm, headers={**HEADER, **header})


def by_hand(header: dict[str, Any], claims: Any, secret: bytes = b"") -> str:
    """Return a token that a library would not make: signed by HMAC with any secret, or not at all."""
    parts = (base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in (header, claims))
    signed = b".".join(parts)
    mac = base64.urlsafe_b64encode(hmac.new(secret, signed, hashlib.sha256).digest()).rstrip(b"=")
    return (signed + b"." + (mac if secret else b"")).decode()


def without(name: str) -> dict[str, Any]:
    return {claim: value for claim, value in CLAIMS.items() if claim != name}


@pytest.fixture
def published(odd: Callable[..., Odd]) -> Odd:
    """A service whose keys are ours."""
    return odd(jwks(jwk()))


@pytest.fixture
def verifier(published: Odd) -> Iterator[OfflineVerifier]:
    with OfflineVerifier(published.url, clock=lambda: 0.0) as made:
        yield made


def test_the_token_that_the_others_differ_from_is_good(verifier: OfflineVerifier) -> None:
    who = verifier.verify(credential=token())
    assert (who.subject, who.roles, who.scopes) == ("1", frozenset({"admin"}), frozenset({"reports:read"}))


FORGED = {
    "HS256 with the public key as the secret": by_hand({**HEADER, "alg": "HS256"}, CLAIMS, PEM),
    "not signed": by_hand({**HEADER, "alg": "none"}, CLAIMS),
    "signed by another key": token(key=OTHER),
    "another algorithm of the family": token(key=ec.generate_private_key(ec.SECP384R1()), algorithm="ES384"),
    "the wrong algorithm for the key": by_hand({**HEADER, "alg": "EdDSA"}, CLAIMS, PEM),
    "a key that nobody published": token(kid="k2"),
    "a kid that is no text": by_hand({**HEADER, "alg": "ES256", "kid": 1}, CLAIMS, PEM),
    "no kid": jwt.encode(CLAIMS, PRIVATE, "ES256", headers={"typ": "at+jwt"}),
    "a refresh token's type": token(typ="rt+jwt"),
    "no type": jwt.encode(CLAIMS, PRIVATE, "ES256", headers={"kid": "k1"}),
    "an extension that must be understood": token(crit=["b64"], b64=True),
    "a refresh token": token({**CLAIMS, "token_type": "refresh"}),
    "expired": token({**CLAIMS, "exp": NOW - 1}),
    "no end": token(without("exp")),
    "an end that is none": token({**CLAIMS, "exp": "never"}),
    "not yet good": token({**CLAIMS, "iat": NOW + 3600}),
    "another issuer": token({**CLAIMS, "iss": "https://elsewhere"}),
    "no issuer": token(without("iss")),
    "another audience": token({**CLAIMS, "aud": "another"}),
    "no subject": token(without("sub")),
    "an empty subject": token({**CLAIMS, "sub": ""}),
    "no kind": token(without("token_type")),
    "scopes that are a list": token({**CLAIMS, "scope": ["reports:read"]}),
    "roles that are a text": token({**CLAIMS, "roles": "admin"}),
    "roles that are numbers": token({**CLAIMS, "roles": [1]}),
    "a key's id that is a number": token({**CLAIMS, "client_id": 7}),
    "claims that are none": by_hand({**HEADER, "alg": "ES256"}, [], PEM),
    "two parts": "e30.e30",
    "no JSON": "a.b.c",
    "padded": f"{token()}=",
    "too long": token({**CLAIMS, "filler": "x" * 20_000}),
}


@pytest.mark.parametrize("forged", FORGED.values(), ids=FORGED.keys())
def test_a_forged_token_is_refused(verifier: OfflineVerifier, forged: str) -> None:
    with pytest.raises(Unauthenticated):
        verifier.verify({"Authorization": f"Bearer {forged}"})


def test_leeway_forgives_clocks_that_differ(published: Odd) -> None:
    with OfflineVerifier(published.url, leeway=3600) as verifier:
        assert verifier.verify(credential=token({**CLAIMS, "exp": NOW - 1})).subject == "1"


def test_unknown_keys_make_it_ask_once_a_second_at_most(published: Odd, verifier: OfflineVerifier) -> None:
    for number in range(20):
        with pytest.raises(Unauthenticated):
            verifier.verify(credential=token(kid=f"unknown-{number}"))
    assert len(published.requests) == 1


@pytest.mark.parametrize(
    ("headers", "kept"),
    [
        ({"Cache-Control": "public, max-age=60"}, 60),
        ({"Cache-Control": "public, max-age=60", "Age": "50"}, 10),
        ({"Cache-Control": "max-age=31536000"}, 3600),
        ({"Cache-Control": "no-store, max-age=60"}, 1),
        ({"Cache-Control": "max-age=0"}, 1),
        ({"Age": "never"}, 300),
    ],
)
def test_keys_are_kept_as_long_as_the_answer_says(odd: Callable[..., Odd], headers: dict[str, str], kept: int) -> None:
    service, now = odd(jwks(jwk(), **headers)), [0.0]
    with OfflineVerifier(service.url, clock=lambda: now[0]) as verifier:
        for moment, asked in ((0, 1), (kept - 0.5, 1), (kept, 2)):
            now[0] = moment
            assert verifier.verify(credential=token()).subject == "1"
            assert len(service.requests) == asked


@pytest.mark.parametrize(
    "answer",
    [
        http("404 Not Found"),
        http("302 Found", Location="/elsewhere"),
        http("200 OK", b"no JSON"),
        http("200 OK", b"[]"),
        http("200 OK", b"x" * 70_000),
        b"",
        jwks(),
        jwks("k1", jwk(kid=None), jwk(alg=None), jwk(use="enc"), jwk(crv="P-384"), jwk(x="x")),
        jwks({"kty": "oct", "k": "c2VjcmV0", "kid": "k1", "alg": "HS256"}),
    ],
)
def test_without_a_key_that_can_be_used_nothing_is_known(odd: Callable[..., Odd], answer: bytes) -> None:
    with OfflineVerifier(odd(answer).url) as verifier:
        for _ in range(2):
            with pytest.raises(Unavailable):
                verifier.verify(credential=token())


def test_an_unknown_key_is_not_known_to_be_bad_while_nobody_can_be_asked(odd: Callable[..., Odd]) -> None:
    service, now = odd(jwks(jwk()), http("503 Service Unavailable"), jwks(jwk(), jwk(kid="k2"))), [0.0]
    with OfflineVerifier(service.url, clock=lambda: now[0]) as verifier:
        assert verifier.verify(credential=token()).subject == "1"
        now[0] = 1
        with pytest.raises(Unavailable):
            verifier.verify(credential=token(kid="k2"))
        assert verifier.verify(credential=token()).subject == "1"
        now[0] = 2
        assert verifier.verify(credential=token(kid="k2")).subject == "1"
