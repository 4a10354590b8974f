"""OAuth clients against the running server: they get their tokens, and they understand the errors."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import Any

import pytest
from authlib.integrations.base_client import OAuthError
from authlib.integrations.requests_client import OAuth2Session
from oauthlib.oauth2 import BackendApplicationClient, InvalidClientError, InvalidScopeError, OAuth2Error
from requests_oauthlib import OAuth2Session as RequestsSession

from tests.flows.conftest import Server, bearer, new_name

Key = tuple[str, str]


@pytest.fixture(autouse=True)
def plain_http(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both libraries insist on https otherwise."""
    monkeypatch.setenv("AUTHLIB_INSECURE_TRANSPORT", "1")
    monkeypatch.setenv("OAUTHLIB_INSECURE_TRANSPORT", "1")


@pytest.fixture(scope="module")
def key(server: Server) -> Key:
    """The id and the text of a key that may introspect and read reports."""
    name = new_name()
    token = server.sign_up(name)
    scopes = ("reports:read", "tokens:introspect")
    granted = server.manage("grant_role", name, "gateway", *(f"--scope={scope}" for scope in scopes))
    assert granted.returncode == 0, granted.stderr
    made = server.http.post("/keys/create", json={"name": "a key", "scopes": scopes}, headers=bearer(token)).json()
    return str(made["id"]), made["key"]


def authlib(key: Key, method: str) -> Any:
    session = OAuth2Session(*key, token_endpoint_auth_method=method)
    session.trust_env = False
    return session


def requests_oauthlib(key: Key, scope: list[str] | None = None) -> RequestsSession:
    session = RequestsSession(client=BackendApplicationClient(client_id=key[0], scope=scope))
    session.trust_env = False
    return session


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
def test_authlib_fetches_a_token_and_calls_the_api_with_it(server: Server, key: Key, method: str) -> None:
    session = authlib(key, method)
    token = session.fetch_token(f"{server.url}/auth/token", grant_type="client_credentials", scope="reports:read")
    assert (token["token_type"], token["scope"], 0 < token["expires_in"] <= 300) == ("bearer", "reports:read", True)
    assert session.get(f"{server.url}/protected/reports").status_code == 200


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
@pytest.mark.parametrize(
    ("change", "asked", "error"),
    [
        pytest.param("x", {"grant_type": "client_credentials"}, "invalid_client", id="a wrong secret"),
        pytest.param("", {"grant_type": "client_credentials", "scope": "a:b"}, "invalid_scope", id="a scope too many"),
        pytest.param("", {"grant_type": "password", "username": "a"}, "unsupported_grant_type", id="another grant"),
    ],
)
def test_authlib_raises_what_is_wrong(
    server: Server, key: Key, method: str, change: str, asked: dict[str, str], error: str
) -> None:
    session = authlib((key[0], key[1] + change), method)
    with pytest.raises(OAuthError) as raised:
        session.fetch_token(f"{server.url}/auth/token", **asked)
    assert raised.value.error == error
    assert raised.value.description


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
def test_authlib_introspects_with_client_credentials(server: Server, key: Key, method: str) -> None:
    session = authlib(key, method)
    for token, active in ((key[1], True), ("junk", False)):
        answer = session.introspect_token(f"{server.url}/auth/introspect", token=token, token_type_hint="access_token")
        assert (answer.status_code, answer.json()["active"]) == (200, active)


@pytest.mark.parametrize("in_form", [False, True])
def test_requests_oauthlib_fetches_a_token_and_calls_the_api_with_it(server: Server, key: Key, in_form: bool) -> None:
    session = requests_oauthlib(key)
    session.fetch_token(f"{server.url}/auth/token", client_secret=key[1], include_client_id=in_form)
    assert session.get(f"{server.url}/protected/reports").status_code == 200


@pytest.mark.parametrize(
    ("change", "scope", "error"),
    [
        pytest.param("x", None, InvalidClientError, id="a wrong secret"),
        pytest.param("", ["a:b"], InvalidScopeError, id="a scope too many"),
    ],
)
def test_requests_oauthlib_raises_what_is_wrong(
    server: Server, key: Key, change: str, scope: list[str] | None, error: type[OAuth2Error]
) -> None:
    session = requests_oauthlib(key, scope)
    with pytest.raises(error):
        session.fetch_token(f"{server.url}/auth/token", client_secret=key[1] + change, include_client_id=True)


def test_curl_introspects_with_basic(server: Server, key: Key) -> None:
    curl = shutil.which("curl")
    if curl is None:
        pytest.skip("no curl")
    command = [curl, "-sS", "--noproxy", "*", "-K", "-", f"{server.url}/auth/introspect", "-d", "token=junk"]
    done = subprocess.run(
        command, input=f'user = "{key[0]}:{key[1]}"\n', capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.returncode, json.loads(done.stdout)) == (0, {"active": False})
