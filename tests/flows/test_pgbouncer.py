"""PgBouncer in transaction mode between the service and PostgreSQL: each transaction may meet another connection."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from threading import Lock
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import httpx
import psycopg
import pytest
from django.db import connection

from authsvc.database.postgresql import session
from tests.flows.callers import calling
from tests.flows.conftest import ROOT, Server, bearer, eventually, free_port, new_name
from tests.flows.pgbouncer import PgBouncer, program
from tests.flows.revocations import KINDS, revoke_under_load
from tests.flows.test_revocation_bound import EACH, hold

POOL = 3  # connections to PostgreSQL for the 16 threads
NOT_PREPARED = "a connection pooler stands before PostgreSQL, so statements are not prepared"


class Pooled(NamedTuple):
    """A server of two processes whose database is behind PgBouncer."""

    server: Server
    direct: str


@pytest.fixture(scope="module")
def pgbouncer(tmp_path_factory: pytest.TempPathFactory, new_database: Callable[[], str]) -> Iterator[PgBouncer]:
    if program() is None:
        pytest.skip("no PgBouncer")
    with PgBouncer(tmp_path_factory.mktemp("pgbouncer"), new_database(), port=free_port(), pool=POOL) as running:
        yield running


@pytest.fixture(scope="module")
def pooled(
    pgbouncer: PgBouncer, tmp_path_factory: pytest.TempPathFactory, new_database: Callable[[], str]
) -> Iterator[Pooled]:
    direct = new_database()
    server = Server(tmp_path_factory.mktemp("server"), pgbouncer.through(direct), WEB_CONCURRENCY="2")
    server.migrate()
    server.start()
    yield Pooled(server, direct)
    assert server.stop() == 0


def test_each_call_is_answered_by_its_own_statement(pooled: Pooled) -> None:
    token = pooled.server.sign_up(name := new_name())
    _, key = pooled.server.make_key(token)
    shown = {
        "/auth/me": (bearer(token), "username", name),
        "/protected/service": ({"X-API-Key": key}, "auth_method", "api_key"),
        "/protected/user": (bearer(token), "auth_method", "jwt"),
    }

    def call(number: int) -> tuple[int, object]:
        path, (headers, field, expected) = list(shown.items())[number % len(shown)]
        answer = pooled.server.http.get(path, headers=headers)
        return answer.status_code, answer.json().get(field) == expected

    with ThreadPoolExecutor(16) as pool:
        assert set(pool.map(call, range(600))) == {(200, True)}
    assert "Internal Server Error" not in pooled.server.log.read_text()


def test_no_request_that_begins_after_a_revocation_was_acknowledged_is_let_in(pooled: Pooled) -> None:
    hold(revoke_under_load(pooled.server.url, pooled.server.operator(), EACH * len(KINDS)))


def test_postgresql_sees_the_pool_and_no_connection_for_each_thread(pooled: Pooled) -> None:
    with ThreadPoolExecutor(16) as pool:
        assert {answer.status_code for answer in pool.map(pooled.server.http.get, ["/readyz"] * 64)} == {200}
    with psycopg.connect(pooled.direct) as looker:
        counted = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        found = looker.execute(counted).fetchone()
        assert found is not None
        assert 0 < found[0] <= POOL


def test_each_process_says_once_that_nothing_is_prepared(pooled: Pooled) -> None:
    def told() -> bool:
        with ThreadPoolExecutor(16) as pool:  # each on a connection of its own, which any process may take
            calls = [pool.submit(httpx.get, f"{pooled.server.url}/readyz", trust_env=False) for _ in range(64)]
        assert {call.result(60).status_code for call in calls} == {200}
        return pooled.server.log.read_text().count(NOT_PREPARED) >= len(pooled.server.workers()) + 1

    eventually(told)
    told()
    # Each worker, and the process that looks at the settings before the first of them starts.
    assert pooled.server.log.read_text().count(NOT_PREPARED) == len(pooled.server.workers()) + 1


def test_a_command_beside_traffic_needs_no_cursor_of_the_servers(pooled: Pooled) -> None:
    _, key = pooled.server.make_key(pooled.server.sign_up(new_name()), "nightly export")
    with calling(pooled.server.port, [("/auth/verify", "X-API-Key", key)], 16):
        listed = pooled.server.manage("list_api_keys")
    assert listed.returncode == 0, listed.stderr
    assert "nightly export" in listed.stdout


@pytest.mark.parametrize(
    ("said", "threshold", "warnings"),
    [pytest.param(None, None, 1, id="nothing said"), pytest.param(True, 2, 0, id="said that they work")],
)
def test_where_the_address_says_nothing_a_look_at_the_connection_decides(
    pgbouncer: PgBouncer,
    django_db_blocker: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    said: bool | None,
    threshold: int | None,
    warnings: int,
) -> None:
    monkeypatch.setattr(session, "warned", Lock())
    pooled = connection.copy()
    address = {"HOST": "127.0.0.1", "PORT": pgbouncer.port, "NAME": "postgres", "PREPARED_STATEMENTS": said}
    pooled.settings_dict = {**pooled.settings_dict, **address}
    for _ in range(2):
        with django_db_blocker.unblock(), closing(pooled):
            pooled.connect()
            assert (pooled.connection.prepare_threshold, caplog.text.count(NOT_PREPARED)) == (threshold, warnings)


ODD = {"statement_timeout": "0", "default_transaction_isolation": "serializable", "datestyle": "German, DMY"}


def test_behind_a_pooler_a_check_names_what_the_role_must_have_set(
    pooled: Pooled, pgbouncer: PgBouncer, new_database: Callable[[], str]
) -> None:
    direct = new_database()
    name = urlsplit(direct).path[1:]
    with psycopg.connect(direct, autocommit=True) as owner:
        for setting, value in ODD.items():
            owner.execute(f"ALTER DATABASE {name} SET {setting} = '{value}'".encode())
    environment = {**pooled.server.environment, "DATABASE_URL": pgbouncer.through(direct)}
    found = checked(environment)
    assert "(authsvc.W002)" in found
    for setting, value in {
        "statement_timeout": "10s",
        "lock_timeout": "10s",
        "idle_in_transaction_session_timeout": "10s",
        "default_transaction_isolation": "read committed",
    }.items():
        assert f"ALTER ROLE somebody SET {setting} = '{value}';" in found
        with psycopg.connect(direct, autocommit=True) as owner:
            owner.execute(f"ALTER DATABASE {name} SET {setting} = '{value}'".encode())
    assert "W002" not in checked({**environment, "DATABASE_URL": direct})
    with psycopg.connect(direct, autocommit=True) as owner:
        ended = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s AND pid <> %s"
        owner.execute(ended, [name, owner.info.backend_pid])
    assert "W002" not in checked(environment)


def checked(environment: dict[str, str]) -> str:
    """Return what the checks of a database say under some variables."""
    command = [sys.executable, "manage.py", "check", "--database", "default"]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    return done.stderr


def test_times_are_read_behind_a_pooler_whatever_the_databases_date_style(
    pgbouncer: PgBouncer, new_database: Callable[[], str], django_db_blocker: Any
) -> None:
    direct = new_database()
    with psycopg.connect(direct, autocommit=True) as owner:
        owner.execute(f"ALTER DATABASE {urlsplit(direct).path[1:]} SET datestyle = 'German, DMY'".encode())
    behind = connection.copy()
    behind.settings_dict = {
        **behind.settings_dict,
        "HOST": "127.0.0.1",
        "PORT": pgbouncer.port,
        "NAME": urlsplit(direct).path[1:],
    }
    with django_db_blocker.unblock(), closing(behind), behind.cursor() as cursor:
        cursor.execute("SELECT current_setting('datestyle'), timestamptz '2027-01-31 12:00Z'")
        style, moment = cursor.fetchone()
        assert (style, moment.isoformat()) == ("ISO, MDY", "2027-01-31T12:00:00+00:00")
