"""A worker's main loop, turned by the test, with real sockets and threads."""

from __future__ import annotations

import selectors
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from gunicorn.config import Config
from gunicorn.http import wsgi

from authsvc.server.worker import Response, Worker

SECONDS = 10  # that a test waits for anything
HEAD = "HTTP/1.1\r\nHost: authsvc\r\n"


class Log:
    """Keeps what gunicorn says."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def debug(self, message: str, *values: object) -> None:
        self.said.append(message % values)

    warning = exception = info = debug

    def access(self, *values: object) -> None:
        """Nothing: this is what Logger turns off."""


class Loop:
    """A worker that listens on 127.0.0.1 and answers with the path that it is asked for."""

    def __init__(self, **settings: int) -> None:
        config = Config()
        for name, value in {"threads": 2, "keepalive": 5, **settings}.items():
            config.set(name, value)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)  # so that a slow client is felt early
        self.listener.setblocking(False)
        self.worker = Worker(0, 0, [self.listener], None, 30, config, Log())
        self.worker.tpool, self.worker.poller = self.worker.get_thread_pool(), selectors.DefaultSelector()
        self.worker.method_queue.init()
        queue = self.worker.method_queue
        self.worker.poller.register(queue.fileno(), selectors.EVENT_READ, queue.run_callbacks)
        self.body: Callable[[dict[str, Any]], bytes] = lambda environ: environ["PATH_INFO"].encode()
        self.worker.wsgi = self.application
        self.clients: list[socket.socket] = []
        self.accepted = 0
        accept = self.worker.accept

        def counting(listener: socket.socket) -> None:
            accept(listener)
            self.accepted += 1

        self.worker.accept = counting
        self.worker.set_accept_enabled(True)

    def application(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        """Answer with what ``body`` makes of a request."""
        body = self.body(environ)
        start_response("200 OK", [("Content-Length", str(len(body)))])
        return [body]

    def connect(self, data: bytes = b"", receive_buffer: int = 0) -> socket.socket:
        """Return a client's new connection, accepted, that has sent something."""
        client, before = socket.socket(), self.accepted
        if receive_buffer:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        client.settimeout(SECONDS)
        client.connect(self.listener.getsockname())
        self.clients.append(client)
        if data:
            client.sendall(data)
        self.turn(lambda: self.accepted > before)
        return client

    def turn(self, until: Callable[[], object], seconds: float = SECONDS) -> None:
        """Turn the loop until something is so. Raises AssertionError where it is not in time."""
        end = time.monotonic() + seconds
        while not until():
            assert time.monotonic() < end, f"not within {seconds} s"
            self.worker.wait_for_and_dispatch_events(0.02)
            self.worker.murder_pending()

    def received(self, client: socket.socket, ending: bytes = b"") -> bytes:
        """Return what a client gets: up to an ending, or all until the server hangs up."""
        found = bytearray()
        client.setblocking(False)

        def is_done() -> bool:
            try:
                data = client.recv(65536)
            except OSError as error:  # nothing is there yet, or the connection was reset
                return not isinstance(error, BlockingIOError)
            found.extend(data)
            return not data or bool(ending and found.endswith(ending))

        self.turn(is_done)
        client.settimeout(SECONDS)
        return bytes(found)

    def close(self) -> None:
        """End everything."""
        for client in self.clients:
            client.close()
        self.turn(lambda: self.worker.nr_conns == 0)
        self.worker.lanes.shut_down()
        self.worker.poller.close()
        self.worker.method_queue.close()
        self.listener.close()
        self.worker.tmp.close()


@contextmanager
def looping(monkeypatch: Any, **settings: int) -> Iterator[Loop]:
    """Run a loop with the worker's own response class."""
    monkeypatch.setattr(wsgi, "Response", Response)
    loop = Loop(**settings)
    try:
        yield loop
    finally:
        loop.close()


def get(path: str, *headers: str) -> bytes:
    """Return the bytes of a GET."""
    lines = "".join(f"{line}\r\n" for line in headers)
    return f"GET {path} {HEAD}{lines}\r\n".encode()


def post(path: str, length: int, body: bytes, *headers: str) -> bytes:
    """Return the bytes of a POST with a Content-Length, and as much of its body as there is."""
    lines = "".join(f"{line}\r\n" for line in headers)
    return f"POST {path} {HEAD}Content-Length: {length}\r\n{lines}\r\n".encode() + body
