"""HTTP as bytes on a socket, for what no HTTP client would send."""

from __future__ import annotations

import json
import socket
from typing import Any, NamedTuple

HOST = b"Host: 127.0.0.1\r\n"


class Answer(NamedTuple):
    """One response as it came, the header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def problem(self) -> tuple[Any, ...]:
        """Type, title, status and detail of a problem document that says nothing else."""
        assert self.headers["content-type"] == "application/problem+json", self
        document = json.loads(self.body)
        assert set(document) == {"type", "title", "status", "detail"}
        return document["type"], document["title"], document["status"], document["detail"]


class Connection:
    """A connection to a server of ours; a context manager."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self.reader = self.socket.makefile("rb")

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *error: object) -> None:
        self.reader.close()
        self.socket.close()

    @property
    def local_port(self) -> int:
        """The port on this side."""
        return int(self.socket.getsockname()[1])

    def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        self.socket.sendall(data)

    def stop_sending(self) -> None:
        """Close this side's half of the connection."""
        self.socket.shutdown(socket.SHUT_WR)

    def get(self, path: str, *headers: str) -> Answer:
        """Send a whole GET and return its answer."""
        self.send(request("GET", path, *headers))
        return self.answer()

    def answer(self) -> Answer:
        """Read one response by its Content-Length (none for 1xx, 204 and 304)."""
        line = self.reader.readline()
        assert line.startswith((b"HTTP/1.1 ", b"HTTP/1.0 ")), f"not a status line: {line!r}"
        status, headers = int(line.split()[1]), {}
        while (field := self.reader.readline()) not in (b"\r\n", b""):
            name, _, value = field.decode("latin-1").partition(":")
            headers[name.lower()] = value.strip()
        return Answer(status, headers, self.reader.read(int(headers.get("content-length", 0))))

    def is_closed(self) -> bool:
        """Wait for the next byte, and say whether the server closed instead."""
        return self.reader.read(1) == b""


def request(method: str, target: str, *headers: str, body: bytes = b"") -> bytes:
    """Return the bytes of a request; a body brings its Content-Length."""
    length = (f"Content-Length: {len(body)}",) if body else ()
    lines = (f"{method} {target} HTTP/1.1", "Host: 127.0.0.1", *headers, *length)
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def json_request(method: str, target: str, body: Any, *headers: str) -> bytes:
    """Return the bytes of a request with a JSON body."""
    return request(method, target, "Content-Type: application/json", *headers, body=json.dumps(body).encode())
