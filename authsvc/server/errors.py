"""What is gunicorn's own part: what it answers before a request is one, and what is left on a connection after one."""

import socket
import time
import uuid
from typing import Any

import orjson
from gunicorn import util
from gunicorn.http.errors import ParseException

from authsvc.middleware import api_headers
from authsvc.problems import MEDIA_TYPE, title
from authsvc.server.worker import Response

DRAIN_SECONDS = 5.0  # as long as gunicorn itself gives a client here
DRAIN_STEP = 16 * 1024  # bytes


def answer_as_the_api_does() -> None:
    """Replace gunicorn's HTML for unreadable requests, for which it has no setting; tell it of the API's headers."""
    util.write_error = write_problem
    Response.known = frozenset(api_headers().items())


def write_problem(client: socket.socket, status: int, reason: str, message: str) -> None:
    """Write a problem document; what was wrong is in gunicorn's log, for ``message`` may repeat what was sent."""
    body = orjson.dumps(
        {"type": "about:blank", "title": title(status), "status": status, "detail": "The request cannot be read."}
    )
    head = (
        f"HTTP/1.1 {status} {title(status)}\r\nConnection: close\r\nContent-Type: {MEDIA_TYPE}\r\n"
        f"Content-Length: {len(body)}\r\nX-Request-ID: {uuid.uuid4().hex}\r\n\r\n"
    )
    util.write_nonblock(client, head.encode("ascii") + body)


def drain(body: Any, client: socket.socket, most: int) -> None:
    """Read what no view has read of a body, up to ``most`` bytes, so that the next request on its connection is found.

    gunicorn itself gives up after 64 kB and hangs up on a client that is about to send its next request. Done after
    the answer is sent, so nobody waits for it. What comes later or is longer is left, and gunicorn hangs up.
    """
    end, before = time.monotonic() + DRAIN_SECONDS, client.gettimeout()
    try:
        while most > 0 and (left := end - time.monotonic()) > 0:
            client.settimeout(left)
            read = len(body.read(min(most, DRAIN_STEP)))
            most = most - read if read else 0
    except (OSError, ParseException):
        return  # too slow, gone, or not even chunks: gunicorn finds the connection unusable by itself
    finally:
        client.settimeout(before)
