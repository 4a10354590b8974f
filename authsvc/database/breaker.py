"""A circuit breaker: after a time-out no request waits for the database again before a probe has succeeded."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from django.db import DEFAULT_DB_ALIAS, connections

from authsvc.database.deadlines import within
from authsvc.database.errors import DATABASE_ERRORS

logger = logging.getLogger(__name__)

PROBE_INTERVAL = 1.0  # seconds between the beginnings of two probes
PATIENCE = 1.0  # seconds: DATABASE_URL may lead to a server that only reads for good
PROBE_TIMEOUT = 2.0  # seconds: some round trips to a database far away, with TLS


class Breaker:
    """Open while the database is silent. Only a process that probes opens it, since nothing else would close it."""

    def __init__(self, probe: Callable[[], bool]) -> None:
        self.probe, self.is_open, self.generation = probe, False, 0
        self.lock, self.tripped = threading.Lock(), threading.Event()
        self.prober: threading.Thread | None = None
        self.replaced_at = float("-inf")

    def start(self) -> None:
        """Probe in this process from now on, whenever the breaker is open; a second call does nothing."""
        with self.lock:
            if self.prober is None:
                self.prober = threading.Thread(target=self.run, name="database probe", daemon=True)
                self.prober.start()

    def trip(self) -> None:
        """Open, after a call that was not answered in time.

        All connections of before are outdated then: on a network that dropped packets each may be as dead.
        """
        with self.lock:
            if self.is_open or self.prober is None:
                return
            self.is_open = True
            self.generation += 1
        logger.error("the database does not answer; requests get 503 until it does")
        self.tripped.set()

    def replace_connections(self) -> None:
        """Have every thread connect again before its next request, once a second at most.

        The server that a connection leads to only reads, or is another one by now; a new one may lead elsewhere.
        """
        with self.lock:
            now = time.monotonic()
            if now - self.replaced_at >= PATIENCE:
                self.generation, self.replaced_at = self.generation + 1, now

    def run(self) -> None:
        """The thread's loop. The first probe follows the time-out immediately: it may have been one slow table."""
        while True:
            self.tripped.wait()
            self.tripped.clear()
            self.close_when_answered()

    def close_when_answered(self) -> None:
        """Probe until the database answers, and close."""
        began, pause = time.monotonic(), threading.Event()  # that nobody sets
        while not self.probe():
            pause.wait(max(0.0, PROBE_INTERVAL - (time.monotonic() - began)))
            began = time.monotonic()
        with self.lock:
            self.is_open = False
        logger.warning("the database answers again")


def answers() -> bool:
    """Return whether a new connection to the database can run a statement in time."""
    connection = connections[DEFAULT_DB_ALIAS]
    try:
        with within(PROBE_TIMEOUT, exempt=True), connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DATABASE_ERRORS:
        return False
    else:
        return True
    finally:
        connection.close()


breaker = Breaker(answers)
