"""Which credential counts: a client has one, and a token exchange is for the key that it names."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from accounts.models import User
from apikeys import usage
from apikeys.models import APIKey, Usage
from tests.accounts.conftest import claims_of
from tests.conftest import BAD_CREDENTIAL, NO_CREDENTIAL, Api
from tests.factories import make_key, make_role

TOKEN, INTROSPECT = "/auth/token", "/auth/introspect"
FORM = "application/x-www-form-urlencoded"
CLIENT = "client_credentials"
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"
SAML = "urn:ietf:params:oauth:token-type:saml2"
INVALID = {
    "type": "about:blank",
    "title": "Bad Request",
    "status": 400,
    "detail": "The request has fields that are not valid.",
}
ONE = "Send one credential: HTTP Basic, client_secret or x-api-key."
OWN = "A client can exchange only the key that it authenticates with."
Key = tuple[APIKey, str]


@pytest.fixture
def key(alice: User) -> Key:
    alice.groups.add(make_role("gateway", "tokens:introspect"))
    return make_key(alice, scopes=["tokens:introspect"])


@pytest.fixture
def other(bob: User) -> Key:
    return make_key(bob)


def basic(name: Any, secret: str) -> dict[str, str]:
    return {"Authorization": f"Basic {base64.b64encode(f'{name}:{secret}'.encode()).decode()}"}


def invalid(*faults: tuple[str, str, str]) -> dict[str, Any]:
    """Return the body of a 400 for (field, code, message) of a form."""
    errors = [dict(zip(("field", "code", "message"), fault, strict=True)) for fault in faults]
    field, _, message = faults[0]
    return {**INVALID, "errors": errors, "error": "invalid_request", "error_description": f"{field}: {message}"}


def post(api: Api, form: str, headers: dict[str, str] | None = None, path: str = TOKEN) -> Any:
    return api.post(path, form, content_type=FORM, headers=headers)


# --- One method of client authentication ------------------------------------------------------------------------------

METHODS = {
    "Basic and the form": ("Authorization", "client_secret"),
    "Basic and a header": ("Authorization", "x-api-key"),
    "a header and the form": ("x-api-key", "client_secret"),
    "all three": ("Authorization", "x-api-key", "client_secret"),
}


@pytest.mark.parametrize("path", [TOKEN, INTROSPECT])
@pytest.mark.parametrize("good", ["all", "none", "the first", "the last"])
@pytest.mark.parametrize("used", METHODS.values(), ids=METHODS)
def test_a_client_that_authenticates_twice_is_refused_whatever_the_credentials_are_worth(
    api: Api, key: Key, path: str, good: str, used: tuple[str, ...]
) -> None:
    right = {"all": used, "none": (), "the first": used[:1], "the last": used[-1:]}[good]
    secrets = {name: key[1] if name in right else "x" for name in used}
    headers, form = {}, f"grant_type={CLIENT}&token=x"
    for name, secret in secrets.items():
        if name == "client_secret":
            form += f"&client_id={key[0].pk}&client_secret={secret}"
        else:
            headers.update(basic(key[0].pk, secret) if name == "Authorization" else {name: secret})
    response = post(api, form, headers, path)
    assert (response.status_code, response.json()) == (400, invalid(*((name, "exclusive", ONE) for name in used)))
    usage.flush()
    assert Usage.objects.count() == 0


def test_a_request_in_json_has_one_credential_too(api: Api, key: Key) -> None:
    response = api.post(TOKEN, {}, key=key[1], headers={"Authorization": "Basic !"})
    errors = [{"field": name, "code": "exclusive", "message": ONE} for name in ("Authorization", "x-api-key")]
    assert (response.status_code, response.json()) == (400, {**INVALID, "errors": errors})


@pytest.mark.parametrize("form", ["", "&client_id=", "&client_secret=", "&client_id={id}", "&client_id={id}&x=1"])
def test_a_client_may_repeat_its_id_and_send_empty_parameters_beside_basic(api: Api, key: Key, form: str) -> None:
    response = post(api, f"grant_type={CLIENT}" + form.format(id=key[0].pk), basic(*named(key)))
    assert (response.status_code, client_of(response)) == (200, str(key[0].pk))


@pytest.mark.parametrize("secret", ["right", "wrong"])
@pytest.mark.parametrize("path", [TOKEN, INTROSPECT])
def test_another_id_than_that_of_basic_is_refused_whatever_the_credential_is_worth(
    api: Api, key: Key, other: Key, path: str, secret: str
) -> None:
    headers = basic(key[0].pk, key[1] if secret == "right" else "x")
    response = post(api, f"grant_type={CLIENT}&token=x&client_id={other[0].pk}", headers, path)
    fault = ("client_id", "mismatch", "HTTP Basic has another client_id.")
    assert (response.status_code, response.json()) == (400, invalid(fault))


def test_an_empty_client_secret_is_none(api: Api, key: Key) -> None:
    response = post(api, f"grant_type={CLIENT}&client_id={key[0].pk}&client_secret=")
    oauth = {"error": "invalid_client", "error_description": NO_CREDENTIAL["detail"]}
    assert (response.status_code, response.json()) == (401, {**NO_CREDENTIAL, **oauth})


# --- The key that is exchanged ----------------------------------------------------------------------------------------


def named(key: Key) -> tuple[int, str]:
    """Return what Basic has of a key."""
    return key[0].pk, key[1]


def client_of(response: Any) -> str:
    """Return the id of the key that a token was given for."""
    return str(claims_of(response.json()["access_token"])["client_id"])


def ways(key: Key) -> dict[str, tuple[dict[str, str], str]]:
    """Return the headers and the part of a form by which a client authenticates."""
    return {
        "Basic": (basic(*named(key)), ""),
        "header": ({"x-api-key": key[1]}, ""),
        "form": ({}, f"&client_id={key[0].pk}&client_secret={key[1]}"),
    }


WAYS = ("Basic", "header", "form")


@pytest.mark.parametrize("subject", ["of another", "junk"])
@pytest.mark.parametrize("way", WAYS)
def test_a_client_exchanges_no_key_but_its_own(api: Api, key: Key, other: Key, way: str, subject: str) -> None:
    headers, client = ways(key)[way]
    text = other[1] if subject == "of another" else subject
    response = post(api, f"grant_type={EXCHANGE}&subject_token={text}{client}", headers)
    fault = ("subject_token", "mismatch", OWN)
    assert (response.status_code, response.json()) == (400, invalid(fault))


@pytest.mark.parametrize("way", WAYS)
def test_a_client_that_authenticates_exchanges_its_own_key(api: Api, key: Key, way: str) -> None:
    headers, client = ways(key)[way]
    response = post(api, f"grant_type={EXCHANGE}&subject_token={key[1]}{client}", headers)
    assert (response.status_code, client_of(response)) == (200, str(key[0].pk))


@pytest.mark.parametrize("way", WAYS)
def test_an_exchange_names_its_subject(api: Api, key: Key, way: str) -> None:
    headers, client = ways(key)[way]
    response = post(api, f"grant_type={EXCHANGE}&subject_token={client}", headers)
    fault = ("subject_token", "required", "Send the key as subject_token.")
    assert (response.status_code, response.json()) == (400, invalid(fault))


def test_a_bad_client_whose_subject_token_is_as_bad_is_an_invalid_client(api: Api, key: Key) -> None:
    response = post(api, f"grant_type={EXCHANGE}&subject_token=x", basic(key[0].pk, "x"))
    oauth = {"error": "invalid_client", "error_description": BAD_CREDENTIAL["detail"]}
    assert (response.status_code, response.json()) == (401, {**BAD_CREDENTIAL, **oauth})


@pytest.mark.parametrize("grant", [f"grant_type={CLIENT}&", "grant_type=password&", ""])
def test_a_subject_token_is_no_credential_in_another_grant(api: Api, key: Key, grant: str) -> None:
    response = post(api, f"{grant}subject_token={key[1]}")
    oauth = {"error": "invalid_client", "error_description": NO_CREDENTIAL["detail"]}
    assert (response.status_code, response.json()) == (401, {**NO_CREDENTIAL, **oauth})


def test_a_bad_client_with_a_subject_token_in_another_grant_is_an_invalid_client(api: Api, key: Key) -> None:
    response = post(api, f"grant_type={CLIENT}&subject_token={key[1]}", basic(key[0].pk, "x"))
    oauth = {"error": "invalid_client", "error_description": BAD_CREDENTIAL["detail"]}
    assert (response.status_code, response.json()) == (401, {**BAD_CREDENTIAL, **oauth})


def test_another_grant_ignores_what_is_of_an_exchange(api: Api, key: Key, other: Key) -> None:
    ignored = f"&subject_token={other[1]}&subject_token_type={SAML}&requested_token_type={SAML}"
    response = post(api, f"grant_type={CLIENT}{ignored}", {"x-api-key": key[1]})
    assert (response.status_code, client_of(response)) == (200, str(key[0].pk))


@pytest.mark.parametrize(
    "types",
    [
        pytest.param("", id="none"),
        pytest.param("&subject_token_type=&requested_token_type=", id="empty"),
        pytest.param(f"&subject_token_type={ACCESS_TOKEN}&requested_token_type={ACCESS_TOKEN}", id="access tokens"),
    ],
)
def test_a_key_is_exchanged_as_an_access_token_for_an_access_token(api: Api, key: Key, types: str) -> None:
    response = post(api, f"grant_type={EXCHANGE}&subject_token={key[1]}{types}")
    body = response.json()
    assert (response.status_code, client_of(response)) == (200, str(key[0].pk))
    assert body == {
        "access_token": body["access_token"],
        "token_type": "bearer",
        "expires_in": 300,
        "scope": "tokens:introspect",
        "issued_token_type": ACCESS_TOKEN,
    }


@pytest.mark.parametrize(
    "names", [("subject_token_type",), ("requested_token_type",), ("subject_token_type", "requested_token_type")]
)
def test_another_type_of_token_is_refused_by_its_name(api: Api, key: Key, names: tuple[str, ...]) -> None:
    form = "".join(f"&{name}={SAML}" for name in names)
    response = post(api, f"grant_type={EXCHANGE}&subject_token={key[1]}{form}")
    faults = [(name, "invalid_choice", f"Must be {ACCESS_TOKEN}.") for name in names]
    assert (response.status_code, response.json()) == (400, invalid(*faults))
