"""The demo routes: each looks only at the credentials it accepts."""

from typing import Any

import pytest

from tests.conftest import NO_CREDENTIAL, Api
from tests.factories import make_key

BEARER, KEY = 'Bearer realm="authsvc"', 'ApiKey realm="authsvc"'


@pytest.fixture
def alices_key(alice: Any) -> str:
    return make_key(alice, "nightly export")[1]


def test_a_token_opens_the_user_route(api: Api, alices_token: str) -> None:
    response = api.get("/protected/user", token=alices_token)
    assert response.status_code == 200
    assert response.json() == {"message": "Hello, Alice.", "user": "Alice", "auth_method": "jwt"}


def test_a_key_opens_the_service_route(api: Api, alices_key: str) -> None:
    response = api.get("/protected/service", key=alices_key)
    assert response.status_code == 200
    assert response.json() == {
        "message": "Hello, service nightly export.",
        "service": "nightly export",
        "auth_method": "api_key",
    }


def test_either_opens_the_any_route_and_the_token_counts_when_both_come(
    api: Api, alices_token: str, alices_key: str
) -> None:
    assert api.get("/protected/any", token=alices_token).json()["auth_method"] == "jwt"
    assert api.get("/protected/any", key=alices_key).json()["auth_method"] == "api_key"
    assert api.get("/protected/any", token=alices_token, key=alices_key).json()["auth_method"] == "jwt"


@pytest.mark.parametrize(
    ("path", "challenge"),
    [
        pytest.param("/protected/user", BEARER, id="user"),
        pytest.param("/protected/service", KEY, id="service"),
        pytest.param("/protected/any", f"{BEARER}, {KEY}", id="any"),
    ],
)
def test_nothing_sent_is_answered_with_what_the_route_accepts(api: Api, path: str, challenge: str) -> None:
    response = api.get(path)
    assert response.status_code == 401
    assert response["WWW-Authenticate"] == challenge
    assert response.json() == NO_CREDENTIAL


def test_a_route_does_not_look_at_a_credential_it_does_not_accept(api: Api, alices_token: str, alices_key: str) -> None:
    assert api.get("/protected/user", key=alices_key).json() == NO_CREDENTIAL
    assert api.get("/protected/service", token=alices_token).json() == NO_CREDENTIAL
    assert api.get("/protected/service", key=alices_key, token="junk").status_code == 200
    assert api.get("/protected/user", token=alices_token, key="junk").status_code == 200
