"""psycopg's connection, with a deadline for each wait.

Every wait passes ``Connection.wait`` (cursors, COMMIT, ROLLBACK), ``connect``, or ``authsvc.database.libpq``.
"""

from __future__ import annotations

import select
import time
import weakref
from collections.abc import Mapping
from typing import Any, Self, TypeVar

import psycopg
from psycopg import pq
from psycopg.abc import PQGen, PQGenConn
from psycopg.errors import ConnectionTimeout

from authsvc.database.breaker import breaker
from authsvc.database.deadlines import Line, budget
from authsvc.database.errors import DatabaseTimeoutError

RV = TypeVar("RV")
INTERVAL = 0.1  # seconds, psycopg's own: how often a wait looks for a signal
TIMED_OUT = "the database did not answer in time"
SILENT = "the database does not answer"


class Connection(psycopg.Connection[Any]):
    """A connection whose waits end by the budget of the work that they are for."""

    def __init__(self, pgconn: pq.abc.PGconn, *arguments: Any, **options: Any) -> None:
        super().__init__(pgconn, *arguments, **options)
        self.line, self.generation, self.is_pooled = Line(pgconn.socket, breaker.trip), breaker.generation, False
        weakref.finalize(self, self.line.close).atexit = False
        self._poll = select.poll()
        self._poll.register(pgconn.socket, select.POLLIN)

    def begin(self) -> float:
        """Begin a wait and return when. Raises DatabaseTimeoutError where nothing may be waited for any more."""
        began, left, line = time.monotonic(), budget.left, self.line
        if left <= 0 or breaker.is_open:
            refuse_without(left)
        line.exempt = budget.exempt
        line.until = began + left
        return began

    def end(self, began: float) -> None:
        """End a wait that has begun, and take it off the budget."""
        self.line.release()
        budget.left -= time.monotonic() - began

    def wait(self, gen: PQGen[RV], interval: float = INTERVAL, timeout: float | None = None) -> RV:
        """Wait as psycopg does, within the budget. Raises DatabaseTimeoutError besides."""
        began = self.begin()
        try:
            return super().wait(gen, interval, timeout)
        except psycopg.Error as error:
            if self.line.is_shut:
                raise DatabaseTimeoutError(TIMED_OUT) from error
            raise
        finally:
            self.end(began)

    @property
    def is_stale(self) -> bool:
        """Whether it is from before a failover, closed at this end, or has been sent what nobody asked for: its end."""
        return self.generation != breaker.generation or self.closed or bool(self._poll.poll(0))

    def close(self) -> None:
        """Close both descriptors."""
        self.line.close()
        super().close()

    @classmethod
    def _connect_gen(cls, conninfo: str = "") -> PQGenConn[Self]:
        # psycopg's connect_timeout applies to each address of each host; the budget covers all of them.
        attempt, end = super()._connect_gen(conninfo), budget.connect_by
        try:
            waits_for = next(attempt)
            while True:
                ready = yield waits_for
                if time.monotonic() >= end:
                    raise ConnectionTimeout("connection timeout expired")
                waits_for = attempt.send(ready)
        except StopIteration as done:
            connected: Self = done.value
            return connected


def connect(parameters: Mapping[str, Any]) -> Connection:
    """Return a new connection in autocommit. Raises psycopg's errors, and opens the breaker after a time-out."""
    began = time.monotonic()
    refuse_without(budget.left)
    budget.connect_by = began + budget.left
    try:
        return Connection.connect(autocommit=True, **parameters)
    except ConnectionTimeout:
        if not budget.exempt:
            breaker.trip()
        raise
    finally:
        budget.left -= time.monotonic() - began


def refuse_without(left: float) -> None:
    """Raise DatabaseTimeoutError where no time is left, or the database is known to be silent."""
    if left <= 0:
        raise DatabaseTimeoutError(TIMED_OUT)
    if breaker.is_open and not budget.exempt:
        raise DatabaseTimeoutError(SILENT)
