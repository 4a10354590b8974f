"""What the middlewares answer instead of the application."""

from __future__ import annotations

import json
import logging
from http import HTTPStatus

from authsvc_client.errors import AuthsvcError, Unavailable

logger = logging.getLogger("authsvc_client")

PREFIX = "x-auth-"  # of the headers in which gateways tell an application who it is


def refusal(error: AuthsvcError) -> tuple[list[tuple[str, str]], bytes]:
    """Return the headers and the problem (RFC 9457) that tell a client why it is not let through, and no more."""
    tell(error)
    title = HTTPStatus(error.status).phrase
    problem = {"type": "about:blank", "title": title, "status": error.status, "detail": error.detail}
    body = json.dumps(problem).encode()
    fixed = {
        "Content-Type": "application/problem+json",
        "Content-Length": str(len(body)),
        "Cache-Control": "no-store",
    }
    return [*fixed.items(), *error.headers.items()], body


def is_spoof(name: str) -> bool:
    """Say whether a header tells an application who it is, in any spelling that becomes the same to it."""
    return name.lower().replace("_", "-").startswith(PREFIX)


def tell(error: AuthsvcError) -> None:
    """Tell the operator why nobody is let in; what is wrong with one request is told to its client alone."""
    if isinstance(error, Unavailable):
        logger.error("Nobody can be let in: %s", error)
