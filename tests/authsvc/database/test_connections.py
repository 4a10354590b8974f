"""Connections that died meanwhile, and those that did not."""

import os
import subprocess
import sys
from typing import Any

import pytest
from django.core.signals import request_started
from django.db import connection, reset_queries

from authsvc.database.connections import drop_dead_connections, keep_connections
from tests.authsvc.conftest import ROOT
from tests.conftest import Api
from tests.factories import UserFactory, token_of


def terminate() -> None:
    """End this connection's server process, as a restart of PostgreSQL does, and wait until it has ended."""
    other = connection.copy()
    with other.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [connection.connection.info.backend_pid])
    other.close()


def touch() -> None:
    """Write by another connection: SQLite has no server that could hang up, so this is the most that can happen."""
    other = connection.copy()
    with other.cursor() as cursor:
        cursor.execute("UPDATE accounts_user SET is_staff = is_staff")
    other.close()


HANG_UP = {"postgresql": terminate, "sqlite": touch}


@pytest.mark.usefixtures("committed")
def test_a_request_after_the_database_hung_up_is_served_by_a_new_connection(
    api: Api, django_assert_num_queries: Any
) -> None:
    token = token_of(UserFactory())
    before = connection.connection
    HANG_UP[connection.vendor]()
    with django_assert_num_queries(1):
        assert api.get("/auth/me", token=token).status_code == 200
    assert (connection.connection is before) == (connection.vendor == "sqlite")


@pytest.mark.usefixtures("committed")
def test_a_connection_that_lives_is_kept_from_request_to_request(api: Api) -> None:
    token = token_of(UserFactory())
    before = connection.connection
    assert [api.get("/auth/me", token=token).status_code for _ in range(3)] == [200, 200, 200]
    assert connection.connection is before


@pytest.mark.usefixtures("committed")
def test_a_connection_that_is_closed_already_stays_so() -> None:
    connection.close()
    drop_dead_connections()
    assert connection.connection is None


@pytest.mark.usefixtures("committed")
def test_a_connection_that_was_closed_below_django_is_replaced(api: Api) -> None:
    token = token_of(UserFactory())
    connection.close()  # one from before another test's failover would be replaced anyway
    connection.ensure_connection()
    if connection.vendor == "postgresql":  # SQLite has no other end to lose
        connection.connection.close()
    assert [api.get("/auth/me", token=token).status_code for _ in range(2)] == [200, 200]


@pytest.mark.usefixtures("db")
def test_a_connection_inside_a_transaction_is_left_alone() -> None:
    before = connection.connection
    drop_dead_connections()
    assert connection.in_atomic_block
    assert connection.connection is before


@pytest.mark.usefixtures("committed")
def test_a_connection_on_which_something_failed_is_looked_at_before_the_next_request(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = token_of(UserFactory())
    usable: list[bool] = []
    monkeypatch.setattr(connection, "is_usable", lambda: usable.append(False) or False)
    connection.errors_occurred = True
    before = connection.connection
    assert api.get("/auth/me", token=token).status_code == 200
    assert (usable, connection.connection is before, connection.errors_occurred) == ([False], False, False)


def test_the_log_of_queries_is_emptied_at_each_request_as_long_as_debug_keeps_one(settings: Any) -> None:
    request_started.connect(reset_queries)
    kept = []
    for settings.DEBUG in (True, False):
        keep_connections()
        kept.append(request_started.disconnect(reset_queries))
        request_started.connect(reset_queries)
    request_started.disconnect(reset_queries)
    assert kept == [True, False]


WATCHING = """
import django
django.setup()
from django.core.signals import request_finished, request_started
print(sorted(found().__name__ for signal in (request_started, request_finished) for _, found, *_ in signal.receivers))
"""


def test_of_djangos_resets_none_is_on_a_requests_path_but_that_of_the_log_of_queries_where_there_is_one() -> None:
    # In a process of its own: Django's test client connects them anew.
    said = {}
    for debug in ("false", "true"):
        environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "authsvc.settings", "DEBUG": debug}
        command = [sys.executable, "-c", WATCHING]
        said[debug] = subprocess.run(
            command, capture_output=True, text=True, check=True, cwd=ROOT, env=environment, timeout=60
        )
    assert said["false"].stdout.strip() == "['drop_dead_connections']"
    assert said["true"].stdout.strip() == "['drop_dead_connections', 'reset_queries']"
