"""What the log says of a database's errors."""

from __future__ import annotations

import sqlite3
from typing import Any

import psycopg
import pytest
from django.db import OperationalError, connection

from authsvc.database.errors import LONGEST_CAUSE, describe


def caused_by(cause: Exception) -> OperationalError:
    """Return Django's error of a driver's."""
    error = OperationalError("as Django repeats it")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("cause", "said"),
    [
        pytest.param(psycopg.OperationalError("refused\nDETAIL: a value"), "OperationalError: refused", id="first"),
        pytest.param(
            psycopg.errors.QueryCanceled("canceling"), "OperationalError 57014: canceling", id="SQLSTATE of its class"
        ),
        pytest.param(psycopg.OperationalError(""), "OperationalError: ", id="nothing"),
        pytest.param(psycopg.OperationalError("x" * 999), f"OperationalError: {'x' * LONGEST_CAUSE}", id="long"),
        pytest.param(psycopg.OperationalError("of hunter22"), "OperationalError: of ***", id="password"),
        pytest.param(sqlite3.OperationalError("locked"), "OperationalError: locked", id="SQLite"),
        pytest.param(ValueError("hunter22"), "OperationalError", id="no driver's"),
    ],
)
def test_the_log_has_the_kind_the_code_and_the_first_line(
    monkeypatch: pytest.MonkeyPatch, settings: Any, cause: Exception, said: str
) -> None:
    monkeypatch.setitem(settings.DATABASES["default"], "PASSWORD", "hunter22")
    assert describe(caused_by(cause)) == said


def test_without_a_password_nothing_is_replaced(monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    monkeypatch.setitem(settings.DATABASES["default"], "PASSWORD", "")
    assert describe(caused_by(psycopg.OperationalError("refused"))) == "OperationalError: refused"


@pytest.mark.usefixtures("database_away")
def test_a_real_one_is_described() -> None:
    with pytest.raises(OperationalError) as away:
        connection.ensure_connection()
    words = {"postgresql": "connection", "sqlite": "unable to open database file"}
    assert words[connection.vendor] in describe(away.value)
