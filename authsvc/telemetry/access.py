"""What is told of each request once it is answered: a line in the log, and the counts of metrics.py.

Neither holds an address of a page, a header or a body: a credential travels in each of them, if only by mistake.
"""

from __future__ import annotations

import logging
import time
from functools import lru_cache
from typing import Any

from django.http import HttpRequest
from django.http.response import HttpResponseBase

from authsvc.telemetry import metrics

logger = logging.getLogger(__name__)

OUTCOMES = {401: "refused", 403: "forbidden", 429: "limited", 503: "unavailable"}


def observe(request: HttpRequest, response: HttpResponseBase, began: float) -> None:
    """Tell of a request; ``began`` is when, by ``time.perf_counter()``."""
    took, route, status = time.perf_counter() - began, route_of(request), response.status_code
    requests, seconds = counters(route, status)
    requests.inc()
    seconds.observe(took)
    credential = getattr(request, "auth", None)
    if "HTTP_AUTHORIZATION" in request.META or "HTTP_X_API_KEY" in request.META:
        verification(method_of(request, credential), OUTCOMES.get(status, "ok")).inc()
    if logger.isEnabledFor(logging.INFO):
        extra = {
            "method": request.method,
            "route": route,
            "status": status,
            "milliseconds": round(took * 1000, 3),
            "user_id": who(request, credential),
            "key_id": getattr(credential, "key_id", None),
        }
        logger.info("request", extra=extra)


def route_of(request: HttpRequest) -> str:
    """Return the pattern of the route that answered, never the address that was sent."""
    match: Any = request.resolver_match
    return getattr(request, "route", "unknown") if match is None else f"/{match.route}"


def who(request: HttpRequest, credential: Any) -> Any:
    """Return the id of the user who was let in, or of the operator, if the session was read anyway."""
    user = request.user if credential is not None else getattr(request, "_cached_user", None)
    return getattr(user, "pk", None)


def method_of(request: HttpRequest, credential: Any) -> str:
    """Return what the request came with; where it was refused, what would have counted."""
    if credential is not None:
        return str(credential.method)
    header = request.META.get("HTTP_AUTHORIZATION", "")
    return "jwt" if header[:7].lower() == "bearer " else "api_key" if "HTTP_X_API_KEY" in request.META else "none"


@lru_cache(maxsize=4096)
def counters(route: str, status: int) -> tuple[Any, Any]:
    """Return the counter and the histogram of a route; finding them anew costs more than counting."""
    return metrics.requests.labels(route, str(status)), metrics.seconds.labels(route)


@lru_cache(maxsize=64)
def verification(method: str, outcome: str) -> Any:
    """Return the counter of a method and an outcome."""
    return metrics.verifications.labels(method, outcome)
