"""How the one query of an authenticated request is issued, and what notes once a minute that there was one."""

from collections.abc import Callable
from datetime import datetime
from functools import cached_property
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.models import Model, QuerySet
from django.db.models.base import ModelState
from psycopg import Error, pq

from authsvc.database.libpq import Statement
from authsvc.database.postgresql.driver import Connection

M = TypeVar("M", bound=Model)


class Prepared:
    """SQL that is a prepared statement of each connection to PostgreSQL, below Django's and psycopg's cursors."""

    def __init__(self) -> None:
        self.prepared: WeakKeyDictionary[Connection, Statement] = WeakKeyDictionary()

    def statement(self, connection: Any, sql: str) -> Statement:
        """Return the statement of a connection, prepared at its first use; what Django logs of queries knows of it."""
        if connection.queries_logged:
            connection.queries_log.append({"sql": sql, "time": "0"})
        raw = connection.connection
        found = self.prepared.get(raw)
        if found is None:
            found = self.prepared[raw] = Statement(raw, sql)
        return found


class PreparedQuery(Prepared):
    """A ``values_list`` queryset with one parameter: compiled by the ORM once, then executed as plain SQL.

    Building and compiling the same queryset costs the ORM more than the database takes to answer it
    (docs/decisions.md has the figures). ``queryset`` is called once, at the first use, and must return a queryset
    whose only parameter is the value searched for; the placeholder it passes there is never sent.
    """

    def __init__(self, queryset: Callable[[], QuerySet[Any, tuple[Any, ...]]]) -> None:
        super().__init__()
        self.queryset = queryset

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
        if connection.connection is None:
            connection.ensure_connection()
        if connection.vendor != "postgresql" or begins_transaction(connection):
            with connection.cursor() as cursor:
                cursor.execute(sql, [value])
                row: tuple[Any, ...] | None = cursor.fetchone()
        else:
            try:
                row = self.statement(connection, sql).fetch(value, autocommit=connection.autocommit)
            except Error:
                with connection.wrap_database_errors:
                    raise
        if row is not None and converters:
            row = tuple(next(iter(compiler.apply_converters([row], converters))))
        return row


class PreparedUpdate(Prepared):
    """An UPDATE in plain SQL with a ``%s`` for each parameter, for what is written as often as requests come.

    The ORM builds and compiles an UPDATE anew each time, which costs more than the database takes for it
    (docs/performance.md has the figures).
    """

    def __init__(self, sql: str) -> None:
        super().__init__()
        self.sql = sql

    def execute(self, *values: int | str | datetime | None) -> int:
        """Return how many rows it has changed. Raises what Django's cursors raise."""
        connection = connections[DEFAULT_DB_ALIAS]
        connection.ensure_connection()
        adapt = connection.ops.adapt_datetimefield_value
        adapted = [adapt(value) if isinstance(value, datetime) else value for value in values]
        if connection.vendor != "postgresql" or not connection.autocommit:
            with connection.cursor() as cursor:
                cursor.execute(self.sql, adapted)
                return int(cursor.rowcount)
        with connection.wrap_database_errors:
            return self.statement(connection, self.sql).change(adapted)


def begins_transaction(connection: Any) -> bool:
    """Say whether a query now would have to begin a transaction, or has one that failed: psycopg's cursor knows how."""
    return not connection.autocommit and connection.connection.pgconn.transaction_status != pq.TransactionStatus.INTRANS


def build(model: type[M], names: tuple[str, ...], values: tuple[Any, ...], **related: Model) -> M:
    """Return an instance of a row as the ORM's ``from_db`` does: the first values are those of the named fields.

    ``related`` are instances that foreign keys of these values point at, by the names of the foreign keys.

    Without ``__init__`` and its two signals, which nobody here listens to and which cost more than the rest.
    """
    instance = model.__new__(model)
    instance.__dict__.update(zip(names, values, strict=False))
    instance._state = state = ModelState()
    state.adding, state.db, state.fields_cache = False, DEFAULT_DB_ALIAS, related
    return instance
