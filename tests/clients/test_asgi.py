"""An ASGI application behind the middleware, served for real by uvicorn; websockets by the protocol itself."""

from __future__ import annotations

import asyncio
import gc
import json
from typing import Any

import pytest
from authsvc_client import AsyncAuthsvcClient
from authsvc_client.asgi import AuthsvcMiddleware

from tests.clients.conftest import Person
from tests.clients.serving import asgi_served, awaited
from tests.clients.test_wsgi import get, problem
from tests.flows.conftest import Server, bearer
from tests.flows.proxy import Proxy


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Tell who came, and what was said of that besides; open every websocket."""
    if scope["type"] == "lifespan":
        await send({"type": "lifespan.startup.complete"})
        return
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept", "subprotocol": scope["authsvc.identity"].subject})
        return
    said = [name.decode() for name, _ in scope["headers"] if b"auth" in name and name != b"authorization"]
    body = json.dumps({"subject": scope["authsvc.identity"].subject, "said": said}).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": body})


def guarded(url: str, **options: Any) -> Any:
    return AuthsvcMiddleware(echo, AsyncAuthsvcClient(url, timeout=1), **options)


def test_a_good_credential_gets_through_and_spoofed_headers_do_not(server: Server, analyst: Person) -> None:
    spoofed = {"X-Auth-Subject": "1", "X_Auth_Roles": "admin", "X-AUTH-Anything": "x"}
    _, key = analyst.key(scopes=["reports:read"])
    app = guarded(server.url, scopes=["reports:read"])
    with asgi_served(app, app.verifier) as url:
        answers = [get(url, headers={**spoofed, **headers}) for headers in (bearer(analyst.token), {"x-api-key": key})]
    assert [answer.json() for answer in answers] == [{"subject": analyst.id, "said": []}] * 2


def test_whoever_may_not_is_told_why(server: Server, analyst: Person, nobody: Person) -> None:
    key_id, key = analyst.key(scopes=["reports:read"], rate_limit="1/day")
    app = guarded(server.url, scopes=["reports:read"])
    with asgi_served(app, app.verifier) as url:
        none, bad, without = (get(url, headers=h) for h in ({}, {"x-api-key": "sk_x"}, bearer(nobody.token)))
        first, second = (get(url, headers={"x-api-key": key}) for _ in range(2))
        analyst.revoke(key_id)
        revoked = get(url, headers={"x-api-key": key})
    assert [problem(answer)[0] for answer in (none, bad, without, second, revoked)] == [401, 401, 403, 429, 401]
    assert bad.headers["WWW-Authenticate"] == 'Bearer realm="authsvc", ApiKey realm="authsvc"'
    assert (first.status_code, second.headers["Retry-After"].isdecimal()) == (200, True)


@pytest.mark.parametrize("how", ["cut", "mute"])
def test_a_service_that_is_away_or_hangs_lets_nobody_in(proxy: Proxy, analyst: Person, how: str) -> None:
    app = guarded(f"http://127.0.0.1:{proxy.port}")
    with asgi_served(app, app.verifier) as url:
        assert get(url, headers=bearer(analyst.token)).status_code == 200
        getattr(proxy, how)()
        assert problem(get(url, headers=bearer(analyst.token))) == (503, "Service Unavailable")


def test_requests_in_parallel_are_judged_each(server: Server, analyst: Person, nobody: Person) -> None:
    async def ask() -> list[str]:
        async with AsyncAuthsvcClient(server.url) as client:
            asked = (client.verify(credential=who.token) for who in [analyst, nobody] * 10)
            return [who.subject for who in await asyncio.gather(*asked)]

    assert awaited(ask()) == [analyst.id, nobody.id] * 10


@pytest.mark.filterwarnings("ignore:unclosed", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_client_outlives_the_event_loop_of_its_connection(server: Server, analyst: Person) -> None:
    client = AsyncAuthsvcClient(server.url)
    assert [awaited(client.verify(credential=analyst.token)).subject for _ in range(2)] == [analyst.id] * 2
    del client
    gc.collect()  # the connections that no loop is left to close tell of it here, and not in another test


def opened(app: Any, headers: dict[str, str], **scope: Any) -> list[Any]:
    """Open a websocket, or make a request, and return what the application sends."""
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(message)

    raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]

    async def run() -> None:
        async with app.verifier:
            await app({"type": "websocket", "headers": raw, **scope}, receive, send)

    awaited(run())
    return sent


def test_a_websocket_is_judged_when_it_opens(server: Server, analyst: Person) -> None:
    told = opened(guarded(server.url, scopes=["reports:read"]), bearer(analyst.token))
    assert told == [{"type": "websocket.accept", "subprotocol": analyst.id}]


@pytest.mark.parametrize(("port", "code"), [(None, 1008), (9, 1013)])
def test_a_websocket_that_is_refused_is_closed(server: Server, port: int | None, code: int) -> None:
    app = guarded(f"http://127.0.0.1:{port or server.port}")
    (told,) = opened(app, {"x-api-key": "sk_junk"}, extensions=None)
    assert (told["type"], told["code"]) == ("websocket.close", code)


def test_a_refused_websocket_gets_the_whole_answer_where_the_server_can(server: Server) -> None:
    start, body = opened(guarded(server.url), {}, extensions={"websocket.http.response": {}})
    assert (start["type"], start["status"]) == ("websocket.http.response.start", 401)
    assert (b"www-authenticate", b'Bearer realm="authsvc", ApiKey realm="authsvc"') in start["headers"]
    assert json.loads(body["body"])["title"] == "Unauthorized"


def test_a_refusal_of_head_has_no_body(server: Server) -> None:
    start, body = opened(guarded(server.url), {}, type="http", method="HEAD")
    assert (start["status"], body["body"]) == (401, b"")


def test_the_applications_own_life_is_nobodys_request(server: Server) -> None:
    assert opened(guarded(server.url), {}, type="lifespan") == [{"type": "lifespan.startup.complete"}]


def test_an_unknown_protocol_is_rejected(server: Server) -> None:
    with pytest.raises(NotImplementedError):
        opened(guarded(server.url), {}, type="carrier-pigeon")
