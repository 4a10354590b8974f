"""A real server under clients that hold connections: nobody else waits, and each is hung up on in time."""

from __future__ import annotations

import resource
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.flows.conftest import Server, new_name
from tests.flows.raw import HOST, Connection, request

CLIENTS = 60  # more than a process has threads
DEADLINE = 15.0  # seconds that a connection may be held; the loop of a busy machine gets as long again
HALF_HEAD = b"GET /livez HTTP/1.1\r\n" + HOST
HALF_BODY = request("POST", "/auth/login", "Content-Type: application/json", "Content-Length: 99") + b"{"


def silent(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), 30)


def half_head(port: int) -> socket.socket:
    connection = silent(port)
    connection.sendall(HALF_HEAD)
    return connection


def half_body(port: int) -> socket.socket:
    connection = silent(port)
    connection.sendall(HALF_BODY)
    return connection


def greedy(port: int) -> socket.socket:
    """A client that asks for large answers and takes none of them."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.connect(("127.0.0.1", port))
    connection.sendall(request("GET", "/static/drf_spectacular_sidecar/redoc/bundles/redoc.standalone.js") * 3)
    return connection


@pytest.mark.parametrize("kind", [silent, half_head, half_body, greedy])
def test_clients_that_hold_connections_hold_nobody_up(server: Server, kind: Callable[[int], socket.socket]) -> None:
    _, key = server.make_key(server.sign_up(new_name()))
    held = [kind(server.port) for _ in range(CLIENTS)]
    try:
        slowest = 0.0
        for _ in range(20):
            began = time.monotonic()
            with Connection(server.port) as connection:
                assert connection.get("/livez").status == 200
                assert connection.get("/auth/verify", f"X-API-Key: {key}").status == 200
            slowest = max(slowest, time.monotonic() - began)
        assert slowest < 3  # a thread that waited for one of them would be gone for longer
    finally:
        for connection_held in held:
            connection_held.close()


LATE = b"HTTP/1.1 408"


@pytest.mark.parametrize(("kind", "answer"), [(silent, b""), (half_head, LATE), (half_body, LATE)])
def test_each_is_hung_up_on_in_time(server: Server, kind: Callable[[int], socket.socket], answer: bytes) -> None:
    began = time.monotonic()
    with kind(server.port) as connection:
        connection.settimeout(2 * DEADLINE)
        received = b"".join(iter(lambda: connection.recv(65536), b""))
    assert received[:12] == answer
    assert time.monotonic() - began < 2 * DEADLINE


@pytest.fixture
def descriptors() -> Iterator[None]:
    """Descriptors for more connections than a process of the server has."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 4096)), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.usefixtures("descriptors")
def test_more_connections_than_a_process_can_have_cost_nobody_an_answer(server: Server) -> None:
    with ExitStack() as stack:
        for _ in range(6):
            for _ in range(200):
                stack.enter_context(silent(server.port))
            with Connection(server.port) as connection:
                assert connection.get("/livez").status == 200
    assert server.process.poll() is None
