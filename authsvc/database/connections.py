"""Connections to the database: kept from request to request, replaced where they are dead, and poolers heeded."""

import logging
import select
from threading import Lock
from typing import Any

from django.conf import settings
from django.core.cache import close_caches
from django.core.handlers.base import reset_urlconf
from django.core.signals import request_finished, request_started
from django.db import DEFAULT_DB_ALIAS, close_old_connections, connections, reset_queries
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created
from psycopg import Error

logger = logging.getLogger(__name__)
told = Lock()  # taken, for good, by whichever thread is the first to tell of a pooler


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


def drop_dead_connections(**signal: Any) -> None:
    """Close a connection that failed, or that the server has hung up on, at the start of a request.

    A PostgreSQL that was restarted has closed its end, which makes the idle socket readable. Looking at that costs
    a system call; Django's CONN_HEALTH_CHECKS would cost each request a second query.
    """
    connection = connections[DEFAULT_DB_ALIAS]
    if connection.errors_occurred:
        connection.close_if_unusable_or_obsolete()
    if connection.vendor == "postgresql" and connection.connection is not None and not connection.in_atomic_block:
        poll = select.poll()
        try:
            poll.register(connection.connection.pgconn.socket, select.POLLIN)
        except Error:  # it is closed at this end already
            connection.close()
            return
        if poll.poll(0):
            connection.close()


def heed_poolers() -> None:
    """Have each new connection looked at for a pooler before a statement is prepared on it."""
    connection_created.connect(prepare_nothing_through_a_pooler)


def prepare_nothing_through_a_pooler(connection: BaseDatabaseWrapper, **signal: Any) -> None:
    """Turn prepared statements off where a connection ends at a pooler, unless DATABASE_URL says that they work there.

    A pooler that hands each transaction another server connection, and knows nothing of prepared statements, makes
    their names meet: one client's ``_pg3_0`` would run what another one has prepared under it. A pooler gives its
    clients process ids of its own making; at PostgreSQL itself both are the same.
    """
    if connection.vendor != "postgresql" or connection.settings_dict["PREPARED_STATEMENTS"] is not None:
        return
    raw = connection.connection
    if raw.execute("SELECT pg_backend_pid()").fetchone() != (raw.info.backend_pid,):
        raw.prepare_threshold = None
        tell_of_a_pooler()


def tell_of_a_pooler() -> None:
    """Say once in each process what has been found."""
    if told.acquire(blocking=False):
        logger.warning(
            "a connection pooler stands before PostgreSQL, so statements are not prepared; "
            "prepared_statements=true or false in DATABASE_URL says what it can do, and ends this warning"
        )
