"""Whether the database can serve requests now, asked once for all who ask at the same time."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Generic, TypeVar

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, connections

from authsvc.database.breaker import breaker
from authsvc.database.deadlines import within

T = TypeVar("T")
ASK_SECONDS = 2.0  # that the check itself may wait for the database
SHARE_SECONDS = 2.5  # that a caller waits for a check of another


class SingleFlight(Generic[T]):
    """Runs a function for one caller at a time; those who come meanwhile share its result."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.running: Future[T] | None = None

    def run(self, work: Callable[[], T], seconds: float) -> T:
        """Return the result, or raise what the function raises, or TimeoutError for one that is shared and late."""
        with self.lock:
            shared = self.running
            if shared is None:
                own = self.running = Future[T]()
        if shared is not None:
            return shared.result(timeout=seconds)
        try:
            own.set_result(work())
        except BaseException as error:
            own.set_exception(error)
            raise
        finally:
            with self.lock:
                self.running = None
        return own.result()


def is_silent() -> bool:
    """Return whether the database is known not to answer."""
    return breaker.is_open


def asking() -> AbstractContextManager[None]:
    """Return a context in which the database is waited for as long as a readiness check may.

    Such a wait opens no circuit breaker: requests have more patience.
    """
    return within(min(ASK_SECONDS, settings.DATABASE_TIMEOUT), exempt=True)


def is_writable() -> bool:
    """Return whether the database takes writes, as far as can be known without one. Raises Django's errors."""
    connection = connections[DEFAULT_DB_ALIAS]
    if connection.vendor != "postgresql":
        file = Path(str(connection.settings_dict["NAME"]))
        return os.access(file, os.W_OK) and os.access(file.parent, os.W_OK)  # the log of its writes stands beside it
    with connection.cursor() as cursor:
        cursor.execute("SELECT NOT pg_is_in_recovery() AND current_setting('transaction_read_only') = 'off'")
        writable = bool(cursor.fetchone()[0])
    if not writable:
        breaker.replace_connections()
    return writable
