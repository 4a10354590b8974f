"""Errors of a database that is away, and what the log says of them."""

import sqlite3

import psycopg
from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, InterfaceError, InternalError, OperationalError

# InternalError is what a database answers to a write while it is read-only, as after a failover.
DATABASE_ERRORS = (OperationalError, InterfaceError, InternalError)
READ_ONLY = "25006"  # read_only_sql_transaction
# SQLSTATEs after which the connection is replaced: a new one may lead to another server, or to one that is back.
# idle_in_transaction_session_timeout, transaction_timeout; admin_shutdown to idle_session_timeout.
REPLACED = {"25P03", "25P04", "57P01", "57P02", "57P03", "57P04", "57P05"}
LONGEST_CAUSE = 200  # characters


class DatabaseTimeoutError(psycopg.OperationalError):
    """The database did not answer in time, or is known not to answer; no call is made then."""


class UnsupportedDatabaseError(psycopg.OperationalError):
    """The database answers, and this service cannot work with it."""


def describe(error: BaseException) -> str:
    """Return an error's kind, its SQLSTATE (or SQLite's name for it) and the first line of the driver's message.

    The lines after the first may quote values of a row. Nothing else of the error is returned, and no password.
    """
    cause = error.__cause__
    if not isinstance(cause, psycopg.Error | sqlite3.Error):
        return type(error).__name__
    code = getattr(cause, "sqlstate", None) or getattr(cause, "sqlite_errorname", None)
    message = cause.diag.message_primary if isinstance(cause, psycopg.Error) else None
    first_line = next(iter((message or str(cause)).splitlines()), "")
    password = str(settings.DATABASES[DEFAULT_DB_ALIAS].get("PASSWORD") or "")
    if password:
        first_line = first_line.replace(password, "***")
    kind = f"{type(error).__name__} {code}" if code else type(error).__name__
    return f"{kind}: {first_line[:LONGEST_CAUSE]}"
