"""What SQLite has for an outage: one connection writes, and the others that want to must wait."""

import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from threading import Timer
from typing import Any, NamedTuple

import httpx
import pytest

from tests.flows.conftest import PASSWORD, Server, bearer, new_name

BUSY_TIMEOUT = 10  # seconds, the default of DATABASE_TIMEOUT
AWAY = {
    "type": "about:blank",
    "title": "Service Unavailable",
    "status": 503,
    "detail": "The database cannot be reached; try again shortly.",
}


class Cast(NamedTuple):
    """A server on a file of its own, and somebody who may call it."""

    server: Server
    username: str
    user: dict[str, str]
    service: dict[str, str]
    key_id: int


@pytest.fixture(scope="module")
def cast(tmp_path_factory: pytest.TempPathFactory, new_database: Callable[[], str]) -> Iterator[Cast]:
    server = Server(tmp_path_factory.mktemp("server"), new_database())
    server.migrate()
    server.start()
    token = server.sign_up(username := new_name())
    key_id, key = server.make_key(token)
    yield Cast(server, username, bearer(token), {"X-API-Key": key}, key_id)
    assert server.stop() == 0


@contextmanager
def writer(cast: Cast) -> Iterator[sqlite3.Connection]:
    """Hold the file's one write lock, until the connection rolls back at the latest."""
    path = cast.server.database_url.removeprefix("sqlite:///")
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield connection


class Outage(NamedTuple):
    """What was answered while a writer held the lock, and how long it took in seconds."""

    reads: dict[str, int]
    reading: float
    writes: dict[str, httpx.Response]
    waited: float


@pytest.fixture(scope="module")
def outage(cast: Cast) -> Outage:
    """One long lock for all the tests that look at it."""
    http, (_, unused) = cast.server.http, cast.server.make_key(cast.user["Authorization"].removeprefix("Bearer "))
    # A key that was used this minute needs no writing.
    assert http.get("/protected/service", headers=cast.service).status_code == 200
    sign_up = {"username": "late", "email": "late@example.com", "password": PASSWORD}
    calls: dict[str, tuple[str, str, Any, dict[str, str]]] = {
        "create key": ("POST", "/keys", {"name": "x"}, cast.user),
        "change key": ("PATCH", f"/keys/{cast.key_id}", {"name": "x"}, cast.user),
        "revoke key": ("DELETE", f"/keys/{cast.key_id}", None, cast.user),
        "sign up": ("POST", "/auth/signup", sign_up, {}),
        # A login leaves a trace in the audit log, or it is none.
        "login": ("POST", "/auth/login", {"username": cast.username, "password": PASSWORD}, {}),
        "first use": ("GET", "/protected/service", None, {"X-API-Key": unused}),
    }
    with writer(cast), ThreadPoolExecutor() as pool:
        started = time.monotonic()
        writes = {
            name: pool.submit(http.request, method, path, json=body, headers=headers)
            for name, (method, path, body, headers) in calls.items()
        }
        reads = read_all(cast)
        reading = time.monotonic() - started
        answers = {name: write.result(60) for name, write in writes.items()}
        return Outage(reads, reading, answers, time.monotonic() - started)


def read_all(cast: Cast) -> dict[str, int]:
    """Return the status of each call that only reads."""
    http = cast.server.http
    answers: dict[str, httpx.Response] = {
        "me": http.get("/auth/me", headers=cast.user),
        "service": http.get("/protected/service", headers=cast.service),
        "keys": http.get("/keys", headers=cast.user),
        "readyz": http.get("/readyz"),
    }
    return {name: answer.status_code for name, answer in answers.items()}


def test_reads_go_on_while_a_writer_holds_the_lock(outage: Outage) -> None:
    assert outage.reads == {"me": 200, "service": 200, "keys": 200, "readyz": 200}
    assert outage.reading < BUSY_TIMEOUT / 2


@pytest.mark.parametrize("name", ["create key", "change key", "revoke key", "sign up", "login"])
def test_a_write_gives_up_after_the_busy_timeout_and_says_when_to_come_back(outage: Outage, name: str) -> None:
    answer = outage.writes[name]
    assert (answer.status_code, answer.json()) == (503, AWAY)
    assert int(answer.headers["Retry-After"]) > 0
    assert BUSY_TIMEOUT - 1 < outage.waited < BUSY_TIMEOUT + 10


def test_a_good_key_opens_though_the_database_cannot_note_its_first_use(outage: Outage) -> None:
    answer = outage.writes["first use"]
    assert (answer.status_code, answer.json().get("auth_method")) == (200, "api_key")


def test_a_write_waits_for_its_turn(cast: Cast) -> None:
    with writer(cast) as connection:
        ends, started = Timer(0.5, connection.rollback), time.monotonic()
        ends.start()
        answer = cast.server.http.post("/keys", json={"name": "patient"}, headers=cast.user)
        ends.join(60)
    assert answer.status_code == 201
    assert 0.4 < time.monotonic() - started < BUSY_TIMEOUT / 2


def test_what_was_refused_succeeds_once_the_lock_is_gone(outage: Outage, cast: Cast) -> None:
    sign_up = {"username": "late", "email": "late@example.com", "password": PASSWORD}
    assert outage.writes["sign up"].status_code == 503
    assert cast.server.http.post("/auth/signup", json=sign_up).status_code == 201
