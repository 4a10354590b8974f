"""The real service, people who use it, and the client in both its kinds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any, NamedTuple

import pytest
from authsvc_client import AuthsvcClient

from tests.clients.serving import Awaited, Odd
from tests.flows.conftest import PASSWORD, Server, bearer, launch, new_database, new_name, server
from tests.flows.proxy import Proxy

__all__ = ["launch", "new_database", "server"]  # fixtures, which pytest finds here by their names

Connect = Callable[..., Any]


class Person(NamedTuple):
    """A user of the service, with the scopes that it may give to keys."""

    server: Server
    name: str
    id: str
    token: str

    def key(self, **fields: Any) -> tuple[str, str]:
        """Make a key and return (id, plaintext)."""
        made = self.server.http.post("/keys/create", json={"name": "k", **fields}, headers=bearer(self.token))
        assert made.status_code == 201, made.text
        return str(made.json()["id"]), made.json()["key"]

    def revoke(self, key_id: str) -> None:
        assert self.server.http.delete(f"/keys/{key_id}", headers=bearer(self.token)).status_code == 204

    def login(self) -> dict[str, Any]:
        answer = self.server.http.post("/auth/login", json={"username": self.name, "password": PASSWORD})
        tokens: dict[str, Any] = answer.json()
        return tokens


def person(server: Server, *scopes: str) -> Person:
    """Sign somebody up, under a role of the same name where there are scopes."""
    name = new_name()
    token = server.sign_up(name)
    if scopes:
        granted = server.manage("grant_role", name, name, *(f"--scope={scope}" for scope in scopes))
        assert granted.returncode == 0, granted.stderr
    return Person(server, name, str(server.http.get("/auth/me", headers=bearer(token)).json()["id"]), token)


@pytest.fixture(scope="session")
def analyst(server: Server) -> Person:
    """Somebody with a role, who may read reports and introspect."""
    return person(server, "reports:read", "tokens:introspect")


@pytest.fixture(scope="session")
def nobody(server: Server) -> Person:
    """Somebody without any scope."""
    return person(server)


@pytest.fixture(params=[AuthsvcClient, Awaited], ids=["threads", "coroutines"])
def connect(request: pytest.FixtureRequest) -> Iterator[Connect]:
    """Make clients of either kind; they are closed with the test."""
    with ExitStack() as stack:

        def make(url: str, **options: Any) -> Any:
            client = request.param(url, **options)
            stack.callback(client.close)
            return client

        yield make


@pytest.fixture
def client(connect: Connect, server: Server) -> Any:
    """A client of the shared service."""
    return connect(server.url)


@pytest.fixture
def odd() -> Iterator[Callable[..., Odd]]:
    """Start servers that answer oddly; they end with the test."""
    with ExitStack() as stack:

        def start(*answers: bytes | None) -> Odd:
            running = Odd(*answers)
            stack.callback(running.close)
            return running

        yield start


@pytest.fixture
def proxy(server: Server) -> Iterator[Proxy]:
    """A proxy before the service, which counts connections and can be cut."""
    with Proxy("127.0.0.1", server.port) as between:
        yield between
