"""psycopg's connection with deadlines, and what each session of PostgreSQL is told."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from django.db import DEFAULT_DB_ALIAS, InternalError, OperationalError, connection, transaction
from psycopg.errors import ConnectionTimeout

from authsvc.database import deadlines
from authsvc.database.breaker import breaker
from authsvc.database.connections import drop_dead_connections, unsupported
from authsvc.database.deadlines import budget, within
from authsvc.database.errors import DatabaseTimeoutError, UnsupportedDatabaseError, describe
from authsvc.database.libpq import Statement
from authsvc.database.postgresql import pooled, session
from authsvc.database.postgresql.driver import Connection, connect
from authsvc.database.postgresql.session import Serving, configure

SLEEP = "SELECT pg_sleep(3)"  # no longer: the server goes on with it, and the database is to be dropped


@pytest.fixture(autouse=True)
def watched() -> None:
    """Deadlines are enforced in this process."""
    deadlines.start_watchdog()


@pytest.fixture
def raw(django_db_setup: None) -> Iterator[Connection]:
    """A connection below Django's that is nobody else's."""
    opened = connect(connection.get_connection_params())
    yield opened
    opened.close()


@pytest.fixture
def tripped(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """How often the breaker was to open."""
    found: list[bool] = []
    monkeypatch.setattr(breaker, "trip", lambda: found.append(True))
    return found


@pytest.mark.parametrize("way", ["cursor", "libpq", "rollback"])
def test_a_call_that_is_not_answered_ends_at_the_deadline(tripped: list[bool], way: str, django_db_setup: None) -> None:
    raw = connect(connection.get_connection_params())
    calls: dict[str, Any] = {
        "cursor": lambda: raw.execute(SLEEP),
        "libpq": lambda: Statement(raw, "SELECT pg_sleep(%s::int)").fetch(3),
        "rollback": lambda: raw.execute(SLEEP + "; ROLLBACK"),
    }
    began = time.monotonic()
    with within(0.3), pytest.raises(DatabaseTimeoutError, match="did not answer in time"):
        calls[way]()
    assert 0.25 < time.monotonic() - began < 10
    assert (raw.closed, tripped) == (True, [True])
    raw.close()


def test_the_waits_of_one_request_add_up(tripped: list[bool], raw: Connection) -> None:
    with within(0.5):
        for _ in range(2):
            raw.execute("SELECT pg_sleep(0.2)")
        assert 0 < budget.left < 0.15
        with pytest.raises(DatabaseTimeoutError):
            raw.execute("SELECT pg_sleep(2)")
    assert (raw.closed, tripped) == (True, [True])


def test_without_a_budget_nothing_is_cut_off(raw: Connection) -> None:
    assert raw.execute("SELECT 1 FROM pg_sleep(0.3)").fetchone() == (1,)
    assert not raw.line.is_shut


def test_without_time_left_nothing_is_sent(raw: Connection) -> None:
    with within(0):
        with pytest.raises(DatabaseTimeoutError, match="in time"):
            Statement(raw, "SELECT %s::int").fetch(1)
        with pytest.raises(DatabaseTimeoutError, match="in time"):
            connect(connection.get_connection_params())
    assert Statement(raw, "SELECT %s::int").fetch(1) == (1,)


def test_while_the_breaker_is_open_only_probes_pass(raw: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(breaker, "is_open", True)
    for call in (lambda: raw.execute("SELECT 1"), lambda: connect(connection.get_connection_params())):
        with pytest.raises(DatabaseTimeoutError, match="does not answer"):
            call()
    with within(5, exempt=True):
        assert raw.execute("SELECT 1").fetchone() == (1,)


@pytest.mark.parametrize(("exempt", "trips"), [(False, [True]), (True, [])], ids=["a request", "a probe"])
def test_all_attempts_to_connect_together_end_at_the_deadline(
    tripped: list[bool], exempt: bool, trips: list[bool]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        addresses = {"host": "127.0.0.1,127.0.0.1,127.0.0.1", "port": f"{port},{port},{port}", "connect_timeout": 3}
        began = time.monotonic()
        with within(0.5, exempt=exempt), pytest.raises(ConnectionTimeout):
            connect({**connection.get_connection_params(), **addresses})
        assert (time.monotonic() - began < 3, tripped) == (True, trips)


def test_a_connection_that_is_gone_leaves_no_descriptor(raw: Connection) -> None:
    line = raw.line
    assert line in deadlines.lines
    raw.close()
    assert line not in deadlines.lines
    raw.close()


# --- The session ----------------------------------------------------------------------------------------------------


def settings_of(raw: Any, *names: str) -> list[str]:
    return [raw.execute(f"SELECT current_setting('{name}')").fetchone()[0] for name in names]


@pytest.mark.parametrize(("serving", "found"), [(True, ["9500ms", "1s", "9500ms"]), (False, ["0", "1s", "0"])])
def test_a_process_that_serves_has_time_outs_and_what_the_url_sets_wins(
    monkeypatch: pytest.MonkeyPatch, django_db_setup: None, serving: bool, found: list[str]
) -> None:
    monkeypatch.setattr(Serving, "active", serving)
    options = {"options": "-c lock_timeout=1s -c DateStyle=German"}
    raw = connect({**connection.get_connection_params(), **options})
    configure(raw, {**connection.settings_dict, "OPTIONS": options})
    assert settings_of(raw, *session.TIMEOUTS) == found
    assert settings_of(raw, "datestyle", "default_transaction_isolation") == ["German, DMY", "read committed"]
    raw.close()


def test_where_the_url_sets_everything_nothing_is_sent(raw: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "wanted_settings", lambda raw: {"datestyle": "German, DMY"})
    configure(raw, {**connection.settings_dict, "OPTIONS": {"options": "--datestyle=ISO"}})
    assert settings_of(raw, "datestyle") == ["ISO, MDY"]


def test_a_database_of_another_encoding_is_refused(raw: Connection) -> None:
    raw.autocommit, name = True, f"latin_{os.getpid()}"
    raw.execute(f"CREATE DATABASE {name} ENCODING 'LATIN1' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'".encode())
    other = connect({**connection.get_connection_params(), "dbname": name})
    with pytest.raises(UnsupportedDatabaseError, match="has the encoding LATIN1"):
        configure(other, connection.settings_dict)
    other.close()
    raw.execute(f"DROP DATABASE {name}".encode())


def test_behind_a_pooler_the_role_must_have_what_a_session_is_not_told(
    db: None, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert pooled.missing_settings() == {}
    monkeypatch.setattr(connection.connection, "is_pooled", True)
    wanted = dict.fromkeys(session.TIMEOUTS, "10s")
    assert pooled.missing_settings() == wanted
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL default_transaction_isolation = 'serializable'")
    assert pooled.missing_settings() == {**wanted, "default_transaction_isolation": "read committed"}


def test_a_connection_that_fails_half_way_is_none(django_db_setup: None, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Connection] = []

    def fail(raw: Connection, database: dict[str, Any]) -> None:
        opened.append(raw)
        raise UnsupportedDatabaseError("The database is odd.")

    other: Any = connection.copy()
    monkeypatch.setattr("authsvc.database.postgresql.base.configure", fail)
    with pytest.raises(UnsupportedDatabaseError):
        other.connect()
    assert (other.connection, opened[0].closed) == (None, True)


@pytest.mark.usefixtures("committed")
def test_what_cannot_be_worked_with_is_told_from_what_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    assert unsupported() == ""
    with monkeypatch.context() as patch:
        patch.setattr("authsvc.database.postgresql.base.configure", lambda *given: refuse())
        assert unsupported() == "The database is odd."
        patch.setattr("authsvc.database.postgresql.base.connect", lambda parameters: refuse_to_connect())
        assert unsupported() == ""


def refuse() -> None:
    raise UnsupportedDatabaseError("The database is odd.")


def refuse_to_connect() -> None:
    raise psycopg.OperationalError("away")


# --- Connections that are replaced ----------------------------------------------------------------------------------


@pytest.mark.usefixtures("committed")
def test_a_connection_that_turned_read_only_is_replaced_before_the_next_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(breaker, "replaced_at", float("-inf"))
    drop_dead_connections()
    connection.ensure_connection()
    before: Any = connection.connection
    with connection.cursor() as cursor:
        cursor.execute("SET default_transaction_read_only = on")
        with pytest.raises(InternalError) as refused:
            cursor.execute("CREATE TABLE nowhere ()")
    assert describe(refused.value) == ("InternalError 25006: cannot execute CREATE TABLE in a read-only transaction")
    assert connection.connection is before
    drop_dead_connections()
    assert (connection.connection, before.closed) == (None, True)


@pytest.mark.usefixtures("committed")
@pytest.mark.parametrize(("sqlstate", "kept"), [("25P03", False), ("57P04", False), ("57014", True), ("55P03", True)])
def test_of_other_errors_those_are_replaced_that_another_server_may_not_have(sqlstate: str, kept: bool) -> None:
    drop_dead_connections()
    connection.ensure_connection()
    before = connection.connection
    with pytest.raises((InternalError, OperationalError)), connection.cursor() as cursor:
        cursor.execute(f"DO $$ BEGIN RAISE EXCEPTION 'so' USING ERRCODE = '{sqlstate}'; END $$")
    drop_dead_connections()
    connection.ensure_connection()
    assert (connection.connection is before) == kept


@pytest.mark.usefixtures("committed")
@pytest.mark.parametrize("failed", [True, False])
def test_after_a_time_out_of_the_process_every_connection_is_replaced(
    monkeypatch: pytest.MonkeyPatch, failed: bool
) -> None:
    drop_dead_connections()
    connection.ensure_connection()
    before: Any = connection.connection
    monkeypatch.setattr(breaker, "generation", breaker.generation + 1)
    connection.errors_occurred = failed
    drop_dead_connections()
    assert (connection.connection, before.closed) == (None, True)


@pytest.mark.usefixtures("committed")
def test_looking_at_a_connection_after_an_error_asks_nobody(django_assert_num_queries: Any) -> None:
    drop_dead_connections()
    connection.ensure_connection()
    usable: Any = connection
    with django_assert_num_queries(0):
        assert usable.is_usable()
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        assert not usable.is_usable()
    assert connection.alias == DEFAULT_DB_ALIAS
