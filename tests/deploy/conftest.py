"""A real authsvc, a real gateway in front of a recording application, and people with credentials."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any, NamedTuple

import pytest

from tests.deploy.gateways import KINDS, Gateway, program
from tests.deploy.recorder import Recorder
from tests.flows.conftest import PASSWORD, Server, bearer, new_database, new_name

__all__ = ["new_database"]


class Person(NamedTuple):
    """A user and what authsvc says of them; ``make_key`` returns the id and plaintext of a new key."""

    token: str
    identity: dict[str, str]
    make_key: Callable[..., tuple[int, str]]


@pytest.fixture(scope="session")
def authsvc(tmp_path_factory: pytest.TempPathFactory, new_database: Callable[[], str]) -> Iterator[Server]:
    """One service behind one proxy for all gateways."""
    running = Server(tmp_path_factory.mktemp("authsvc"), new_database(), TRUSTED_PROXIES="1")
    running.migrate()
    running.start()
    yield running
    assert running.stop() == 0


@pytest.fixture(scope="session")
def new_person(authsvc: Server) -> Callable[..., Person]:
    """Make users who have scopes."""

    def make(*scopes: str) -> Person:
        name = new_name()
        authsvc.sign_up(name)
        if scopes:
            words = [word for scope in scopes for word in ("--scope", scope)]
            assert authsvc.manage("grant_role", name, f"role-{name}", *words).returncode == 0
        login = authsvc.http.post("/auth/login", json={"username": name, "password": PASSWORD})
        token = login.json()["access_token"]
        user = authsvc.http.get("/auth/me", headers=bearer(token)).json()

        def make_key(**fields: Any) -> tuple[int, str]:
            made = authsvc.http.post("/keys/create", json={"name": "a key", **fields}, headers=bearer(token))
            assert made.status_code == 201, made.text
            return made.json()["id"], made.json()["key"]

        identity = {"x-auth-subject": str(user["id"]), "x-auth-username": name, "x-auth-method": "jwt"}
        if scopes:
            identity |= {"x-auth-roles": f"role-{name}", "x-auth-scopes": " ".join(sorted(scopes))}
        return Person(token, identity, make_key)

    return make


@pytest.fixture(scope="session")
def caller(new_person: Callable[..., Person]) -> Person:
    """Somebody with good credentials and no scope."""
    return new_person()


@pytest.fixture(scope="session")
def reporter(new_person: Callable[..., Person]) -> Person:
    """Somebody who may read reports."""
    return new_person("reports:read")


@pytest.fixture(scope="session")
def recorders() -> Iterator[tuple[Recorder, Recorder]]:
    """The application, and a service in authsvc's place."""
    with Recorder() as application, Recorder() as liar:
        yield application, liar


@pytest.fixture
def application(recorders: tuple[Recorder, Recorder]) -> Recorder:
    """The application behind the gateways; nothing has reached it yet."""
    recorders[0].reset(200, {"Content-Type": "application/json"}, {"hello": "world"})
    return recorders[0]


@pytest.fixture
def liar(recorders: tuple[Recorder, Recorder]) -> Recorder:
    """What answers in authsvc's place at ``deceived``; it has been asked nothing yet."""
    recorders[1].reset()
    return recorders[1]


@pytest.fixture(scope="session")
def run(
    recorders: tuple[Recorder, Recorder], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str, int], Gateway]]:
    """Start a gateway of a kind that asks the service on a port; for each pair there is one."""
    running: dict[tuple[str, int], Gateway] = {}

    with ExitStack() as stack:

        def start(kind: str, port: int) -> Gateway:
            if (kind, port) not in running:
                gateway = Gateway(kind, tmp_path_factory.mktemp(kind), port, recorders[0].port)
                stack.callback(gateway.stop)
                running[kind, port] = gateway
            return running[kind, port]

        yield start


@pytest.fixture(
    params=[pytest.param(kind, marks=pytest.mark.skipif(program(kind) is None, reason=f"no {kind}")) for kind in KINDS]
)
def kind(request: pytest.FixtureRequest) -> str:
    """Each kind of gateway in turn."""
    return str(request.param)


@pytest.fixture
def gateway(kind: str, run: Callable[[str, int], Gateway], authsvc: Server, application: Recorder) -> Gateway:
    """A gateway that asks the real service."""
    started = run(kind, authsvc.port)
    application.reset(200, {"Content-Type": "application/json"}, {"hello": "world"})
    return started


@pytest.fixture
def deceived(kind: str, run: Callable[[str, int], Gateway], liar: Recorder, application: Recorder) -> Gateway:
    """A gateway that asks ``liar``."""
    started = run(kind, liar.port)
    liar.reset()
    application.reset(200, {"Content-Type": "application/json"}, {"hello": "world"})
    return started
