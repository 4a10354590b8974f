"""What gunicorn itself answers: limits, unreadable requests, and many requests on one connection."""

import json
import re

import pytest

from tests.conftest import BAD_CREDENTIAL, NO_CREDENTIAL, NOT_FOUND
from tests.flows.conftest import Server
from tests.flows.raw import Answer, Connection, json_request, request

REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
UNREADABLE = "The request cannot be read."
DETAILS = {
    414: "The request line is too long.",
    431: "The request has header fields that are too large.",
}
LONGEST = 16_384 - len("Authorization: ")  # characters of a field's value
JSON = "Content-Type: application/json"


def exchange(server: Server, data: bytes) -> Answer:
    """Send bytes on a fresh connection and return the first answer."""
    with Connection(server.port) as connection:
        connection.send(data)
        return connection.answer()


def test_a_bearer_of_16_kib_is_a_bad_credential_like_any_other(server: Server) -> None:
    short, long = (
        exchange(server, request("GET", "/auth/me", f"Authorization: {'Bearer '.ljust(size, 'a')}"))
        for size in (10, LONGEST)
    )
    assert json.loads(long.body) == json.loads(short.body) == BAD_CREDENTIAL
    assert (long.status, long.headers["www-authenticate"]) == (401, 'Bearer realm="authsvc", error="invalid_token"')
    assert set(long.headers) == set(short.headers)


@pytest.mark.parametrize("size", [16_382, 16_383, 16_384])
def test_a_header_field_of_16_kib_with_its_name_is_read(server: Server, size: int) -> None:
    answer = exchange(server, request("GET", "/livez", "X-H: ".ljust(size, "a")))
    assert (answer.status, json.loads(answer.body)) == (200, {"status": "ok"})


def test_a_request_line_of_8190_bytes_is_read(server: Server) -> None:
    answer = exchange(server, request("GET", f"/{'a' * (8190 - len('GET / HTTP/1.1'))}"))
    assert (answer.status, json.loads(answer.body)) == (404, NOT_FOUND)


def test_a_key_of_16_kib_is_a_bad_credential_like_any_other(server: Server) -> None:
    answer = exchange(server, request("GET", "/protected/service", f"X-API-Key: {'sk_'.ljust(LONGEST, 'a')}"))
    assert (answer.status, json.loads(answer.body)) == (401, BAD_CREDENTIAL)


@pytest.mark.own_server
@pytest.mark.parametrize(
    ("data", "status", "title"),
    [
        pytest.param(request("GET", f"/{'a' * 8177}"), 414, "URI Too Long", id="request line of 8,191 bytes"),
        pytest.param(request("GET", f"/{'a' * 9000}"), 414, "URI Too Long", id="request line"),
        pytest.param(request("GET", f"/?{'a' * 200_000}"), 414, "URI Too Long", id="endless request line"),
        pytest.param(
            request("GET", "/livez", *(f"X-H{n}: 1" for n in range(70))),
            431,
            "Request Header Fields Too Large",
            id="too many headers",
        ),
        pytest.param(
            request("GET", "/livez", f"X-H: {'a' * (16_385 - len('X-H: '))}"),
            431,
            "Request Header Fields Too Large",
            id="too large a header",
        ),
        pytest.param(
            request("GET", "/livez", f"X-H: {'a' * 140_000}"),
            431,
            "Request Header Fields Too Large",
            id="far too large a header",
        ),
        pytest.param(b"garbage\r\n\r\n", 400, "Bad Request", id="no request line"),
        pytest.param(b"GET /livez\r\n\r\n", 400, "Bad Request", id="HTTP 0.9"),
        pytest.param(b"GET /livez HTTP/2.0\r\n\r\n", 400, "Bad Request", id="HTTP 2"),
        pytest.param(b"get /livez HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 400, "Bad Request", id="method in lower case"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400, "Bad Request", id="TLS"),
        pytest.param(b"GET /livez HTTP/1.1\nHost: 127.0.0.1\n\n", 400, "Bad Request", id="bare line feeds"),
        pytest.param(request("GET", "/\xe9"), 400, "Bad Request", id="raw bytes in the path"),
        pytest.param(request("GET", "/livez", "X-H: a\x00b"), 400, "Bad Request", id="NUL in a header"),
        pytest.param(request("GET", "/livez", "X-H: a\r\n b"), 400, "Bad Request", id="folded header"),
        pytest.param(request("GET", "/livez", "X H: a"), 400, "Bad Request", id="space in a header's name"),
        pytest.param(request("GET", "/livez", "Host: example.com"), 400, "Bad Request", id="two hosts"),
        pytest.param(request("GET", "/livez", "Expect: tea"), 417, "Expectation Failed", id="unknown expectation"),
    ],
)
def test_what_is_no_request_is_answered_with_a_problem_and_a_closed_connection(
    server: Server, data: bytes, status: int, title: str
) -> None:
    with Connection(server.port) as connection:
        connection.send(data)
        answer = connection.answer()
        detail = DETAILS.get(status, UNREADABLE)
        assert (answer.status, answer.problem) == (status, ("about:blank", title, status, detail))
        assert REQUEST_ID.fullmatch(answer.headers["x-request-id"])
        assert connection.is_closed()


@pytest.mark.own_server
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        pytest.param(("Content-Length: 2", "Content-Length: 3"), 400, id="two lengths"),
        pytest.param(("Content-Length: 2", "Content-Length: 2"), 400, id="the same length twice"),
        pytest.param(("Content-Length: 2, 2",), 400, id="a list of lengths"),
        pytest.param(("Content-Length: -2",), 400, id="negative length"),
        pytest.param(("Content-Length: +2",), 400, id="signed length"),
        pytest.param(("Content-Length: 0x2",), 400, id="hexadecimal length"),
        pytest.param((f"Content-Length: {'9' * 5000}",), 400, id="length of 5000 digits"),
        pytest.param(("Content-Length: 2", "Transfer-Encoding: chunked"), 400, id="length and chunks"),
        pytest.param(("Transfer-Encoding: chunked", "Transfer-Encoding: chunked"), 400, id="chunked twice"),
        pytest.param(("Transfer-Encoding: gzip",), 400, id="coding that has no end"),
        pytest.param(("Transfer-Encoding: frobnicate",), 501, id="unknown coding"),
    ],
)
def test_a_body_whose_end_is_in_doubt_is_refused_and_what_follows_is_not_read(
    server: Server, headers: tuple[str, ...], status: int
) -> None:
    with Connection(server.port) as connection:
        connection.send(request("POST", "/auth/login", JSON, *headers) + b"{}" + request("GET", "/livez"))
        answer = connection.answer()
        assert answer.status == status
        assert answer.problem[2:] == (status, UNREADABLE)
        assert connection.is_closed()


@pytest.mark.parametrize(
    ("size", "status"),
    [
        pytest.param(1024 * 1024, 400, id="1 MiB is read"),
        pytest.param(1024 * 1024 + 1, 413, id="a byte more"),
        pytest.param(3 * 1024 * 1024, 413, id="3 MiB"),
    ],
)
def test_a_body_over_a_mebibyte_is_too_large(server: Server, size: int, status: int) -> None:
    answer = exchange(server, request("POST", "/auth/login", JSON, body=b" " * size))
    title, detail = {
        400: ("Bad Request", "The request body is not valid JSON."),
        413: ("Content Too Large", "The request body is too large."),
    }[status]
    assert answer.status == status
    assert answer.problem == ("about:blank", title, status, detail)


def test_a_body_that_stops_short_is_not_valid_json(server: Server) -> None:
    with Connection(server.port) as connection:
        connection.send(request("POST", "/auth/login", JSON, "Content-Length: 500") + b'{"username"')
        connection.stop_sending()
        answer = connection.answer()
    assert answer.status == 400
    assert answer.problem[3] == "The request body is not valid JSON."


def test_pipelined_requests_are_answered_in_order(server: Server) -> None:
    with Connection(server.port) as connection:
        connection.send(b"".join(request("GET", "/livez", f"X-Request-ID: {n}") for n in range(10)))
        answers = [connection.answer() for _ in range(10)]
    assert [answer.headers["x-request-id"] for answer in answers] == [str(n) for n in range(10)]
    assert {answer.status for answer in answers} == {200}


def test_a_connection_serves_one_request_after_another_whatever_their_answers(server: Server) -> None:
    login = json_request("POST", "/auth/login", {"username": "nobody", "password": "wrong-horse"})
    with Connection(server.port) as connection:
        statuses = []
        for data in (request("GET", "/livez"), login, request("GET", "/auth/me"), request("GET", "/nowhere"), login):
            connection.send(data)
            statuses.append(connection.answer().status)
    assert statuses == [200, 401, 401, 404, 401]


@pytest.mark.parametrize("path", ["/livez", "/nowhere", "/auth/me"])
def test_a_body_that_no_view_reads_is_not_the_next_request(server: Server, path: str) -> None:
    smuggled = request("DELETE", "/smuggled", "X-Request-ID: smuggled")
    with Connection(server.port) as connection:
        connection.send(request("GET", path, "X-Request-ID: one", body=smuggled))
        connection.send(request("GET", "/livez", "X-Request-ID: two"))
        answers = [connection.answer(), connection.answer()]
    assert [answer.headers["x-request-id"] for answer in answers] == ["one", "two"]
    assert answers[1].status == 200


@pytest.mark.parametrize("name", ["X_API_Key", "X-API_Key"])
def test_a_header_with_an_underscore_is_not_taken_for_the_one_with_a_hyphen(server: Server, name: str) -> None:
    answer = exchange(server, request("GET", "/protected/service", f"{name}: sk_{'a' * 49}"))
    assert (answer.status, json.loads(answer.body)) == (401, NO_CREDENTIAL)


@pytest.mark.parametrize("path", ["/openapi.json", "/auth/me", "/docs"])
def test_another_host_is_refused_without_a_traceback_in_the_log(server: Server, path: str) -> None:
    logged = server.log.stat().st_size
    answer = server.http.get(path, headers={"Host": "evil.example"})
    assert (answer.status_code, answer.headers["Content-Type"]) == (400, "application/problem+json")
    assert answer.json()["detail"] == "The service does not answer under this Host."
    assert b"Traceback" not in server.log.read_bytes()[logged:]


def test_a_probe_by_head_is_answered_without_a_body_and_without_a_warning(server: Server) -> None:
    logged = server.log.stat().st_size
    answer = server.http.head("/livez")
    # The next answer on the connection comes after all that was logged of the one before.
    assert server.http.get("/livez").status_code == 200
    assert (answer.status_code, answer.content) == (200, b"")
    assert b"WARNING" not in server.log.read_bytes()[logged:]
