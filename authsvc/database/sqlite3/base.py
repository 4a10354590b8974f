"""Django's backend for SQLite, whose statements together wait no longer for a lock than a request may."""

from __future__ import annotations

import time
from typing import Any

from django.conf import settings
from django.db.backends.sqlite3 import base

from authsvc.database.deadlines import budget

NOTICEABLE = 0.1  # seconds: a smaller difference is not worth a PRAGMA


class DatabaseWrapper(base.DatabaseWrapper):
    """The connection of a thread. SQLite's busy time-out is for each statement; a request has one for all."""

    busy_timeout = 0.0  # seconds, as the connection has it now

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        raw = super().get_new_connection(conn_params)
        self.busy_timeout = float(settings.DATABASE_TIMEOUT)
        return raw

    def create_cursor(self, name: Any = None) -> Any:
        raw: Any = self.connection
        cursor = raw.cursor(factory=Cursor)
        cursor.wrapper = self
        return cursor

    def limit_wait(self) -> None:
        """Let the next statement wait for a lock no longer than the budget allows."""
        allowed = min(max(budget.left, 0.0), settings.DATABASE_TIMEOUT)
        if abs(allowed - self.busy_timeout) > NOTICEABLE:
            raw: Any = self.connection
            raw.execute(f"PRAGMA busy_timeout = {round(allowed * 1000)}")
            self.busy_timeout = allowed


class Cursor(base.SQLiteCursorWrapper):
    """Django's, which takes the time of each statement off the budget."""

    wrapper: DatabaseWrapper

    def execute(self, query: str, params: Any = None) -> Any:
        self.wrapper.limit_wait()
        began = time.monotonic()
        try:
            return super().execute(query, params)
        finally:
            budget.left -= time.monotonic() - began

    def executemany(self, query: str, param_list: Any) -> Any:
        self.wrapper.limit_wait()
        began = time.monotonic()
        try:
            return super().executemany(query, param_list)
        finally:
            budget.left -= time.monotonic() - began
