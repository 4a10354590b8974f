"""What gunicorn says before there is a request, and what it leaves behind after one."""

import json
import re
import socket
from collections.abc import Iterator

import pytest
from gunicorn.http.errors import InvalidChunkSize, NoMoreData

from authsvc.server.errors import drain, write_problem


@pytest.mark.parametrize(
    ("status", "title"),
    [
        (400, "Bad Request"),
        (413, "Content Too Large"),
        (431, "Request Header Fields Too Large"),
        (500, "Internal Server Error"),
    ],
)
def test_an_unreadable_request_is_answered_with_a_problem_that_repeats_nothing(status: int, title: str) -> None:
    client, service = socket.socketpair()
    with client, service:
        write_problem(service, status, "Reason", "<script>what was sent</script>")
        service.shutdown(socket.SHUT_WR)
        head, _, body = client.makefile("rb").read().partition(b"\r\n\r\n")
    lines = head.decode("ascii").split("\r\n")
    assert lines[:3] == [f"HTTP/1.1 {status} {title}", "Connection: close", "Content-Type: application/problem+json"]
    assert lines[3] == f"Content-Length: {len(body)}"
    assert re.fullmatch("X-Request-ID: [0-9a-f]{32}", lines[4])
    assert json.loads(body) == {
        "type": "about:blank",
        "title": title,
        "status": status,
        "detail": "The request cannot be read.",
    }


class Body:
    """What is left of a body: pieces, or what goes wrong with them."""

    def __init__(self, *pieces: bytes | Exception) -> None:
        self.pieces, self.asked = list(pieces), list[int]()

    def read(self, size: int) -> bytes:
        self.asked.append(size)
        piece = self.pieces.pop(0) if self.pieces else b""
        if isinstance(piece, Exception):
            raise piece
        return piece


@pytest.fixture
def client() -> Iterator[socket.socket]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(7)
        yield ours
        assert ours.gettimeout() == 7


def test_what_is_left_of_a_body_is_read_in_steps_to_its_end(client: socket.socket) -> None:
    body = Body(b"a" * 16384, b"b" * 10)
    drain(body, client, 1_000_000)
    assert body.asked == [16384] * 3


def test_no_more_is_read_than_a_body_may_have(client: socket.socket) -> None:
    body = Body(b"a" * 16384, b"b" * 616, b"c")
    drain(body, client, 17_000)
    assert (body.asked, body.pieces) == ([16384, 616], [b"c"])


@pytest.mark.parametrize("error", [TimeoutError(), NoMoreData(), InvalidChunkSize(b"x"), ConnectionResetError()])
def test_a_client_that_is_slow_or_gone_is_left_alone(client: socket.socket, error: Exception) -> None:
    body = Body(error, b"more")
    drain(body, client, 1_000_000)
    assert body.pieces == [b"more"]


def test_a_client_has_seconds_in_all_and_not_for_each_piece(
    client: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter((0.0, 0.0, 3.0, 5.0))
    monkeypatch.setattr("authsvc.server.errors.time.monotonic", lambda: next(clock))
    body = Body(*[b"a"] * 9)
    drain(body, client, 1_000_000)
    assert len(body.asked) == 2
