"""Connections to the database: kept from request to request, and replaced where they are dead or outdated."""

from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.core.cache import close_caches
from django.core.handlers.base import reset_urlconf
from django.core.signals import request_finished, request_started
from django.db import DEFAULT_DB_ALIAS, close_old_connections, connections, reset_queries

from authsvc.database import deadlines
from authsvc.database.breaker import breaker
from authsvc.database.errors import DATABASE_ERRORS, UnsupportedDatabaseError
from authsvc.database.postgresql.session import Serving

LOOK_SECONDS = 3.0  # that a process waits for the database before it serves


def keep_connections() -> None:
    """Take Django's resets of its state off each request's path; ``drop_dead_connections`` does what is needed of them.

    They are for connections that end, for caches and for route maps that change, of which there are none, and for the
    log of queries that DEBUG keeps: looking for all that at both ends of each request costs a tenth of it
    (docs/performance.md).
    """
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    request_finished.disconnect(close_caches)
    request_finished.disconnect(reset_urlconf)
    if not settings.DEBUG:
        request_started.disconnect(reset_queries)
    request_started.connect(drop_dead_connections)


def on_worker_started(**signal: Any) -> None:
    """Enforce deadlines in a process that is about to serve."""
    Serving.active = True
    deadlines.start_watchdog()
    if connections[DEFAULT_DB_ALIAS].vendor == "postgresql":  # a file does not fall silent
        breaker.start()


def drop_dead_connections(environ: Mapping[str, Any] | None = None, **signal: Any) -> None:
    """Start a request: its budget, and a connection that did not fail and that the server has not hung up on.

    A PostgreSQL that was restarted has closed its end, which makes the idle socket readable. Looking at that costs
    a system call; Django's CONN_HEALTH_CHECKS would cost each request a second query.
    """
    deadlines.start_request(environ)
    connection = connections[DEFAULT_DB_ALIAS]
    if connection.errors_occurred:
        connection.close_if_unusable_or_obsolete()
    raw = connection.connection
    if connection.vendor == "postgresql" and raw is not None and not connection.in_atomic_block and raw.is_stale:
        connection.close()


def unsupported() -> str:
    """Return the sentence on why the service cannot work with the database, or ""; "" too where none answers."""
    connection = connections[DEFAULT_DB_ALIAS]
    try:
        with deadlines.within(LOOK_SECONDS):
            connection.ensure_connection()
    except DATABASE_ERRORS as error:
        return str(error) if isinstance(error.__cause__, UnsupportedDatabaseError) else ""
    else:
        return ""
    finally:
        connection.close()
