"""Which threads answer a request: probes and passwords have their own, so that neither waits for the rest."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import lru_cache
from urllib.parse import unquote_to_bytes, urlsplit

from authsvc.server.connection import Connection

PROBES = {b"/readyz", b"/metrics"}
# What hashes a password or sends a mail, and what is part of a page that does.
PASSWORDS = (
    *(b"/auth/signup", b"/auth/login", b"/auth/password", b"/auth/email"),
    *(b"/admin/login/", b"/admin/password_change/", b"/admin/accounts/user/"),
)
PROBE_THREADS, PROBE_WAIT = 16, 2.0  # a number, seconds
PASSWORD_QUEUE, PASSWORD_WAIT = 32, 5.0  # requests, seconds
VERIFY = b"/auth/verify"  # its body is never read


class Lane:
    """A queue of requests and the threads that take from it. Only the main thread calls it."""

    def __init__(self, threads: int, *, queue: int, wait: float, executor: Executor | None = None) -> None:
        self.threads, self.queue, self.wait = threads, queue, wait
        self.executor = executor or ThreadPoolExecutor(threads)
        self.running = 0
        self.waiting: deque[Connection] = deque()

    def admit(self, conn: Connection) -> Connection | None:
        """Return the connection where a thread is free for it; else let it wait. Raises QueueFull."""
        if self.running < self.threads:
            self.running += 1
            return conn
        if len(self.waiting) >= self.queue:
            raise QueueFull
        self.waiting.append(conn)
        return None

    def release(self) -> Connection | None:
        """Free the thread of a request that is answered; return the next request, which has it now."""
        if self.waiting:
            return self.waiting.popleft()
        self.running -= 1
        return None

    def overdue(self) -> list[Connection]:
        """Take out and return the requests that have waited too long."""
        found, now = [], time.monotonic()
        while self.waiting and now - self.waiting[0].outlet.arrived > self.wait:
            found.append(self.waiting.popleft())
        return found


class QueueFull(Exception):  # noqa: N818  named as queue.Full is
    """No more requests may wait in a lane."""


class Lanes:
    """The lanes of one process."""

    def __init__(self, threads: int, executor: Executor, *, wait: float, connections: int) -> None:
        self.general = Lane(threads, queue=connections, wait=wait, executor=executor)
        self.live = Lane(1, queue=connections, wait=wait)
        # Callers of /readyz share one check: each waits for it in a thread, for 2.5 seconds at most.
        self.probes = Lane(PROBE_THREADS, queue=connections, wait=PROBE_WAIT)
        # One more than hash at once, so that a query of one request overlaps with another's hashing.
        self.passwords = Lane(max(2, os.cpu_count() or 1), queue=PASSWORD_QUEUE, wait=PASSWORD_WAIT)

    def __iter__(self) -> Iterator[Lane]:
        return iter((self.general, self.live, self.probes, self.passwords))

    def lane_of(self, conn: Connection) -> Lane:
        """Return the lane of a request whose first line has arrived."""
        method, path = method_and_path(conn.received.data)
        if path == b"/livez":
            return self.live
        if path in PROBES:
            return self.probes
        return self.passwords if method == b"POST" and path.startswith(PASSWORDS) else self.general

    def shut_down(self) -> None:
        """Take no more requests; those that run go on."""
        for lane in self:
            lane.executor.shutdown(wait=False)


def method_and_path(data: bytearray) -> tuple[bytes, bytes]:
    """Return the method and the path of a request's first bytes, as the application will see the path."""
    return split(bytes(data[: max(0, data.find(b"\r\n", 2))]))


@lru_cache(maxsize=64)  # a line has at most 8 KiB
def split(line: bytes) -> tuple[bytes, bytes]:
    """Return the method and the path of a request line, before which there may be an empty one."""
    method, _, rest = line.lstrip(b"\r\n").partition(b" ")
    target = rest.partition(b" ")[0]
    if not target.startswith(b"/"):  # http://host/path (RFC 9112, section 3.2.2)
        try:
            target = urlsplit(target).path
        except ValueError:
            target = b""
    path = target.partition(b"?")[0].partition(b"#")[0]
    path = unquote_to_bytes(path) if b"%" in path else path
    return method, path.removeprefix(os.environ.get("SCRIPT_NAME", "").encode())
