"""The responses of the middlewares to rejected requests."""

from __future__ import annotations

import json
import logging
from http import HTTPStatus

from authsvc_client.errors import AuthsvcError, Unavailable

logger = logging.getLogger("authsvc_client")

PREFIX = "x-auth-"  # of the headers in which gateways pass the identity to an application


def refusal(error: AuthsvcError) -> tuple[list[tuple[str, str]], bytes]:
    """Return the headers and the body of a rejection, a problem document (RFC 9457)."""
    log_unavailable(error)
    title = HTTPStatus(error.status).phrase
    problem = {"type": "about:blank", "title": title, "status": error.status, "detail": error.detail}
    body = json.dumps(problem).encode()
    fixed = {
        "Content-Type": "application/problem+json",
        "Content-Length": str(len(body)),
        "Cache-Control": "no-store",
    }
    return [*fixed.items(), *error.headers.items()], body


def is_identity_header(name: str) -> bool:
    """Return whether a header carries an identity, in any spelling that an application reads as the same."""
    return name.lower().replace("_", "-").startswith(PREFIX)


def log_unavailable(error: AuthsvcError) -> None:
    """Log why no request can be verified; an error of one request goes to its client only."""
    if isinstance(error, Unavailable):
        logger.error("Nobody can be let in: %s", error)
