"""What the server answers by itself: to requests that cannot be read, arrive too slowly, or find no room."""

from __future__ import annotations

import socket
import uuid
from typing import Any

import orjson
from gunicorn import util

from authsvc.problems import MEDIA_TYPE, title
from authsvc.server.worker import Response
from authsvc.telemetry import metrics
from authsvc.web.middleware import api_headers

DETAILS = {
    408: "The request did not arrive in time.",
    414: "The request line is too long.",
    431: "The request has header fields that are too large.",
    503: "The service is busy; try again shortly.",
}
RETRY_AFTER = 5  # seconds


def answer_as_the_api_does() -> None:
    """Replace gunicorn's HTML for unreadable requests, for which it has no setting; name the API's headers to it."""
    util.write_error = write_problem
    Response.known = frozenset(api_headers().items())


def write_problem(client: socket.socket, status: int, reason: str, message: str) -> None:
    """Write a problem document; what was wrong is in gunicorn's log, for ``message`` may repeat what was sent."""
    util.write_nonblock(client, document(status))


def refuse(client: Any, status: int) -> None:
    """Answer a request that the application does not see, and count it. ``client`` keeps what cannot be sent now."""
    metrics.requests.labels("unknown", str(status)).inc()
    client.sendall(document(status))


def document(status: int) -> bytes:
    """Return a response that ends its connection: a problem document (RFC 9457) with the headers of the API."""
    detail = DETAILS.get(status, "The request cannot be read.")
    body = orjson.dumps({"type": "about:blank", "title": title(status), "status": status, "detail": detail})
    headers = {
        "Connection": "close",
        "Content-Type": MEDIA_TYPE,
        "Content-Length": str(len(body)),
        "X-Request-ID": uuid.uuid4().hex,
        **({"Retry-After": str(RETRY_AFTER)} if status == 503 else {}),
        **api_headers(),
    }
    lines = [f"HTTP/1.1 {status} {title(status)}", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join(lines).encode("ascii") + b"\r\n\r\n" + body
