"""Errors of form requests as OAuth clients read them, and client credentials for introspection."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from django.db import OperationalError

from accounts.models import User
from apikeys.models import APIKey
from gateway.serializers import AUDIENCE
from tests.conftest import BAD_CREDENTIAL, Api, errors_of
from tests.factories import make_key, make_role, token_of

TOKEN, INTROSPECT = "/auth/token", "/auth/introspect"
FORM = "application/x-www-form-urlencoded"
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
Key = tuple[APIKey, str]


@pytest.fixture
def key(alice: User) -> Key:
    """A key that may introspect and read reports."""
    alice.groups.add(make_role("gateway", "tokens:introspect", "reports:read"))
    return make_key(alice, scopes=["tokens:introspect", "reports:read"])


@pytest.fixture
def plain(bob: User) -> Key:
    """A key without scopes."""
    return make_key(bob)


def basic(key: Key) -> dict[str, str]:
    return {"Authorization": f"Basic {base64.b64encode(f'{key[0].pk}:{key[1]}'.encode()).decode()}"}


@pytest.mark.parametrize("path", [TOKEN, INTROSPECT])
@pytest.mark.parametrize(
    "form", [b"a=1&a=2", b"%ff=%ff", b"\xef\xbb\xbfa=1", b"&".join(b"f%d=1" % n for n in range(200))], ids=range(4)
)
def test_a_form_that_cannot_be_read_is_refused_whatever_the_credential_is_worth(
    api: Api, db: None, path: str, form: bytes
) -> None:
    response = api.client.generic("POST", path, form, FORM, headers={"x-api-key": "x"})
    assert (response.status_code, response.json()["error"]) == (400, "invalid_request")


def post(api: Api, path: str, form: str, key: Key | None = None, **options: Any) -> Any:
    return api.post(path, form, content_type=FORM, headers=basic(key) if key else {}, **options)


@pytest.mark.parametrize(
    ("form", "status", "code", "description"),
    [
        ("grant_type=password", 400, "unsupported_grant_type", f"grant_type: Send client_credentials or {EXCHANGE}."),
        ("scope=reports:read", 400, "invalid_request", f"grant_type: Send client_credentials or {EXCHANGE}."),
        ("grant_type=", 400, "invalid_request", f"grant_type: Send client_credentials or {EXCHANGE}."),
        (
            "grant_type=client_credentials&scope=a:b",
            400,
            "invalid_scope",
            "scope: The key does not have every scope asked for.",
        ),
        ("grant_type=client_credentials&audience=a%20b", 400, "invalid_request", f"audience: {AUDIENCE}"),
        ("grant_type=client_credentials&scope=a&scope=b", 400, "invalid_request", "A parameter is given twice."),
    ],
)
def test_an_error_of_the_token_endpoint_is_oauths_too(
    api: Api, key: Key, form: str, status: int, code: str, description: str
) -> None:
    response = post(api, TOKEN, form, key)
    body = response.json()
    assert (response.status_code, body["error"], body["error_description"]) == (status, code, description)
    assert (response["Content-Type"], body["status"]) == ("application/problem+json", status)
    assert response["Cache-Control"] == "no-store"


@pytest.mark.parametrize("path", [TOKEN, INTROSPECT])
def test_a_bad_client_is_an_invalid_client(api: Api, key: Key, path: str) -> None:
    bad = (key[0], f"{key[1][:-1]}!")
    response = post(api, path, "grant_type=client_credentials&token=x", bad)
    invalid = {"error": "invalid_client", "error_description": "The credential is not valid."}
    assert (response.status_code, response.json()) == (401, {**BAD_CREDENTIAL, **invalid})
    assert 'Basic realm="authsvc"' in response["WWW-Authenticate"]
    none = post(api, path, "grant_type=client_credentials&token=x")
    assert (none.status_code, none.json()["error"]) == (401, "invalid_client")


def test_a_bad_subject_token_is_an_invalid_request(api: Api, key: Key) -> None:
    response = post(api, TOKEN, f"grant_type={EXCHANGE}&subject_token={key[1]}x")
    assert (response.status_code, response.json()["error"]) == (401, "invalid_request")


def test_a_bad_bearer_is_an_invalid_token(api: Api, key: Key) -> None:
    response = post(api, INTROSPECT, "token=x", token="a.b.c")
    assert (response.status_code, response.json()["error"]) == (401, "invalid_token")


def test_a_client_without_the_scope_is_told_so(api: Api, plain: Key) -> None:
    response = post(api, INTROSPECT, "token=x", plain)
    assert (response.status_code, response.json()["error"]) == (403, "insufficient_scope")


def test_a_rate_limit_and_a_database_that_is_away_are_temporary(
    api: Api, bob: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(digest: bytes) -> None:
        raise OperationalError

    limited = make_key(bob, rate_limit="1/hour")
    answers = [post(api, TOKEN, "grant_type=client_credentials", limited) for _ in range(2)]
    monkeypatch.setattr("apikeys.verification.key_by_digest", away)
    answers.append(post(api, TOKEN, "grant_type=client_credentials", limited))
    assert [answer.status_code for answer in answers] == [200, 429, 503]
    assert [answer.json().get("error") for answer in answers] == [None, *["temporarily_unavailable"] * 2]
    assert all(answer["Retry-After"] for answer in answers[1:])


def test_a_request_in_json_has_the_problem_alone(api: Api, key: Key) -> None:
    response = api.post(TOKEN, {"scope": "a:b"}, key=key[1])
    assert errors_of(response) == [("scope", "invalid_scope")]
    assert set(response.json()) == {"type", "title", "status", "detail", "errors"}


def test_another_charset_is_an_invalid_request(api: Api) -> None:
    response = api.post(TOKEN, "grant_type=client_credentials", content_type=f"{FORM}; charset=utf-16")
    assert (response.status_code, response.json()["error"]) == (415, "invalid_request")


def test_a_description_has_only_the_characters_that_oauth_allows(api: Api, key: Key) -> None:
    response = api.post(f"{TOKEN}?x=%22%5C%C3%A9%0A", "grant_type=client_credentials", content_type=FORM, key=key[1])
    assert response.json()["error_description"] == "x: There is no such parameter here."
    quoted = api.post(f"{TOKEN}?%22%5C%C3%A9%0A", "grant_type=client_credentials", content_type=FORM, key=key[1])
    assert quoted.json()["error_description"] == "'''': There is no such parameter here."


def test_a_token_is_not_kept_by_caches(api: Api, key: Key) -> None:
    response = post(api, TOKEN, "grant_type=client_credentials", key)
    assert (response.status_code, response["Cache-Control"], response["Pragma"]) == (200, "no-store", "no-cache")


# --- Client credentials at /auth/introspect ---------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["basic", "form", "x-api-key", "bearer"])
def test_introspection_takes_a_client_in_every_place(api: Api, alice: User, key: Key, plain: Key, place: str) -> None:
    form = f"token={plain[1]}&token_type_hint=access_token&resource=x"
    if place == "basic":
        response = post(api, INTROSPECT, form, key)
    elif place == "form":
        response = post(api, INTROSPECT, f"{form}&client_id={key[0].pk}&client_secret={key[1]}")
    elif place == "bearer":
        response = api.post(INTROSPECT, form, content_type=FORM, token=token_of(alice))
    else:
        response = api.post(INTROSPECT, form, content_type=FORM, key=key[1])
    assert (response.status_code, response.json()["active"], response.json()["username"]) == (200, True, "bob")


@pytest.mark.parametrize(
    "form", ["", "token=", "token_type_hint=access_token", "tokens=x"], ids=["nothing", "empty", "a hint", "tokens"]
)
def test_introspection_asks_for_a_token(api: Api, key: Key, form: str) -> None:
    response = post(api, INTROSPECT, form or "x=1", key)
    body = response.json()
    assert (response.status_code, body["error"], body["errors"][0]["code"]) == (400, "invalid_request", "required")


def test_the_id_of_another_key_is_a_bad_client(api: Api, key: Key, plain: Key) -> None:
    assert post(api, INTROSPECT, "token=x", (plain[0], key[1])).status_code == 401
    assert post(api, INTROSPECT, f"token=x&client_id={plain[0].pk}&client_secret={key[1]}").status_code == 401


def test_the_token_that_is_asked_about_is_no_credential(api: Api, key: Key) -> None:
    assert post(api, INTROSPECT, f"token={key[1]}").status_code == 401
    assert post(api, INTROSPECT, f"token=x&subject_token={key[1]}").status_code == 401


def test_a_json_body_that_cannot_be_read_comes_after_the_credential(api: Api, key: Key) -> None:
    assert api.post(INTROSPECT, "{").status_code == 401
    assert api.post(INTROSPECT, "{", key=key[1]).status_code == 400


@pytest.mark.parametrize("spaces", [" ", "  ", "   "])
def test_several_spaces_may_follow_the_scheme(api: Api, key: Key, spaces: str) -> None:
    header = basic(key)["Authorization"].replace(" ", spaces)
    response = api.post(INTROSPECT, "token=x", content_type=FORM, headers={"Authorization": header})
    assert (response.status_code, response.json()) == (200, {"active": False})
