"""An answer after which the server hangs up says ``Connection: close``, and one that does not keeps its promise."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import pytest

from tests.flows.conftest import Server
from tests.flows.raw import HOST, Answer, Connection, request

MIB = 1024 * 1024
JSON = "Content-Type: application/json"
CHUNKED = "Transfer-Encoding: chunked"
CASES = {
    "a body of 3 MiB": (request("POST", "/auth/login", JSON, body=b" " * 3 * MIB), 413),
    "a body of 3 MiB for a route without one": (request("POST", "/nowhere", body=b" " * 3 * MIB), 404),
    "a body of 3 MiB without a credential": (request("POST", "/keys/create", JSON, body=b" " * 3 * MIB), 401),
    "a body of 3 MiB for a page": (request("POST", "/docs", body=b" " * 3 * MIB), 405),
    "a body of 3 MiB for forward auth": (request("POST", "/auth/verify", body=b" " * 3 * MIB), 401),
    "chunks of 3 MiB": (
        request("POST", "/auth/login", JSON, CHUNKED) + (b"10000\r\n" + b" " * 65536 + b"\r\n") * 48 + b"0\r\n\r\n",
        413,
    ),
    "a long request line": (request("GET", f"/{'x' * 9000}"), 414),
    "a large header field": (request("GET", "/livez", f"X-Large: {'x' * 17_000}"), 431),
    "a large head": (request("GET", "/livez", *(f"X-{n}: {'x' * 9000}" for n in range(9))), 431),
    "many header fields": (request("GET", "/livez", *(f"X-{n}: x" for n in range(200))), 431),
    "junk": (b"junk\r\n\r\n", 400),
    "two lengths": (b"POST /livez HTTP/1.1\r\n" + HOST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nxx", 400),
    "a chunk of no size": (request("POST", "/auth/login", JSON, CHUNKED) + b"zz\r\n{}\r\n0\r\n\r\n", 400),
    "an unknown version": (b"GET /livez HTTP/3.7\r\n" + HOST + b"\r\n", 400),
    "the client's own wish": (request("GET", "/livez", "Connection: close"), 200),
    "HTTP/1.0": (b"GET /livez HTTP/1.0\r\n" + HOST + b"\r\n", 200),
}


def answer_to(connection: Connection, data: bytes) -> Answer:
    """Send what the server takes, which may hang up before the end, and return its answer."""
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        connection.send(data)
    return connection.answer()


@pytest.mark.own_server
@pytest.mark.parametrize("case", CASES)
def test_the_last_answer_of_a_connection_says_so(server: Server, case: str) -> None:
    data, status = CASES[case]
    with Connection(server.port) as connection:
        answer = answer_to(connection, data)
        assert (answer.status, answer.headers["connection"]) == (status, "close")
        assert connection.is_closed()


@pytest.mark.parametrize("size", [MIB + 1, MIB + 60_000])
def test_a_body_that_the_server_reads_to_its_end_leaves_the_connection_open(server: Server, size: int) -> None:
    with Connection(server.port) as connection:
        connection.send(request("POST", "/auth/login", JSON, body=b" " * size))
        answer = connection.answer()
        assert (answer.status, answer.headers["connection"]) == (413, "keep-alive")
        assert connection.get("/livez").status == 200


def test_http_1_0_keeps_a_connection_that_it_asks_to_keep(server: Server) -> None:
    with Connection(server.port) as connection:
        for _ in range(2):
            connection.send(b"GET /livez HTTP/1.0\r\n" + HOST + b"Connection: keep-alive\r\n\r\n")
            answer = connection.answer()
            assert (answer.status, answer.headers["connection"]) == (200, "keep-alive")


@pytest.mark.own_server
def test_a_request_that_does_not_arrive_in_time_is_told_so(server: Server) -> None:
    with Connection(server.port) as connection:
        connection.send(b"POST /auth/login HTTP/1.1\r\n" + HOST + b"Content-Length: 10\r\n\r\n{")
        answer = connection.answer()
        assert (answer.status, answer.headers["connection"]) == (408, "close")
        assert connection.is_closed()


@pytest.mark.own_server
def test_a_server_that_stops_says_so_to_the_request_that_comes_meanwhile(launch: Callable[..., Server]) -> None:
    server = launch(WEB_CONCURRENCY="1")
    with Connection(server.port) as held, Connection(server.port) as idle:
        assert idle.get("/livez").headers["connection"] == "keep-alive"
        held.send(b"POST /auth/login HTTP/1.1\r\n" + HOST + f"{JSON}\r\nContent-Length: 2\r\n\r\n{{".encode())
        server.process.terminate()
        assert idle.is_closed()  # so the worker knows
        held.send(b"}")
        answer = held.answer()
        assert (answer.status, answer.headers["connection"]) == (400, "close")
        assert held.is_closed()
