"""Calls the application as a server does, and measures the CPU time of its thread: what a neighbour does costs none."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from io import BytesIO
from typing import Any, NamedTuple

from django.core.signals import request_finished, request_started
from django.db import close_old_connections
from django.urls import URLPattern, URLResolver, get_resolver

from authsvc.server.handler import Handler
from tests.hostile.untraced import untraced

BOUND, UNIT = 0.05, 64 * 1024  # seconds of CPU for each so many bytes, beyond what the smallest request costs
TRIES = 4  # one of so many measurements is within the bound
LONGEST_ANSWER = 16 * 1024  # bytes of a refusal


class Call(NamedTuple):
    """A request of a client."""

    method: str
    path: str
    headers: dict[str, str] = {}
    body: bytes = b""
    query: str = ""

    @property
    def size(self) -> int:
        """How much is sent."""
        return len(self.body) + len(self.path) + len(self.query) + sum(map(len, self.headers.values()))


class Answer(NamedTuple):
    """How a request was answered, and the seconds of CPU that it took."""

    status: int
    body: bytes
    seconds: float


class Caller:
    """Sends each request from an address of its own, so that no limit stands in the way of what is measured."""

    def __init__(self) -> None:
        self.handler, self.addresses = Handler(), itertools.count(1)

    def send(self, call: Call) -> Answer:
        """Return the answer to a request."""
        for signal in (request_started, request_finished):
            signal.disconnect(close_old_connections)  # as the service has it; Django's test client connects it again
        return Answer(*untraced(self.handler, self.environ(call)))

    def environ(self, call: Call) -> dict[str, Any]:
        """Return a request as PEP 3333 has it."""
        number = next(self.addresses)
        headers = {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in call.headers.items()}
        content_type = headers.pop("HTTP_CONTENT_TYPE", "application/json")
        return {
            "REQUEST_METHOD": call.method, "PATH_INFO": call.path, "SCRIPT_NAME": "", "QUERY_STRING": call.query,
            "REMOTE_ADDR": f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}", "HTTP_HOST": "localhost",
            "SERVER_NAME": "localhost", "SERVER_PORT": "80", "SERVER_PROTOCOL": "HTTP/1.1",
            "CONTENT_TYPE": content_type, "CONTENT_LENGTH": str(len(call.body)), "wsgi.input": BytesIO(call.body),
            "wsgi.url_scheme": "http", **headers,
        }  # fmt: skip

    def seconds(self, call: Call) -> float:
        """Return what a small request costs: the median of several."""
        self.send(call)
        return sorted(self.send(call).seconds for _ in range(3))[1]

    def check(self, call: Call, smallest: float) -> None:
        """Raise AssertionError for a request that fails, costs too much, or is refused at length."""
        allowed = BOUND * math.ceil(call.size / UNIT)
        answers = (self.send(call) for _ in range(TRIES))
        answer = next((answer for answer in answers if answer.seconds - smallest <= allowed), None)
        what = f"{call.method} {call.path} {call.query[:40]} {str(call.headers)[:120]} {call.body[:60]!r}"
        assert answer, f"more than {1000 * allowed:.0f} ms each time for {call.size} bytes: {what}"
        assert answer.status < 500, f"{answer.status}: {what}"
        assert answer.status < 400 or len(answer.body) <= LONGEST_ANSWER, f"{len(answer.body)} bytes: {what}"


def routes(patterns: list[URLPattern | URLResolver] | None = None, before: str = "/") -> Iterator[str]:
    """Yield every route of the URL map."""
    for found in get_resolver().url_patterns if patterns is None else patterns:
        route = before + str(found.pattern)
        if isinstance(found, URLResolver):
            yield from routes(found.url_patterns, route)
        else:
            yield route
