"""Bodies on one lasting connection: in chunks, unread, too large. The next request is found, or there is none."""

from __future__ import annotations

import json

import pytest

from tests.conftest import BAD_CREDENTIAL, NO_CREDENTIAL
from tests.flows.conftest import Server, bearer, new_name
from tests.flows.raw import Answer, Connection, request

JSON = "Content-Type: application/json"
CHUNKED = "Transfer-Encoding: chunked"
LIMIT = 1024 * 1024
TOO_LARGE = ("about:blank", "Content Too Large", 413, "The request body is too large.")


def chunks(body: bytes, size: int = 1000, end: bytes = b"0\r\n\r\n") -> bytes:
    """Return a body in chunks."""
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + end


def chunked(path: str, body: bytes, *headers: str, size: int = 1000) -> bytes:
    """Return the bytes of a POST in chunks."""
    return request("POST", path, JSON, CHUNKED, *headers) + chunks(body, size)


def alive(connection: Connection) -> Answer:
    """Return the answer of the next request on the connection."""
    answer = connection.get("/livez", "X-Request-ID: next")
    assert answer.headers["x-request-id"] == "next"
    return answer


@pytest.mark.own_server
@pytest.mark.parametrize("size", [200_000, 1_000_000, LIMIT])
@pytest.mark.parametrize(
    ("path", "status"),
    [
        pytest.param("/keys/create", 401, id="no credential"),
        pytest.param("/nowhere", 404, id="no route"),
        pytest.param("/docs", 405, id="no method"),
        pytest.param("/livez", 405, id="no view of the API"),
    ],
)
@pytest.mark.parametrize("in_chunks", [False, True], ids=["length", "chunked"])
def test_a_body_that_was_not_read_is_not_in_the_next_requests_way(
    server: Server, size: int, path: str, status: int, in_chunks: bool
) -> None:
    body = b"x" * size
    data = chunked(path, body, size=50_000) if in_chunks else request("POST", path, JSON, body=body)
    with Connection(server.port) as connection:
        for _ in range(3):
            connection.send(data)
            assert connection.answer().status == status
            assert alive(connection).status == 200


@pytest.mark.own_server
def test_what_stands_in_a_body_that_was_not_read_is_no_request(server: Server) -> None:
    smuggled = request("DELETE", "/smuggled", "X-Request-ID: smuggled") * 4000
    assert 100_000 < len(smuggled) < LIMIT
    with Connection(server.port) as connection:
        connection.send(request("POST", "/keys/create", JSON, body=smuggled))
        answer = connection.answer()
        assert (answer.status, json.loads(answer.body)) == (401, NO_CREDENTIAL)
        assert alive(connection).status == 200


@pytest.mark.own_server
@pytest.mark.parametrize("path", ["/auth/login", "/keys/report"])
@pytest.mark.parametrize("in_chunks", [False, True], ids=["length", "chunked"])
def test_a_body_that_is_too_large_by_little_is_refused_and_the_connection_goes_on(
    server: Server, path: str, in_chunks: bool
) -> None:
    body = b" " * (LIMIT + 1)
    data = chunked(path, body, size=50_000) if in_chunks else request("POST", path, JSON, body=body)
    with Connection(server.port) as connection:
        connection.send(data)
        answer = connection.answer()
        assert (answer.status, answer.problem) == (413, TOO_LARGE)
        assert alive(connection).status == 200


@pytest.mark.own_server
def test_a_body_that_is_too_large_leaves_no_traceback_in_the_log(server: Server) -> None:
    logged = server.log.stat().st_size
    with Connection(server.port) as connection:
        connection.send(request("POST", "/keys/report", JSON, body=b" " * (LIMIT + 1)))
        assert connection.answer().status == 413
        assert alive(connection).status == 200
    told = server.log.read_bytes()[logged:]
    assert [word for word in (b"Traceback", b"ERROR", b"WARNING") if word in told] == []


@pytest.mark.own_server
def test_a_body_in_chunks_is_read_like_any_other(server: Server) -> None:
    name = new_name()
    who = {"username": name, "email": f"{name}@example.com", "password": "correct-horse-battery"}
    with Connection(server.port) as connection:
        connection.send(chunked("/auth/signup", json.dumps(who).encode(), size=7))
        made = connection.answer()
        assert (made.status, json.loads(made.body)["username"]) == (201, name)
        connection.send(chunked("/auth/login", json.dumps({"username": name, "password": "wrong-horse"}).encode()))
        refused = connection.answer()
        assert (refused.status, json.loads(refused.body)) == (401, BAD_CREDENTIAL)
        assert alive(connection).status == 200


@pytest.mark.own_server
def test_a_client_that_streams_its_body_makes_a_key(server: Server) -> None:
    def pieces() -> object:
        yield b'{"name": '
        yield b'"nightly export"}'

    headers = {**bearer(server.sign_up(new_name())), "Content-Type": "application/json"}
    made = server.http.post("/keys/create", content=pieces(), headers=headers)
    assert (made.request.headers["Transfer-Encoding"], made.status_code) == ("chunked", 201)
    assert made.json()["name"] == "nightly export"


@pytest.mark.parametrize("data", [b"0\r\n\r\n", b"0\r\nX-Trailer: 1\r\n\r\n", b"0;ext=1\r\n\r\n"])
def test_no_chunk_is_no_body(server: Server, data: bytes) -> None:
    with Connection(server.port) as connection:
        connection.send(request("POST", "/auth/login", JSON, CHUNKED) + data)
        answer = connection.answer()
        assert [error["code"] for error in json.loads(answer.body)["errors"]] == ["required", "required"]
        assert alive(connection).status == 200


@pytest.mark.own_server
@pytest.mark.parametrize(
    "data",
    [b"zz\r\n{}\r\n0\r\n\r\n", b"2\r\n{}xx0\r\n\r\n", b"-2\r\n{}\r\n0\r\n\r\n", b"\r\n\r\n", b"2\n{}\n0\n\n\r\n"],
    ids=["size", "end of a chunk", "sign", "nothing", "line feeds"],
)
def test_what_are_no_chunks_is_unreadable_and_the_connection_ends(server: Server, data: bytes) -> None:
    logged = server.log.stat().st_size
    with Connection(server.port) as connection:
        connection.send(request("POST", "/auth/login", JSON, CHUNKED) + data)
        answer = connection.answer()
        assert answer.problem == ("about:blank", "Bad Request", 400, "The request cannot be read.")
        assert connection.is_closed()
    assert b"Traceback" not in server.log.read_bytes()[logged:]


@pytest.mark.own_server
def test_chunks_that_stop_halfway_are_answered_by_nothing_and_hurt_nobody(server: Server) -> None:
    logged = server.log.stat().st_size
    with Connection(server.port) as connection:
        connection.send(request("POST", "/auth/login", JSON, CHUNKED) + b"ff\r\n{")
        connection.stop_sending()
        assert connection.is_closed()
    with Connection(server.port) as connection:
        assert alive(connection).status == 200
    assert b"Traceback" not in server.log.read_bytes()[logged:]
