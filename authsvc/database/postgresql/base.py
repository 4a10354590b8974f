"""Django's backend for PostgreSQL, with a deadline for each wait and the same session settings everywhere."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from django.db.backends.postgresql import base
from django.db.utils import DatabaseErrorWrapper
from psycopg import IsolationLevel, pq

from authsvc.database.breaker import breaker
from authsvc.database.errors import READ_ONLY, REPLACED
from authsvc.database.postgresql.driver import Connection, connect
from authsvc.database.postgresql.session import configure


class DatabaseWrapper(base.DatabaseWrapper):
    """The connection of a thread."""

    is_outdated = False

    def get_new_connection(self, conn_params: dict[str, Any]) -> Connection:
        """Return a connection that is ready for use; a failure half-way leaves none behind."""
        self.isolation_level = IsolationLevel.READ_COMMITTED
        raw = connect(conn_params)
        try:
            configure(raw, self.settings_dict)
        except BaseException:
            raw.close()
            raise
        self.is_outdated = False
        return raw

    @cached_property
    def wrap_database_errors(self) -> DatabaseErrorWrapper:
        """Turn the driver's errors into Django's, and notice those after which the connection is replaced."""
        return ErrorWrapper(self)

    def is_usable(self) -> bool:
        """Return whether the connection can go on after an error, as far as this end knows: without a query, which
        might wait."""
        raw: Any = self.connection
        if self.is_outdated or raw.generation != breaker.generation:
            return False
        return not raw.closed and raw.pgconn.transaction_status == pq.TransactionStatus.IDLE

    def notice(self, sqlstate: str | None) -> None:
        """Have connections replaced before the next request, where the SQLSTATE of an error asks for it."""
        if sqlstate == READ_ONLY:
            breaker.replace_connections()
        elif sqlstate in REPLACED:
            self.is_outdated = True


class ErrorWrapper(DatabaseErrorWrapper):
    """Django's, which also hands the SQLSTATE of each error to the connection."""

    wrapper: DatabaseWrapper

    def __exit__(self, exc_type: Any, exc_value: Any, traceback: Any) -> None:
        if exc_type is not None:
            self.wrapper.notice(getattr(exc_value, "sqlstate", None))
        super().__exit__(exc_type, exc_value, traceback)
