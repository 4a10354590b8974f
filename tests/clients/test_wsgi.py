"""A WSGI application behind the middleware, served for real by wsgiref."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import httpx
import pytest
from authsvc_client import AuthsvcClient
from authsvc_client.wsgi import AuthsvcMiddleware

from tests.clients.conftest import Person
from tests.clients.serving import Odd, http, wsgi_served
from tests.flows.conftest import Server, bearer
from tests.flows.proxy import Proxy


def echo(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """Tell who came, and what was said of that besides."""
    who = environ["authsvc.identity"]
    spoofs = sorted(name for name in environ if "AUTH" in name.upper() and name != "HTTP_AUTHORIZATION")
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps({"subject": who.subject, "method": who.method, "said": spoofs}).encode()]


@pytest.fixture
def guarded(server: Server) -> Iterator[str]:
    """A service that asks for a scope."""
    with (
        AuthsvcClient(server.url) as client,
        wsgi_served(AuthsvcMiddleware(echo, client, scopes=["reports:read"])) as url,
    ):
        yield url


def get(url: str, **options: Any) -> httpx.Response:
    return httpx.get(url, trust_env=False, **options)


def problem(response: httpx.Response) -> tuple[int, str]:
    """Return the status and the title of a refusal, after checking its form."""
    body = response.json()
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.headers["Cache-Control"] == "no-store"
    assert set(body) == {"type", "title", "status", "detail"}
    assert body["status"] == response.status_code
    return body["status"], body["title"]


def test_a_good_credential_gets_through_and_spoofed_headers_do_not(guarded: str, analyst: Person) -> None:
    spoofed = {"X-Auth-Subject": "1", "X_Auth_Roles": "admin", "x-auth-anything": "x", "authsvc.identity": "x"}
    _, key = analyst.key(scopes=["reports:read"])
    answers = [
        get(guarded, headers={**spoofed, **headers}).json() for headers in (bearer(analyst.token), {"x-api-key": key})
    ]
    said = ["HTTP_AUTHSVC.IDENTITY", "authsvc.identity"]
    assert answers == [{"subject": analyst.id, "method": method, "said": said} for method in ("jwt", "api_key")]


def test_a_bad_credential_gets_the_challenge(guarded: str) -> None:
    for headers in ({}, {"x-api-key": "sk_junk"}, {"Authorization": b"Bearer \xff"}):
        response = get(guarded, headers=headers)
        assert problem(response) == (401, "Unauthorized")
        assert response.headers["WWW-Authenticate"] == 'Bearer realm="authsvc", ApiKey realm="authsvc"'


def test_a_credential_without_the_scope_is_forbidden(guarded: str, nobody: Person) -> None:
    assert problem(get(guarded, headers=bearer(nobody.token))) == (403, "Forbidden")


def test_a_rate_limit_reaches_the_client(guarded: str, analyst: Person) -> None:
    _, key = analyst.key(scopes=["reports:read"], rate_limit="1/day")
    first, second = (get(guarded, headers={"x-api-key": key}) for _ in range(2))
    assert first.status_code == 200
    assert problem(second) == (429, "Too Many Requests")
    assert int(second.headers["Retry-After"]) > 0


def test_revocation_is_felt_at_the_next_request(guarded: str, analyst: Person) -> None:
    key_id, key = analyst.key(scopes=["reports:read"])
    assert get(guarded, headers={"x-api-key": key}).status_code == 200
    analyst.revoke(key_id)
    assert get(guarded, headers={"x-api-key": key}).status_code == 401


def test_a_refusal_of_head_has_no_body(guarded: str) -> None:
    response = httpx.head(guarded, trust_env=False)
    assert (response.status_code, response.content) == (401, b"")


@pytest.mark.parametrize("how", ["cut", "mute"])
def test_a_service_that_is_away_or_hangs_lets_nobody_in(
    proxy: Proxy, analyst: Person, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        AuthsvcClient(f"http://127.0.0.1:{proxy.port}", timeout=1) as client,
        wsgi_served(AuthsvcMiddleware(echo, client)) as url,
    ):
        assert get(url, headers=bearer(analyst.token)).status_code == 200
        getattr(proxy, how)()
        assert problem(get(url, headers=bearer(analyst.token))) == (503, "Service Unavailable")
        assert "Nobody can be let in: " in caplog.text
        proxy.restore()
        assert get(url, headers=bearer(analyst.token)).status_code == 200


def test_the_address_is_told_where_the_service_says_so(odd: Callable[..., Odd]) -> None:
    asked = odd(http("401 Unauthorized"))
    with AuthsvcClient(asked.url) as client:
        app = AuthsvcMiddleware(
            echo, client, roles=["admin"], audience="billing", client_address=lambda environ: environ["REMOTE_ADDR"]
        )
        with wsgi_served(app) as url:
            assert get(url, headers={"x-api-key": "sk_x", "X-Forwarded-For": "192.0.2.1"}).status_code == 401
    assert asked.requests[0].startswith(b"GET /auth/verify?role=admin&audience=billing HTTP/1.1")
    assert b"x-forwarded-for: 127.0.0.1\r\n" in asked.requests[0].lower()
