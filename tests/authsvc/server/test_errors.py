"""What gunicorn says before there is a request, and what it leaves behind after one."""

import json
import re
import socket

import pytest

from authsvc.server.errors import refuse, write_problem
from authsvc.telemetry import metrics
from authsvc.web.middleware import api_headers


@pytest.mark.parametrize(
    ("status", "title", "detail"),
    [
        (400, "Bad Request", "The request cannot be read."),
        (408, "Request Timeout", "The request did not arrive in time."),
        (414, "URI Too Long", "The request line is too long."),
        (431, "Request Header Fields Too Large", "The request has header fields that are too large."),
        (500, "Internal Server Error", "The request cannot be read."),
    ],
)
def test_an_unreadable_request_is_answered_with_a_problem_that_repeats_nothing(
    status: int, title: str, detail: str
) -> None:
    client, service = socket.socketpair()
    with client, service:
        write_problem(service, status, "Reason", "<script>what was sent</script>")
        service.shutdown(socket.SHUT_WR)
        head, _, body = client.makefile("rb").read().partition(b"\r\n\r\n")
    first, *lines = head.decode("ascii").split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    assert first == f"HTTP/1.1 {status} {title}"
    assert re.fullmatch("[0-9a-f]{32}", headers.pop("X-Request-ID"))
    assert headers == {
        "Connection": "close",
        "Content-Type": "application/problem+json",
        "Content-Length": str(len(body)),
        **api_headers(),
    }
    assert json.loads(body) == {
        "type": "about:blank",
        "title": title,
        "status": status,
        "detail": detail,
    }


def test_a_request_without_room_is_told_when_to_come_again_and_counted() -> None:
    def count() -> float:
        labels = {"route": "unknown", "status": "503"}
        return metrics.registry().get_sample_value("authsvc_requests_total", labels) or 0

    before, (client, service) = count(), socket.socketpair()
    with client, service:
        refuse(service, 503)
        assert b"\r\nRetry-After: 5\r\n" in client.recv(65536)
    assert count() == before + 1
