"""A client that keeps some connections busy, or sends at a given rate, and tells how long each answer took."""

import itertools
import re
import selectors
import socket
import sys
import time
from collections.abc import Sequence
from typing import NamedTuple

CONNECTIONS = 16


class Load(NamedTuple):
    """What came of it: answers a second, and the milliseconds within which a half and 99 of 100 of them came."""

    rate: float
    p50: float
    p99: float


class Caller:
    """One connection. It has asked since ``asked``, or asks next at ``due``, both by the monotonic clock."""

    def __init__(self, port: int, due: float) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.due, self.asked, self.read = due, 0.0, b""


def get(path: str, *headers: str) -> bytes:
    """Return the bytes of a request; an empty header is none."""
    return (
        "".join(f"{line}\r\n" for line in (f"GET {path} HTTP/1.1", "Host: 127.0.0.1", *headers) if line).encode()
        + b"\r\n"
    )


def run(port: int, requests: Sequence[bytes], seconds: float, rate: float = 0) -> Load:
    """Send requests in turn, again and again: as fast as answers come, or at a rate, then counted from when it was due.

    Ends the process at an answer that is not 200.
    """
    began, every = time.monotonic(), CONNECTIONS / rate if rate else 0
    callers = [Caller(port, began + every * number / CONNECTIONS) for number in range(CONNECTIONS)]
    took: list[float] = []
    turns = itertools.cycle(requests)
    with selectors.DefaultSelector() as selector:
        for caller in callers:
            selector.register(caller.socket, selectors.EVENT_READ, caller)
        while (now := time.monotonic()) < began + seconds:
            for caller in callers:
                if not caller.asked and caller.due <= now:
                    caller.socket.sendall(next(turns))
                    caller.asked = caller.due if rate else now
            due = min((caller.due for caller in callers if not caller.asked), default=now + 1)
            for key, _ in selector.select(max(0, due - now)):
                caller = key.data
                if is_answered(caller):
                    took.append((time.monotonic() - caller.asked) * 1000)
                    caller.due, caller.asked = caller.due + every, 0.0
        for caller in callers:
            caller.socket.close()
    took.sort()
    return Load(len(took) / seconds, took[len(took) // 2], took[len(took) * 99 // 100])


def is_answered(caller: Caller) -> bool:
    """Read what has come, and say whether that is the whole answer, which has a Content-Length."""
    caller.read += caller.socket.recv(65536)
    if not caller.read.startswith(b"HTTP/1.1 200"):
        sys.exit(f"an answer was {caller.read[:200]!r}")
    head, _, body = caller.read.partition(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
    if length is None or len(body) < int(length[1]):
        return False
    caller.read = b""
    return True
