"""A PostgreSQL that accepts and never answers, that only reads, or that has other defaults."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import httpx
import pytest

from tests.flows.conftest import PASSWORD, Server, bearer, eventually, free_port, new_name
from tests.flows.postgres import Postgres, program
from tests.flows.proxy import Proxy
from tests.flows.test_database_away import AWAY

TIMEOUT = 3  # seconds, DATABASE_TIMEOUT
SLACK = 2.0  # seconds that a busy machine may add
READY = 3.0  # seconds, the promise of /readyz
AGAIN = 2.0  # seconds until requests are served again


class Cast(NamedTuple):
    """A server whose PostgreSQL is a test's own, and somebody who may call it."""

    server: Server
    postgres: Postgres
    user: dict[str, str]

    def call(self, path: str = "/auth/me") -> tuple[httpx.Response, float]:
        """Call on a connection of its own; the answer, and the seconds that it took."""
        began = time.monotonic()
        answer = httpx.get(f"{self.server.url}{path}", headers=self.user, timeout=60, trust_env=False)
        return answer, time.monotonic() - began

    @property
    def username(self) -> str:
        """The name of the user."""
        return str(self.server.http.get("/auth/me", headers=self.user).json()["username"])


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    if program("initdb") is None:
        pytest.skip("no initdb")
    with TemporaryDirectory(prefix="authsvc-postgres-") as folder:  # pytest's own only its user may enter
        running = Postgres(Path(folder), free_port())
        yield running
        running.stop()


@pytest.fixture(scope="module")
def cast(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cast]:
    server = Server(tmp_path_factory.mktemp("server"), postgres.url, DATABASE_TIMEOUT=str(TIMEOUT))
    server.migrate()
    server.start()
    yield Cast(server, postgres, bearer(server.sign_up(new_name())))
    assert server.stop() == 0


@pytest.fixture
def frozen(cast: Cast) -> Iterator[Cast]:
    """The cast while its PostgreSQL is frozen, with open connections."""
    assert cast.call()[0].status_code == 200
    cast.postgres.freeze()
    yield cast
    cast.postgres.thaw()
    eventually(lambda: cast.call("/readyz")[0].status_code == 200)


def test_a_frozen_database_is_a_503_in_time_and_then_without_a_wait(frozen: Cast) -> None:
    with ThreadPoolExecutor(4) as pool:
        first = list(pool.map(lambda _: frozen.call(), range(4)))
    assert [(answer.status_code, answer.json()) for answer, _ in first] == [(503, AWAY)] * 4
    assert all(int(answer.headers["Retry-After"]) > 0 for answer, _ in first)
    assert TIMEOUT - 0.5 < max(took for _, took in first) < TIMEOUT + SLACK
    with ThreadPoolExecutor(8) as pool:
        later = list(pool.map(lambda _: frozen.call(), range(16)))
    assert {answer.status_code for answer, _ in later} == {503}
    assert max(took for _, took in later) < TIMEOUT / 2
    assert frozen.call("/livez")[0].status_code == 200


def test_readyz_is_503_within_three_seconds_however_many_ask(frozen: Cast) -> None:
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: frozen.call("/readyz"), range(6)))
    assert {answer.status_code for answer, _ in answers} == {503}
    assert max(took for _, took in answers) < READY
    assert frozen.call("/livez")[0].status_code == 200
    assert frozen.call("/metrics")[0].status_code == 200


def test_it_serves_again_as_soon_as_the_database_does(frozen: Cast) -> None:
    assert frozen.call()[0].status_code == 503
    frozen.postgres.thaw()
    began = time.monotonic()
    eventually(lambda: frozen.call()[0].status_code == 200)
    assert time.monotonic() - began < AGAIN + SLACK
    with ThreadPoolExecutor(8) as pool:
        assert {answer.status_code for answer, _ in pool.map(lambda _: frozen.call(), range(32))} == {200}


def test_junk_is_refused_without_the_database_meanwhile(frozen: Cast) -> None:
    answer = httpx.get(f"{frozen.server.url}/auth/me", headers=bearer("junk"), timeout=5, trust_env=False)
    assert answer.status_code == 401


def test_a_short_freeze_is_waited_for(cast: Cast) -> None:
    assert cast.call()[0].status_code == 200
    cast.postgres.freeze()
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(cast.call)
        time.sleep(TIMEOUT / 3)
        cast.postgres.thaw()
        assert waiting.result(timeout=30)[0].status_code == 200


def test_a_stop_with_a_frozen_database_ends_and_says_what_it_lost(
    postgres: Postgres, cast: Cast, tmp_path_factory: pytest.TempPathFactory
) -> None:
    token = cast.user["Authorization"].removeprefix("Bearer ")
    _, key = cast.server.make_key(token)
    environment = {"DATABASE_TIMEOUT": str(TIMEOUT), "SECRET_KEY": cast.server.environment["SECRET_KEY"]}
    other = Server(tmp_path_factory.mktemp("server"), postgres.url, **environment)
    other.start()
    eventually(lambda: httpx.get(f"{other.url}/auth/verify", headers={"X-API-Key": key}).status_code == 200)
    postgres.freeze()
    began = time.monotonic()
    status = other.stop()
    took = time.monotonic() - began
    postgres.thaw()
    eventually(lambda: cast.call("/readyz")[0].status_code == 200)
    assert (status, took < 15) == (0, True)
    assert other.log.read_text().count("uses of keys could not be written before the process stopped") == 1


def test_a_network_that_drops_packets_is_no_different(
    postgres: Postgres, cast: Cast, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with Proxy("127.0.0.1", postgres.port) as proxy:
        url = postgres.url.replace(str(postgres.port), str(proxy.port))
        environment = {"DATABASE_TIMEOUT": str(TIMEOUT), "SECRET_KEY": cast.server.environment["SECRET_KEY"]}
        server = Server(tmp_path_factory.mktemp("server"), url, **environment)
        server.start()
        behind = Cast(server, postgres, cast.user)
        assert behind.call()[0].status_code == 200
        proxy.swallow()
        answer, took = behind.call()
        assert (answer.status_code, TIMEOUT - 0.5 < took < TIMEOUT + SLACK) == (503, True)
        assert (behind.call("/readyz")[0].status_code, behind.call("/livez")[0].status_code) == (503, 200)
        proxy.restore()
        eventually(lambda: behind.call()[0].status_code == 200, seconds=10)
        assert server.stop() == 0


# --- A server that only reads ---------------------------------------------------------------------------------------


def test_a_server_that_only_reads_is_not_ready_and_is_left_when_it_can_be(cast: Cast) -> None:
    cast.postgres.execute("ALTER DATABASE postgres SET default_transaction_read_only = on")
    cast.postgres.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
    )
    username = cast.username
    log_in = {"username": username, "password": PASSWORD}
    assert cast.server.http.post("/auth/login", json=log_in).status_code == 503
    ready = cast.server.http.get("/readyz")
    assert (ready.status_code, ready.json()["detail"]) == (503, "The database is read-only.")
    assert cast.call()[0].status_code == 200
    cast.postgres.execute("ALTER DATABASE postgres RESET default_transaction_read_only")
    eventually(lambda: cast.server.http.get("/readyz").status_code == 200, seconds=5)
    eventually(lambda: cast.server.http.post("/auth/login", json=log_in).status_code == 200, seconds=5)
    log = cast.server.log.read_text()
    assert "InternalError 25006: cannot execute" in log


# --- Other defaults of a database -----------------------------------------------------------------------------------


def test_other_defaults_of_a_database_change_nothing(
    postgres: Postgres, tmp_path_factory: pytest.TempPathFactory
) -> None:
    postgres.execute("CREATE DATABASE odd")
    for name, value in {
        "default_transaction_isolation": "serializable",
        "datestyle": "German, DMY",
        "intervalstyle": "iso_8601",
        "timezone": "Asia/Tokyo",
        "standard_conforming_strings": "off",
        "client_encoding": "LATIN1",
    }.items():
        postgres.execute(f"ALTER DATABASE odd SET {name} = '{value}'")
    server = Server(tmp_path_factory.mktemp("server"), postgres.url.removesuffix("postgres") + "odd")
    server.migrate()
    server.start()
    server.sign_up(name := new_name())
    body = {"username": name, "password": PASSWORD}
    with ThreadPoolExecutor(24) as pool:
        answers = [pool.submit(server.http.post, "/auth/login", json=body) for _ in range(24)]
    assert [answer.result(60).status_code for answer in answers] == [200] * 24
    token = answers[0].result(60).json()["access_token"]
    made = server.http.post("/keys", json={"name": "Ключ"}, headers=bearer(token))
    assert (made.status_code, made.json()["name"]) == (201, "Ключ")
    assert server.stop() == 0


def test_a_database_without_utf8_is_refused_in_one_sentence(
    postgres: Postgres, tmp_path_factory: pytest.TempPathFactory
) -> None:
    postgres.execute("CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'")
    server = Server(tmp_path_factory.mktemp("server"), postgres.url.removesuffix("postgres") + "latin")
    sentence = "The database has the encoding LATIN1; it must have UTF8"
    done = server.run([sys.executable, "-c", "import authsvc.wsgi"])
    assert (done.returncode, done.stderr.strip()) == (1, f"authsvc: {sentence}.")
    listed = server.manage("list_api_keys")
    told = f"The database cannot be used: {sentence}; DATABASE_URL names it."
    assert (listed.returncode, listed.stderr.strip()) == (1, told)
    server.http.close()
