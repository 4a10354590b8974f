"""How the one query of an authenticated request is issued, and how dead connections are found before it."""

import logging
import select
from collections.abc import Callable
from functools import cached_property
from threading import Lock
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from django.conf import settings
from django.core.cache import close_caches
from django.core.handlers.base import reset_urlconf
from django.core.signals import request_finished, request_started
from django.db import DEFAULT_DB_ALIAS, close_old_connections, connections, reset_queries
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created
from django.db.models import Model, QuerySet
from django.db.models.base import ModelState
from psycopg import Connection

from authsvc.statement import Statement, begins_transaction

logger = logging.getLogger(__name__)
told = Lock()  # taken, for good, by whichever thread is the first to tell of a pooler

M = TypeVar("M", bound=Model)


class PreparedQuery:
    """A ``values_list`` queryset with one parameter: compiled by the ORM once, then executed as plain SQL.

    Building and compiling the same queryset costs the ORM more than the database takes to answer it
    (docs/decisions.md has the figures). ``queryset`` is called once, at the first use, and must return a queryset
    whose only parameter is the value searched for; the placeholder it passes there is never sent.
    On PostgreSQL it is a prepared statement of each connection, below Django's and psycopg's cursors.
    """

    def __init__(self, queryset: Callable[[], QuerySet[Any, tuple[Any, ...]]]) -> None:
        self.queryset = queryset
        self.prepared: WeakKeyDictionary[Connection[Any], Statement] = WeakKeyDictionary()

    @cached_property
    def compiled(self) -> tuple[str, Any, dict[int, Any]]:
        """The SQL, the compiler that made it, and its converters from the database's values to Python's."""
        compiler = self.queryset().query.get_compiler(using=DEFAULT_DB_ALIAS)
        sql, parameters = compiler.as_sql()
        if len(parameters) != 1:
            raise TypeError(f"a prepared query takes one parameter, not {len(parameters)}")
        return sql, compiler, compiler.get_converters([column for column, _, _ in compiler.select])

    def fetch(self, value: int | bytes) -> tuple[Any, ...] | None:
        """Return the first row for a value, or None. Raises what Django's cursors raise."""
        sql, compiler, converters = self.compiled
        connection = connections[DEFAULT_DB_ALIAS]
        connection.ensure_connection()
        if connection.vendor != "postgresql" or begins_transaction(connection.connection):
            with connection.cursor() as cursor:
                cursor.execute(sql, [value])
                row: tuple[Any, ...] | None = cursor.fetchone()
        else:
            with connection.wrap_database_errors:
                row = self.statement(connection, sql).fetch(value)
        if row is not None and converters:
            row = tuple(next(iter(compiler.apply_converters([row], converters))))
        return row

    def statement(self, connection: Any, sql: str) -> Statement:
        """Return the statement of a connection, prepared at its first use; what Django logs of queries knows of it."""
        if connection.queries_logged:
            connection.queries_log.append({"sql": sql, "time": "0"})
        raw = connection.connection
        found = self.prepared.get(raw)
        if found is None:
            found = self.prepared[raw] = Statement(raw, sql)
        return found


def build(model: type[M], names: tuple[str, ...], values: tuple[Any, ...]) -> M:
    """Return an instance of a row as the ORM's ``from_db`` does: the first values are those of the named fields.

    Without ``__init__`` and its two signals, which nobody here listens to and which cost more than the rest.
    """
    instance = model.__new__(model)
    instance.__dict__.update(zip(names, values, strict=False))
    instance._state = ModelState()
    instance._state.adding, instance._state.db = False, DEFAULT_DB_ALIAS
    return instance


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
    """Close connections that failed, and those that the server has hung up on, at the start of a request.

    A PostgreSQL that was restarted has closed its end, which makes the idle socket readable. Looking at that costs
    a system call; Django's CONN_HEALTH_CHECKS would cost each request a second query.
    """
    for connection in connections.all(initialized_only=True):
        if connection.errors_occurred:
            connection.close_if_unusable_or_obsolete()
        if connection.vendor == "postgresql" and connection.connection is not None and not connection.in_atomic_block:
            poll = select.poll()
            poll.register(connection.connection.fileno(), select.POLLIN)
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
