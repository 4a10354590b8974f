"""Hashes passwords in a few threads of low priority, so that logins do not slow other requests down.

bcrypt uses a core for a quarter of a second. Without a bound, 64 parallel logins would delay every other request.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

from rest_framework.exceptions import APIException

QUEUE = 32  # callers that wait for a thread
WAIT = 5.0  # seconds that a caller waits for a thread
NICENESS = 10  # how much less the scheduler prefers a hashing thread (nice(2))

T = TypeVar("T")


class HashingBusy(APIException):
    """503: too many passwords are being hashed."""

    status_code = 503
    default_detail = "Too many passwords are being checked; try again shortly."


class Hashing:
    """Runs at most ``threads`` calls in parallel; QUEUE more wait up to WAIT seconds, and others raise HashingBusy."""

    def __init__(self, threads: int) -> None:
        self.executor = ThreadPoolExecutor(threads, "hashing", initializer=yield_to_others)
        self.slots = threading.BoundedSemaphore(threads)
        self.places = threading.BoundedSemaphore(threads + QUEUE)

    def run(self, call: Callable[[], T]) -> T:
        """Return what ``call`` returns. Raises HashingBusy, and what ``call`` raises."""
        if not self.places.acquire(blocking=False):
            raise HashingBusy
        try:
            if not self.slots.acquire(timeout=WAIT):
                raise HashingBusy
            try:
                return self.executor.submit(call).result()
            finally:
                self.slots.release()
        finally:
            self.places.release()


def yield_to_others() -> None:
    """Lower the priority of the calling thread, and let it run on any core even where its process is pinned to one."""
    with suppress(OSError, AttributeError):  # not permitted, or not Linux
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
        os.sched_setaffinity(0, range(os.cpu_count() or 1))


hashing = Hashing(max(1, (os.cpu_count() or 1) - 1))
