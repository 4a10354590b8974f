"""The bearer: every way in which one is bad, and the few in which one is good."""

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
import time_machine
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from accounts.models import User
from tests.accounts.conftest import claims_of, encode, sign
from tests.conftest import BAD_CREDENTIAL, NO_CREDENTIAL, Api
from tests.factories import pair_of, token_of

Claims = dict[str, Any]
HS256 = {"alg": "HS256", "typ": "at+jwt"}
CHALLENGE = 'Bearer realm="authsvc", error="invalid_token"'


def without(claims: Claims, name: str) -> Claims:
    """Return the claims but for one."""
    return {key: value for key, value in claims.items() if key != name}


def unsigned(claims: Claims, header: Any, signature: str = "") -> str:
    """Return a token with a signature of the forger's own."""
    return f"{encode(header)}.{encode(claims)}.{signature}"


def subject(value: Any) -> Callable[[Claims], str]:
    """Return the maker of a token that is signed by us for a subject."""
    return lambda claims: sign({**claims, "sub": value})


def dated(name: str, seconds: float) -> Callable[[Claims], str]:
    """Return the maker of a token that is signed by us with one time so many seconds from now."""
    return lambda claims: sign({**claims, name: time.time() + seconds})


def typed(typ: Any) -> Callable[[Claims], str]:
    """Return the maker of a token that is signed by us under a type."""
    return lambda claims: sign(claims, {"alg": "HS256", "typ": typ})


def deep(claims: Claims) -> str:
    """Return a token whose header is nested deeper than a JSON reader goes."""
    return f"{encode(b'[' * 9000 + b']' * 9000)[:12_000]}.{encode(claims)}."


BAD: dict[str, Callable[[Claims], str]] = {
    "empty": lambda claims: "",
    "a tab before it": lambda claims: f"\t{sign(claims)}",
    "a space and a tab before it": lambda claims: f" \t{sign(claims)}",
    "something after it": lambda claims: f"{sign(claims)} x",
    "a comma after it": lambda claims: f"{sign(claims)}, Basic eDp5",
    "one part": lambda claims: "junk",
    "two parts": lambda claims: sign(claims).rpartition(".")[0],
    "four parts": lambda claims: f"{sign(claims)}.{encode(b'x')}",
    "five parts": lambda claims: "a.b.c.d.e",
    "dots": lambda claims: "..",
    "no base64": lambda claims: "\xe9.\xfc.\xf1",
    "not latin": lambda claims: "\u65e5\u672c.\u8a9e.x",
    "standard base64": lambda claims: sign(claims).replace("-", "+").replace("_", "/") + "==",
    "100 kB": lambda claims: "a" * 100_000,
    "100 kB signed": lambda claims: sign({**claims, "padding": "a" * 100_000}),
    "100 kB of dots": lambda claims: "." * 100_000,
    "padded": lambda claims: f"{sign(claims)}=",
    "no signature": lambda claims: sign(claims).rpartition(".")[0] + ".",
    "other signature": lambda claims: unsigned(claims, HS256, encode(b"\x00" * 32)),
    "short signature": lambda claims: sign(claims)[:-4],
    "other key": lambda claims: sign(claims, key="another key, which is long enough too"),
    "no key": lambda claims: sign(claims, key=""),
    "alg none": lambda claims: unsigned(claims, {"alg": "none"}),
    "alg None": lambda claims: unsigned(claims, {"alg": "None"}),
    "alg nOnE, signed": lambda claims: sign(claims, {"alg": "nOnE"}),
    "alg none, signed": lambda claims: sign(claims, {"alg": "none"}),
    "alg empty": lambda claims: sign(claims, {"alg": ""}),
    "alg null": lambda claims: sign(claims, {"alg": None}),
    "alg a list": lambda claims: sign(claims, {"alg": ["HS256"]}),
    "alg an object": lambda claims: sign(claims, {"alg": {"HS256": 1}}),
    "alg a number": lambda claims: sign(claims, {"alg": 256}),
    "alg in lower case": lambda claims: sign(claims, {"alg": "hs256"}),
    "no alg": lambda claims: sign(claims, {"typ": "JWT"}),
    "HS384": lambda claims: sign(claims, {"alg": "HS384"}, digest="sha384"),
    "HS512": lambda claims: sign(claims, {"alg": "HS512"}, digest="sha512"),
    "RS256": lambda claims: sign(claims, {"alg": "RS256"}),
    "ES256": lambda claims: unsigned(claims, {"alg": "ES256"}, encode(b"\x00" * 64)),
    "key in the header": lambda claims: sign(claims, {"alg": "HS256", "jwk": {"kty": "oct", "k": "eA"}}, key="x"),
    "kid a list": lambda claims: sign(claims, {**HS256, "kid": ["x"]}),
    "unencoded payload": lambda claims: sign(claims, {**HS256, "b64": False, "crit": ["b64"]}),
    "unknown critical": lambda claims: sign(claims, {**HS256, "crit": ["x"], "x": 1}),
    "header a list": lambda claims: sign(claims, [["alg", "HS256"]]),
    "header a number": lambda claims: sign(claims, 7),
    "header no JSON": lambda claims: sign(claims, b"{alg: HS256}"),
    "header no UTF-8": lambda claims: sign(claims, b'{"alg": "\xff"}'),
    "header nested": lambda claims: sign(claims, b"[" * 5000),
    "header nested and whole": deep,
    "header with a long number": lambda claims: sign(claims, b'{"alg": "HS256", "x": %b}' % (b"9" * 5000)),
    "payload a list": lambda claims: sign([claims]),
    "payload a text": lambda claims: sign("claims"),
    "payload null": lambda claims: sign(None),
    "payload no JSON": lambda claims: sign(b"claims"),
    "payload empty": lambda claims: sign(b""),
    "payload nested": lambda claims: sign(b"[" * 5000),
    "no exp": lambda claims: sign(without(claims, "exp")),
    "no sub": lambda claims: sign(without(claims, "sub")),
    "no jti": lambda claims: sign(without(claims, "jti")),
    "no iss": lambda claims: sign(without(claims, "iss")),
    "no token_type": lambda claims: sign(without(claims, "token_type")),
    "exp null": lambda claims: sign({**claims, "exp": None}),
    "exp a text": lambda claims: sign({**claims, "exp": "tomorrow"}),
    "exp a list": lambda claims: sign({**claims, "exp": [1]}),
    "sub a number": lambda claims: sign({**claims, "sub": int(claims["sub"])}),
    "sub a list": lambda claims: sign({**claims, "sub": [claims["sub"]]}),
    "sub null": subject(None),
    "sub true": subject(True),
    "sub empty": subject(""),
    "sub a name": subject("Alice"),
    "sub negative": subject("-1"),
    "sub a fraction": subject("1.0"),
    "sub with a space": lambda claims: sign({**claims, "sub": f" {claims['sub']}"}),
    "sub with a sign": lambda claims: sign({**claims, "sub": f"+{claims['sub']}"}),
    "sub in other digits": subject("\N{FULLWIDTH DIGIT ONE}"),
    "sub in superscript": subject("\N{SUPERSCRIPT TWO}"),
    "sub zero": subject("0"),
    "sub of nobody": subject("999999"),
    "sub the largest": subject(str(2**63 - 1)),
    "sub beyond bigint": subject(str(2**63)),
    "sub of 19 digits": subject("9" * 19),
    "sub of 20 digits": subject("9" * 20),
    "sub of 5,000 digits": subject("9" * 5000),
    "sub SQL": subject("1 OR 1=1"),
    "sub NUL": subject("1\x00"),
    "expired": dated("exp", -1),
    "expired long ago": lambda claims: sign({**claims, "exp": 0}),
    "expired before all time": lambda claims: sign({**claims, "exp": -1e18}),
    "nbf in the future": dated("nbf", 60),
    "iat in the future": dated("iat", 60),
    "iat a text": lambda claims: sign({**claims, "iat": "now"}),
    "nbf a text": lambda claims: sign({**claims, "nbf": "now"}),
    "other issuer": lambda claims: sign({**claims, "iss": "another"}),
    "issuer a list": lambda claims: sign({**claims, "iss": ["authsvc"]}),
    "for another audience": lambda claims: sign({**claims, "aud": "another"}),
    "for an empty audience": lambda claims: sign({**claims, "aud": ""}),
    "for a list of nothing": lambda claims: sign({**claims, "aud": [""]}),
    "refresh token": lambda claims: sign({**claims, "token_type": "refresh"}),
    "token_type a list": lambda claims: sign({**claims, "token_type": ["access"]}),
    "typ of a refresh token": typed("rt+jwt"),
    "typ of any JWT": typed("JWT"),
    "typ of another kind": typed("secevent+jwt"),
    "typ empty": typed(""),
    "typ null": typed(None),
    "typ a list": typed(["at+jwt"]),
    "typ with a space": typed("at+jwt "),
    "typ twice the prefix": typed("application/application/at+jwt"),
    "no typ": lambda claims: sign(claims, {"alg": "HS256"}),
    "bind of another session": lambda claims: sign({**claims, "bind": "A" * 22}),
    "bind empty": lambda claims: sign({**claims, "bind": ""}),
    "bind null": lambda claims: sign({**claims, "bind": None}),
    "bind a list": lambda claims: sign({**claims, "bind": [claims["bind"]]}),
    "bind half a character": lambda claims: sign({**claims, "bind": "\ud800"}),
    "no bind": lambda claims: sign(without(claims, "bind")),
    "token_type in capitals": lambda claims: sign({**claims, "token_type": "ACCESS"}),
}


@pytest.mark.parametrize("kind", BAD)
def test_every_bad_bearer_reads_the_same(api: Api, alices_token: str, kind: str) -> None:
    response = api.get("/auth/me", token=BAD[kind](claims_of(alices_token)))
    assert (response.status_code, response.json()) == (401, BAD_CREDENTIAL)
    assert response["WWW-Authenticate"] == CHALLENGE


@pytest.mark.parametrize("exp", ["1e400", "1e30", "1" + "0" * 18, "1" + "0" * 30, "NaN"])
def test_a_token_of_ours_that_expires_beyond_all_time_is_bad_and_no_crash(
    api: Api, alices_token: str, exp: str
) -> None:
    claims = json.dumps({**claims_of(alices_token), "exp": 0}).replace('"exp": 0', f'"exp": {exp}')
    response = api.get("/auth/me", token=sign(claims.encode()))
    assert (response.status_code, response.json()) == (401, BAD_CREDENTIAL)


def test_a_token_made_as_ours_are_is_good_so_that_the_forgeries_fail_for_their_own_faults(
    api: Api, alices_token: str
) -> None:
    claims = claims_of(alices_token)
    good = [sign(claims), sign({**claims, "extra": [1]}), sign(claims, {**HS256, "kid": "x"}), alices_token]
    good += [typed(typ)(claims) for typ in ("AT+JWT", "application/at+jwt", "Application/AT+jwt")]
    assert [api.get("/auth/me", token=token).status_code for token in good] == [200] * 7


def test_a_refresh_token_of_ours_is_no_access_token(api: Api, alice: User) -> None:
    response = api.get("/auth/me", token=pair_of(alice).refresh_token)
    assert (response.status_code, response.json()) == (401, BAD_CREDENTIAL)


def test_a_token_is_bound_to_its_user_and_not_to_a_claim_of_another(api: Api, alice: User, bob: User) -> None:
    claims = {**claims_of(token_of(alice)), "username": "bob", "user_id": bob.pk, "roles": ["admin"], "scope": "a:b"}
    body = api.get("/auth/me", token=sign(claims)).json()
    assert (body["username"], body["roles"], body["scopes"]) == ("Alice", [], [])


@pytest.mark.parametrize(
    "kind", ["one part", "alg none", "HS512", "other key", "expired", "refresh token", "no sub", "sub a name", "100 kB"]
)
def test_a_bearer_that_is_bad_by_itself_costs_no_query(
    api: Api, alices_token: str, kind: str, django_assert_num_queries: Any
) -> None:
    with django_assert_num_queries(0):
        response = api.get("/auth/me", token=BAD[kind](claims_of(alices_token)))
    assert response.status_code == 401


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "bEaReR"])
def test_the_scheme_is_read_in_any_case(api: Api, alices_token: str, scheme: str) -> None:
    assert api.get("/auth/me", headers={"Authorization": f"{scheme} {alices_token}"}).status_code == 200
    assert api.get("/auth/verify", headers={"Authorization": f"{scheme}   {alices_token}"}).status_code == 200
    assert api.get("/auth/me", headers={"Authorization": f"{scheme} x"}).json() == BAD_CREDENTIAL
    assert api.get("/auth/me", headers={"Authorization": scheme}).json() == BAD_CREDENTIAL


@pytest.mark.parametrize(
    "header", ["", "{}", "Basic {}", "JWT {}", "Token {}", "Bearer{}", "Bearer\t{}", "Bearer: {}", " Bearer {}"]
)
def test_another_scheme_is_no_credential_here(api: Api, alices_token: str, header: str) -> None:
    response = api.get("/auth/me", headers={"Authorization": header.format(alices_token)})
    assert (response.status_code, response.json()) == (401, NO_CREDENTIAL)
    assert response["WWW-Authenticate"] == 'Bearer realm="authsvc"'


@pytest.mark.parametrize("place", ["?access_token={}", "?token={}"])
def test_a_token_in_the_address_is_no_credential(api: Api, alices_token: str, place: str) -> None:
    response = api.get("/auth/me" + place.format(alices_token))
    assert (response.status_code, response.json()) == (401, NO_CREDENTIAL)


@pytest.mark.parametrize(("seconds", "status"), [(30 * 60 - 1, 200), (30 * 60, 401), (30 * 60 + 1, 401)])
def test_a_token_lives_to_the_second_for_as_long_as_was_said(api: Api, alice: User, seconds: int, status: int) -> None:
    with time_machine.travel(1_800_000_000, tick=False) as clock:
        token = token_of(alice)
        clock.shift(seconds)
        response = api.get("/auth/me", token=token)
    assert response.status_code == status
    assert ("WWW-Authenticate" in response.headers) == (status == 401)


NAMES = st.sampled_from(["alg", "typ", "kid", "crit", "b64", "jwk", "x5c"])
VALUES = st.none() | st.booleans() | st.integers() | st.text() | st.lists(st.text(), max_size=2)
HEADERS = st.one_of(
    st.text(st.characters(max_codepoint=255)),
    st.text(st.characters(max_codepoint=255)).map("Bearer {}".format),
    st.text("abcAB01-_=.").map("Bearer {}".format),
    st.tuples(*[st.binary(max_size=60).map(encode)] * 3).map(".".join).map("bearer {}".format),
    st.builds(
        lambda header, claims: f"Bearer {encode(header)}.{encode(claims)}.AAAA",
        st.dictionaries(NAMES, VALUES),
        st.dictionaries(st.text(max_size=5), st.integers(), max_size=3),
    ),
)


@given(header=HEADERS)
@hypothesis_settings(
    derandomize=True,
    max_examples=300,
    deadline=None,
    # The database is only read, so that one transaction may serve all examples.
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@pytest.mark.usefixtures("alice")
def test_no_authorization_header_opens_or_breaks_anything(header: str) -> None:
    response = Api().get("/auth/me", headers={"Authorization": header})
    assert response.status_code == 401
    assert response.json() in (BAD_CREDENTIAL, NO_CREDENTIAL)
