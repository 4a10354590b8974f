"""Clients that make one call on a connection of their own, again and again, and remember what came of it.

``bench/`` uses them too, so nothing here needs pytest.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection

Call = tuple[str, str, str]  # a path, and the name and value of the header that carries the credential


class Caller:
    """Makes one call on one connection, again and again; ``calls`` are (began, status) of those that were answered."""

    def __init__(self, port: int, call: Call) -> None:
        self.path, self.headers, self.port = call[0], {call[1]: call[2]}, port
        self.calls: list[tuple[float, int]] = []
        self.local_port, self.stopping = 0, False
        self.thread = threading.Thread(target=self.run)

    def run(self) -> None:
        """Call until told to stop."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=30)
        while not self.stopping:
            began = time.monotonic()
            connection.request("GET", self.path, headers=self.headers)
            self.local_port = self.local_port or connection.sock.getsockname()[1]
            answer = connection.getresponse()
            answer.read()
            self.calls.append((began, answer.status))
        connection.close()

    def wait_for(self, number: int, after: float = 0) -> None:
        """Wait until so many calls have been answered that began after a moment."""
        end = time.monotonic() + 60
        while sum(began > after for began, _ in self.calls) < number:
            assert self.thread.is_alive(), f"{self.path}: the connection has failed"
            assert time.monotonic() < end, f"{self.path}: no answers"
            time.sleep(0.005)


@contextmanager
def calling(port: int, calls: Iterable[Call], connections: int) -> Iterator[list[Caller]]:
    """Have each call made on some connections, and stop them at the end."""
    callers = [Caller(port, call) for call in calls for _ in range(connections)]
    try:
        for caller in callers:
            caller.thread.start()
        yield callers
    finally:
        for caller in callers:
            caller.stopping = True
        for caller in callers:
            caller.thread.join(60)
