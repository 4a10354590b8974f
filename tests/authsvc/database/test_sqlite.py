"""SQLite's busy time-out: one for all statements of a request."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing

import pytest
from django.db import OperationalError, connection

from authsvc.database.deadlines import budget, within

INSERT = "INSERT INTO accounts_scope (name, description) VALUES (%s, %s)"


@pytest.fixture
def locked(committed: None) -> Iterator[None]:
    """Another connection holds the file's one write lock."""
    connection.ensure_connection()
    with closing(sqlite3.connect(str(connection.settings_dict["NAME"]), isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        yield
        writer.execute("ROLLBACK")
    connection.close()


@pytest.mark.usefixtures("locked")
@pytest.mark.parametrize("many", [False, True], ids=["execute", "executemany"])
def test_all_statements_of_a_request_wait_no_longer_than_it_may(many: bool) -> None:
    began = time.monotonic()
    with within(0.5), connection.cursor() as cursor:
        insert = cursor.executemany if many else cursor.execute
        for _ in range(3):
            with pytest.raises(OperationalError, match="locked"):
                insert(INSERT, [("a:b", "x"), ("c:d", "y")] if many else ("a:b", "x"))
        cursor.execute("SELECT count(*) FROM accounts_scope")  # reading goes on
        assert cursor.fetchone()[0] > 0
        assert budget.left < 0.1
    assert 0.3 < time.monotonic() - began < 5


@pytest.mark.usefixtures("committed")
def test_the_next_request_may_wait_again() -> None:
    with within(0.0), connection.cursor() as cursor:
        cursor.execute("PRAGMA busy_timeout")
        assert cursor.fetchone() == (0,)
    with within(60.0), connection.cursor() as cursor:
        cursor.execute("PRAGMA busy_timeout")
        assert cursor.fetchone() == (10_000,)
