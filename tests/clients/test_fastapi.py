"""A FastAPI service guarded in five lines: those of the README, served for real by uvicorn."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from authsvc_client import AsyncAuthsvcClient, Identity
from authsvc_client.fastapi import Guard, Requirement
from fastapi import Depends, FastAPI

from tests.clients.conftest import Person
from tests.clients.serving import asgi_served
from tests.clients.test_wsgi import get
from tests.flows.conftest import Server, bearer
from tests.flows.proxy import Proxy

README = Path(__file__).resolve().parent.parent.parent / "clients" / "python" / "README.md"
WHO = Identity("7", "zoe", "jwt", None, frozenset(), frozenset())


def of_readme(url: str) -> dict[str, Any]:
    """Run the README's first example against a service and return its names."""
    code = re.search(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert code is not None
    names: dict[str, Any] = {}
    exec(compile(code[1].replace("http://127.0.0.1:8000", url), str(README), "exec", dont_inherit=True), names)
    return names


def greeting(needed: Requirement, *also: Requirement) -> FastAPI:
    """Return an application that says a name."""
    app, given = FastAPI(dependencies=[Depends(one) for one in also]), Depends(needed)
    app.get("/")(lambda who=given: who.username)
    return app


@pytest.fixture
def reports(server: Server) -> Iterator[str]:
    names = of_readme(server.url)
    with asgi_served(names["app"], names["guard"]) as url:
        yield f"{url}/reports"


def test_the_five_lines_let_in_who_may(reports: str, analyst: Person) -> None:
    _, key = analyst.key(scopes=["reports:read"])
    for headers in (bearer(analyst.token), {"x-api-key": key}):
        answer = get(reports, headers={**headers, "X-Auth-Username": "somebody-else"})
        assert (answer.status_code, answer.json()) == (200, {"reports": [], "for": analyst.name})


def test_the_five_lines_keep_out_who_may_not(reports: str, analyst: Person, nobody: Person) -> None:
    key_id, key = analyst.key(scopes=["reports:read"], rate_limit="1/day")
    none, bad, without = (get(reports, headers=h) for h in ({}, {"x-api-key": "sk_x"}, bearer(nobody.token)))
    first, second = (get(reports, headers={"x-api-key": key}) for _ in range(2))
    analyst.revoke(key_id)
    revoked = get(reports, headers={"x-api-key": key})
    statuses = [answer.status_code for answer in (none, bad, without, first, second, revoked)]
    assert statuses == [401, 401, 403, 200, 429, 401]
    assert none.headers["WWW-Authenticate"] == 'Bearer realm="authsvc", ApiKey realm="authsvc"'
    assert int(second.headers["Retry-After"]) > 0


@pytest.mark.parametrize("how", ["cut", "mute"])
def test_a_service_that_is_away_or_hangs_lets_nobody_in(proxy: Proxy, analyst: Person, how: str) -> None:
    client = AsyncAuthsvcClient(f"http://127.0.0.1:{proxy.port}", timeout=1)
    guard = Guard(client)
    with asgi_served(greeting(guard.require()), guard, client) as url:
        assert get(url, headers=bearer(analyst.token)).json() == analyst.name
        getattr(proxy, how)()
        assert get(url, headers=bearer(analyst.token)).status_code == 503


def test_the_services_own_document_names_the_credentials(server: Server) -> None:
    document = of_readme(server.url)["app"].openapi()
    assert document["paths"]["/reports"]["get"]["security"] == [{"bearer": []}, {"apiKey": []}]
    assert document["components"]["securitySchemes"]["apiKey"] == {
        "type": "apiKey",
        "in": "header",
        "name": "x-api-key",
    }


def test_one_request_asks_once_however_often_it_is_guarded(server: Server, analyst: Person) -> None:
    guard, (_, key) = Guard(server.url), analyst.key(scopes=["reports:read"], rate_limit="1/day")
    app = greeting(guard.require(scopes=["reports:read"]), guard.require(scopes=["reports:read"]))
    with asgi_served(app, guard) as url:
        assert get(url, headers={"x-api-key": key}).json() == analyst.name


def test_a_guard_by_role_keeps_keys_out(server: Server, analyst: Person) -> None:
    guard, (_, key) = Guard(server.url, client_address=lambda request: request.client.host), analyst.key()
    with asgi_served(greeting(guard.require(roles=[analyst.name])), guard) as url:
        assert get(url, headers=bearer(analyst.token)).json() == analyst.name
        assert get(url, headers={"x-api-key": key}).status_code == 403


def test_a_test_of_the_service_overrides_the_guard(server: Server) -> None:
    names = of_readme(server.url)
    names["app"].dependency_overrides[names["guard"].require(scopes=["reports:read"])] = lambda: WHO
    with asgi_served(names["app"], names["guard"]) as url:
        assert get(f"{url}/reports").json() == {"reports": [], "for": "zoe"}
