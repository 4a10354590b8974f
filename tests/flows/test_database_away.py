"""PostgreSQL goes away and comes back, behind a proxy that these tests cut."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import httpx
import psycopg
import pytest

from tests.conftest import BAD_CREDENTIAL, NO_CREDENTIAL
from tests.flows.conftest import PASSWORD, Server, bearer, eventually, new_name
from tests.flows.proxy import Proxy

THREADS = 8
WAITING = (
    "SELECT count(*) FROM pg_locks JOIN pg_database ON pg_database.oid = database"
    " WHERE NOT granted AND datname = current_database()"
)
AWAY = {
    "type": "about:blank",
    "title": "Service Unavailable",
    "status": 503,
    "detail": "The database cannot be reached; try again shortly.",
}


class Cast(NamedTuple):
    """A server behind a proxy, and somebody who may call it."""

    server: Server
    proxy: Proxy
    user: dict[str, str]
    service: dict[str, str]

    def me(self) -> httpx.Response:
        """Call what takes one query, on a connection of its own."""
        return httpx.get(f"{self.server.url}/auth/me", headers=self.user, timeout=60, trust_env=False)


@pytest.fixture(scope="module")
def cast(tmp_path_factory: pytest.TempPathFactory, new_database: Callable[[], str]) -> Iterator[Cast]:
    direct = new_database()
    parts = urlsplit(direct)
    with Proxy(str(parts.hostname), parts.port or 5432) as proxy:
        through = parts._replace(netloc=f"{parts.username}:{parts.password or ''}@127.0.0.1:{proxy.port}").geturl()
        server = Server(tmp_path_factory.mktemp("server"), through, THREADS=str(THREADS))
        server.migrate()
        server.start()
        server.database_url = direct
        token = server.sign_up(new_name())
        yield Cast(server, proxy, bearer(token), {"X-API-Key": server.make_key(token)[1]})
        assert server.stop() == 0


@pytest.fixture
def away(cast: Cast) -> Iterator[Cast]:
    """The cast while the database is away."""
    cast.proxy.cut()
    yield cast
    cast.proxy.restore()


@contextmanager
def calls_that_wait_in_the_database(cast: Cast, number: int) -> Iterator[list[Future[httpx.Response]]]:
    """Make so many calls of /auth/me, each in a thread of the server's that waits for a lock in PostgreSQL."""
    with psycopg.connect(cast.server.database_url) as blocker, ThreadPoolExecutor(number) as pool:
        blocker.execute("LOCK TABLE accounts_user IN ACCESS EXCLUSIVE MODE")
        calls = [pool.submit(cast.me) for _ in range(number)]
        eventually(lambda: blocker.execute(WAITING).fetchone() == (number,))
        try:
            yield calls
        finally:
            blocker.rollback()


def call_all_threads(cast: Cast) -> list[int]:
    """Return the status of one call on each of the server's threads at once."""
    with calls_that_wait_in_the_database(cast, THREADS) as calls:
        pass
    return [call.result(60).status_code for call in calls]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        pytest.param("GET", "/auth/me", None, id="me"),
        pytest.param("GET", "/protected/user", None, id="user"),
        pytest.param("GET", "/protected/service", None, id="service"),
        pytest.param("GET", "/protected/any", None, id="any"),
        pytest.param("GET", "/keys", None, id="list keys"),
        pytest.param("GET", "/keys/1", None, id="read key"),
        pytest.param("POST", "/keys", {"name": "x"}, id="create key"),
        pytest.param("PATCH", "/keys/1", {"name": "x"}, id="change key"),
        pytest.param("DELETE", "/keys/1", None, id="revoke key"),
        pytest.param("POST", "/auth/login", {"username": "x", "password": PASSWORD}, id="login"),
        pytest.param(
            "POST", "/auth/signup", {"username": "x", "email": "x@example.com", "password": PASSWORD}, id="sign-up"
        ),
    ],
)
def test_each_route_that_needs_the_database_says_so_and_when_to_come_back(
    away: Cast, method: str, path: str, body: Any
) -> None:
    answer = away.server.http.request(method, path, json=body, headers={**away.user, **away.service})
    assert (answer.status_code, answer.json()) == (503, AWAY)
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert int(answer.headers["Retry-After"]) > 0


def test_probes_tell_a_process_that_is_up_from_a_database_that_is_away(away: Cast) -> None:
    livez, readyz = away.server.http.get("/livez"), away.server.http.get("/readyz")
    assert (livez.status_code, livez.json()) == (200, {"status": "ok"})
    assert (readyz.status_code, readyz.json()) == (503, {**AWAY, "detail": "The database cannot be reached."})


@pytest.mark.parametrize(
    ("path", "headers", "body"),
    [
        pytest.param("/auth/me", {}, NO_CREDENTIAL, id="nothing sent"),
        pytest.param("/auth/me", bearer("junk"), BAD_CREDENTIAL, id="junk token"),
        pytest.param("/protected/service", {"X-API-Key": "junk"}, BAD_CREDENTIAL, id="junk key"),
        pytest.param("/protected/service", {"X-API-Key": f"sk_{'a' * 49}"}, BAD_CREDENTIAL, id="checksum wrong"),
    ],
)
def test_junk_is_refused_without_the_database(
    away: Cast, path: str, headers: dict[str, str], body: dict[str, Any]
) -> None:
    answer = away.server.http.get(path, headers=headers)
    assert (answer.status_code, answer.json()) == (401, body)


@pytest.mark.parametrize("path", ["/docs", "/redoc", "/openapi.json", "/admin/login/"])
def test_pages_that_need_no_database_are_there_without_one(away: Cast, path: str) -> None:
    assert away.server.http.get(path).status_code == 200
    assert away.server.http.get("/livez").status_code == 200


def test_an_operator_who_logs_in_meanwhile_is_told_so_too(away: Cast) -> None:
    page = away.server.http.get("/admin/login/")
    token = page.cookies["csrftoken"]
    answer = away.server.http.post(
        "/admin/login/", data={"username": "x", "password": "y", "csrfmiddlewaretoken": token}
    )
    away.server.http.cookies.clear()
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) > 0


@pytest.mark.parametrize("calls_meanwhile", [0, 3 * THREADS], ids=["nobody called meanwhile", "all called meanwhile"])
def test_the_first_call_on_each_thread_succeeds_once_the_database_is_back(cast: Cast, calls_meanwhile: int) -> None:
    assert call_all_threads(cast) == [200] * THREADS
    cast.proxy.cut()
    with ThreadPoolExecutor(THREADS) as pool:
        meanwhile = [pool.submit(cast.me) for _ in range(calls_meanwhile)]
    assert [call.result(60).status_code for call in meanwhile] == [503] * calls_meanwhile
    cast.proxy.restore()
    assert call_all_threads(cast) == [200] * THREADS
    assert [cast.me().status_code for _ in range(2 * THREADS)] == [200] * 2 * THREADS


def test_connections_that_postgresql_ended_are_noticed_before_they_are_used(cast: Cast) -> None:
    assert call_all_threads(cast) == [200] * THREADS
    with psycopg.connect(cast.server.database_url) as other:
        ended = other.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        ).fetchall()
    assert ended.count((True,)) >= THREADS
    assert call_all_threads(cast) == [200] * THREADS


def test_calls_that_wait_in_the_database_when_it_goes_away_are_answered_at_once(cast: Cast) -> None:
    with calls_that_wait_in_the_database(cast, THREADS) as calls:
        cast.proxy.cut()
        answers = [call.result(timeout=10) for call in calls]
    cast.proxy.restore()
    assert [(answer.status_code, answer.json()) for answer in answers] == [(503, AWAY)] * THREADS
    assert all(int(answer.headers["Retry-After"]) > 0 for answer in answers)
    assert cast.me().status_code == 200


def test_a_database_that_accepts_and_never_answers_is_away_too(cast: Cast) -> None:
    cast.proxy.mute()
    with ThreadPoolExecutor() as pool:
        me, readyz = pool.submit(cast.me), pool.submit(cast.server.http.get, "/readyz")
        assert cast.server.http.get("/livez", timeout=2).status_code == 200
    cast.proxy.restore()
    assert (me.result(60).status_code, readyz.result(60).status_code) == (503, 503)
    eventually(lambda: cast.me().status_code == 200, seconds=10)


@pytest.fixture
def standby(cast: Cast) -> Iterator[Cast]:
    """The cast while the database refuses writes, as a standby does after a failover."""
    set_read_only(cast, "on")
    yield cast
    set_read_only(cast, "off")


def set_read_only(cast: Cast, value: str) -> None:
    """Let the database refuse or take writes, and make the server connect anew."""
    name = urlsplit(cast.server.database_url).path[1:]
    with psycopg.connect(cast.server.database_url, autocommit=True) as connection:
        connection.execute("SET default_transaction_read_only = off")
        connection.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = {value}")
    cast.proxy.restore()


def test_a_write_that_the_database_refuses_for_now_is_no_failure_of_ours(standby: Cast) -> None:
    answer = standby.server.http.post("/keys", json={"name": "x"}, headers=standby.user)
    assert (answer.status_code, answer.json()) == (503, AWAY)
    assert standby.me().status_code == 200


def test_a_good_key_opens_though_the_database_cannot_note_its_first_use(cast: Cast) -> None:
    _, key = cast.server.make_key(cast.user["Authorization"].removeprefix("Bearer "))
    set_read_only(cast, "on")
    answer = cast.server.http.get("/protected/service", headers={"X-API-Key": key})
    set_read_only(cast, "off")
    assert answer.status_code == 200
    assert cast.server.http.get("/protected/service", headers={"X-API-Key": key}).status_code == 200
