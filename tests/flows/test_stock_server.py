"""The way back: with STOCK_SERVER the server suite passes on gunicorn's gthread worker and Django's handler.

What only our own worker and handler promise is marked ``own_server`` where it is tested.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import pytest

from tests.flows.conftest import Server, bearer, new_name
from tests.flows.raw import Connection
from tests.flows.test_connection_close import *  # noqa: F403
from tests.flows.test_lifecycle import *  # noqa: F403
from tests.flows.test_server import *  # noqa: F403
from tests.flows.test_server_bodies import *  # noqa: F403
from tests.flows.test_server_trust import *  # noqa: F403


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, new_database: Callable[[], str]) -> Iterator[Server]:
    """A server without our worker and handler."""
    running = Server(tmp_path_factory.mktemp("server"), new_database(), STOCK_SERVER="true")
    running.migrate()
    running.start()
    yield running
    assert running.stop() == 0


@pytest.fixture
def launch(launch: Callable[..., Server]) -> Callable[..., Server]:
    """Start servers of that kind."""
    return partial(launch, STOCK_SERVER="true")


for name, test in list(globals().items()):
    if any(mark.name == "own_server" for mark in getattr(test, "pytestmark", ())):
        del globals()[name]


def test_the_stock_server_is_gunicorns_own(server: Server) -> None:
    with Connection(server.port) as connection:
        connection.send(b"NO REQUEST\r\n\r\n")
        answer = connection.answer()
    assert (answer.status, answer.headers["content-type"]) == (400, "text/html")


EACH_TIME = {"date", "x-request-id"}
PATHS = [
    *("/", "/openapi.json", "/docs", "/redoc", "/livez", "/readyz", "/nowhere", "/keys/", "/admin", "/admin/login/"),
    *("/auth/me", "/auth/sessions", "/auth/verify", "/keys", "/keys/1", "/keys/1/usage", "/.well-known/jwks.json"),
    *("/protected/user", "/protected/service", "/protected/any", "/protected/admin", "/protected/reports"),
    *("/auth/me?x=1", "/keys?limit=0", "/static/authsvc/swagger.js", "/static/nothing.js"),
]
BODIES = [
    *("/auth/signup", "/auth/login", "/auth/refresh", "/auth/logout", "/auth/password", "/auth/password/reset"),
    *("/auth/password/reset/confirm", "/auth/email/verify/confirm", "/auth/introspect", "/auth/token"),
    *("/keys/create", "/keys/report"),
]


@pytest.fixture
def pair(server: Server, launch: Callable[..., Server]) -> tuple[Server, Server]:
    """A stock server and one of ours, on one database and under one secret."""
    shared = {"SECRET_KEY": server.environment["SECRET_KEY"], "PUBLIC_URL": "https://auth.example.com"}
    return launch(**shared), launch(**shared, STOCK_SERVER="false")


def test_every_route_answers_the_same_on_both(pair: tuple[Server, Server]) -> None:
    token = pair[0].sign_up(new_name())
    headers = [{}, bearer(token), {"x-api-key": pair[0].make_key(token)[1]}, {"x-api-key": "nonsense"}]
    cases = [(method, path, sent, None) for path in PATHS for method in ("GET", "HEAD", "PUT") for sent in headers]
    cases += [("POST", path, sent, body) for path in BODIES for sent in headers for body in (b"", b"{}", b'{"x": 1}')]
    ours, stock = ([answer(server, *case) for case in cases] for server in pair)
    assert [case for case, one, other in zip(cases, ours, stock, strict=True) if one != other] == []


def answer(server: Server, method: str, path: str, headers: dict[str, str], body: bytes | None) -> tuple[object, ...]:
    """Return an answer's status, headers in any order, and body, without what is new each time."""
    typed = {} if body is None else {"Content-Type": "application/json"}
    found = server.http.request(method, path, headers={**headers, **typed}, content=body)
    kept = sorted((name, value) for name, value in found.headers.items() if name not in EACH_TIME)
    if path.startswith(("/readyz", "/admin/", "/keys", "/auth/sessions", "/auth/token")):  # what time or chance makes
        return found.status_code, sorted(name for name, _ in kept)
    return found.status_code, kept, found.content
