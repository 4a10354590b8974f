"""One statement on one connection to PostgreSQL, by libpq's own calls."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import Any

import psycopg
from psycopg import pq
from psycopg.adapt import Transformer

from authsvc.database.errors import DatabaseTimeoutError
from authsvc.database.postgresql.driver import TIMED_OUT, Connection

BINARY, TEXT = pq.Format.BINARY, pq.Format.TEXT
ROWS, DONE = pq.ExecStatus.TUPLES_OK, pq.ExecStatus.COMMAND_OK
# Prepare anew: no such prepared statement, as psycopg forgets all of a connection's after each ROLLBACK; and one whose
# columns have changed their types, by a migration beside traffic.
STALE = {b"26000", b"0A000"}


class Statement:
    """SQL with a ``%s`` for each parameter, prepared once and then executed by one call that sends, waits and reads.

    psycopg's cursor waits in Python and asks itself each time whether a query is prepared: two thirds of what the query
    costs a process (docs/performance.md). Where ``prepare_threshold`` is None, as a pooler may hand each query to
    another server, and in a transaction, nothing is prepared and the same call carries the SQL.
    """

    names = count(1)

    def __init__(self, raw: Connection, sql: str) -> None:
        self.connection, self.rows = raw, Transformer(raw)
        first, *others = sql.split("%s")
        self.name, self.sql = b"", "".join((first, *(f"${n}{part}" for n, part in enumerate(others, 1)))).encode()
        self.can_be_prepared = raw.prepare_threshold is not None

    def fetch(self, value: int | bytes, *, autocommit: bool = True) -> tuple[Any, ...] | None:
        """Return the first row for a value, or None. Raises psycopg's errors. ``autocommit`` is the connection's."""
        sent, form = (value, BINARY) if isinstance(value, bytes) else (b"%d" % value, TEXT)
        with self.connection.lock:
            result = self.execute([sent], [form], prepare=autocommit and self.can_be_prepared)
            if result.status != ROWS:
                raise self.error(result)
            if not result.ntuples:
                return None
            self.rows.set_pgresult(result, format=BINARY)
            return self.rows.load_row(0, tuple)

    def change(self, values: Sequence[object]) -> int:
        """Return how many rows an UPDATE has changed, on a connection in autocommit. Raises psycopg's errors.

        Values go as texts, and None as NULL.
        """
        sent = [None if value is None else str(value).encode() for value in values]
        with self.connection.lock:
            result = self.execute(sent, None, prepare=self.can_be_prepared)
            if result.status != DONE:
                raise self.error(result)
            return result.command_tuples or 0

    def execute(self, sent: Sequence[Any], forms: Sequence[pq.Format] | None, *, prepare: bool) -> pq.abc.PGresult:
        """Return the result, which may be an error. Of ``sent`` None is NULL; without ``forms`` all are texts.

        Raises DatabaseTimeoutError where there is no time left to wait for it.
        """
        began = self.connection.begin()
        try:
            return self.send(sent, forms, prepare=prepare)
        finally:
            self.connection.end(began)

    def send(self, sent: Sequence[Any], forms: Sequence[pq.Format] | None, *, prepare: bool) -> pq.abc.PGresult:
        """The same, without a deadline."""
        raw = self.connection
        if not prepare:
            return raw.pgconn.exec_params(self.sql, sent, None, forms, BINARY)
        if self.name:
            result = raw.pgconn.exec_prepared(self.name, sent, forms, BINARY)
            if result.status == ROWS or result.error_field(pq.DiagnosticField.SQLSTATE) not in STALE:
                return result
        self.name = b"authsvc_%d" % next(self.names)
        prepared = raw.pgconn.prepare(self.name, self.sql)
        if prepared.status != DONE:  # it is no SQL, or the connection is lost
            return prepared
        return raw.pgconn.exec_prepared(self.name, sent, forms, BINARY)

    def error(self, result: pq.abc.PGresult) -> psycopg.Error:
        """Return the error that a result is."""
        if self.connection.line.is_shut:
            return DatabaseTimeoutError(TIMED_OUT)
        if self.connection.pgconn.status == pq.ConnStatus.BAD:
            return psycopg.OperationalError("the connection to the database is lost")
        return psycopg.errors.error_from_result(result)
