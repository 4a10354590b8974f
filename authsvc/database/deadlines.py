"""Deadlines for waits on other services: a budget for each unit of work, and a thread that enforces it.

A call into libpq blocks without a time-out, and a time-out on a socket applies to each read, however many there are.
Shutting the socket down from another thread makes any such call return immediately.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from math import inf
from typing import Any

from django.conf import settings
from django.db import OperationalError

ARRIVED = "authsvc.arrived"  # in the WSGI environment: time.monotonic() when the server received the request
TICK = 0.1  # seconds between two looks of the watchdog


class Budget(threading.local):
    """What this thread's current unit of work may still wait for the database; without a limit by default."""

    left: float = inf  # seconds
    connect_by: float = inf  # the end of the current attempt to connect, by time.monotonic()
    exempt: bool = False  # from the circuit breaker: probes ask the database itself


budget = Budget()


def start_request(environ: Mapping[str, Any] | None) -> None:
    """Give this thread the budget of a new request, less what the request has waited for a thread."""
    budget.left = settings.DATABASE_TIMEOUT
    if environ is not None and ARRIVED in environ:
        budget.left -= time.monotonic() - environ[ARRIVED]


@contextmanager
def within(seconds: float, *, exempt: bool = False) -> Iterator[None]:
    """Allow a block to wait for the database for some seconds in all, whatever the budget of the work around it."""
    before = budget.left, budget.exempt
    budget.left, budget.exempt = seconds, exempt
    try:
        yield
    finally:
        budget.left, budget.exempt = before


@contextmanager
def holding(lock: threading.Lock) -> Iterator[None]:
    """Hold a lock that others hold during a query. Raises Django's OperationalError once the budget is spent."""
    began = time.monotonic()
    acquired = lock.acquire(timeout=min(max(budget.left, 0.0), threading.TIMEOUT_MAX))
    budget.left -= time.monotonic() - began
    if not acquired:
        raise OperationalError("another thread waits for the database")
    try:
        yield
    finally:
        lock.release()


class Line:
    """A connection's socket, and until when somebody may wait on it.

    It holds a duplicate of the descriptor: the library that owns the original may close it at any moment, even inside
    a blocking call, and the kernel then gives its number to the next socket. The duplicate is closed here only.
    """

    def __init__(self, fileno: int, on_timeout: Callable[[], None] | None = None) -> None:
        self.fileno, self.on_timeout = os.dup(fileno), on_timeout
        self.until, self.exempt, self.is_shut = inf, False, False
        self.lock = threading.RLock()  # a garbage collection inside a locked block may close another line, or this one
        lines.add(self)

    def release(self) -> None:
        """End the wait. A shutdown that has begun is complete when this returns, so it never hits the next wait."""
        with self.lock:
            self.until = inf

    def shut_if_late(self, now: float) -> bool:
        """Shut the socket down if its wait has exceeded the deadline; return whether this call did."""
        with self.lock:
            if now < self.until or self.fileno < 0:
                return False
            self.until, self.is_shut = inf, True
            shut_down(self.fileno)
            return True

    def close(self) -> None:
        """Close the duplicate; a second call does nothing."""
        lines.discard(self)
        with self.lock:
            if self.fileno >= 0:
                os.close(self.fileno)
                self.fileno = -1


lines: set[Line] = set()  # all open ones; adding, discarding and copying are atomic


def shut_down(fileno: int) -> None:
    """Shut a socket down in both directions, without closing its descriptor; the other end may have done so before."""
    borrowed = socket.socket(fileno=fileno)
    try:
        with suppress(OSError):
            borrowed.shutdown(socket.SHUT_RDWR)
    finally:
        borrowed.detach()


def end_late_waits(now: float) -> None:
    """End every wait that has exceeded its deadline, and report each to its owner."""
    late = [line for line in lines.copy() if line.until <= now and line.shut_if_late(now)]
    for line in late:
        if line.on_timeout is not None and not line.exempt:
            line.on_timeout()


_starting = threading.Lock()
_watchdog: threading.Thread | None = None


def start_watchdog() -> None:
    """Enforce deadlines in this process from now on; a second call does nothing."""
    global _watchdog  # noqa: PLW0603  the one of the process; its lock is beside it
    with _starting:
        if _watchdog is None:
            _watchdog = threading.Thread(target=_watch, name="deadlines", daemon=True)
            _watchdog.start()


def _watch() -> None:
    pause = threading.Event()  # that nobody sets
    while True:
        pause.wait(TICK)
        end_late_waits(time.monotonic())
