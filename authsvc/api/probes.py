"""Probes: is the process up, can it do its work, and how has it done it."""

from collections.abc import Iterator
from functools import cache
from threading import Lock
from typing import Any

from django.db import connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from django.dispatch import Signal
from django.http import HttpRequest, HttpResponse, JsonResponse
from prometheus_client import generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

from authsvc import ratelimit
from authsvc.database import readiness
from authsvc.database.errors import DATABASE_ERRORS
from authsvc.problems import problem, reading_only
from authsvc.telemetry import metrics

UNREACHABLE = "The database cannot be reached."
checking = readiness.SingleFlight[dict[str, str] | str]()

# Sent by /readyz; receivers return (name, state) of what is theirs, "ok" or what is wrong, or None.
examining = Signal()


@reading_only
def livez(request: HttpRequest) -> HttpResponse:
    """Say that the process answers; nothing else is looked at, so that a database's fault restarts no process."""
    return JsonResponse({"status": "ok"})


@reading_only
def readyz(request: HttpRequest) -> HttpResponse:
    """Return whether requests can be served: a database that answers, takes writes and has this code's migrations.

    Where rate limits are not counted they can, and without a signing key those that need none: the answer is still
    200, its status "degraded". Callers at the same time share one check, and nobody waits longer than three seconds.
    """
    if readiness.is_silent():
        return problem(503, UNREACHABLE)
    try:
        found = checking.run(check, readiness.SHARE_SECONDS)
    except (*DATABASE_ERRORS, TimeoutError):
        return problem(503, UNREACHABLE)
    return problem(503, found) if isinstance(found, str) else JsonResponse(found)


def check() -> dict[str, str] | str:
    """Return the body of a ready process, or the sentence on why it is not. Raises one of DATABASE_ERRORS."""
    with readiness.asking():
        missing = migrations_on_disk() - set(MigrationRecorder(connection).applied_migrations())
        if missing:
            return f"The database lacks {len(missing)} migrations; run manage.py migrate."
        if not readiness.is_writable():
            return "The database is read-only."
        results: list[tuple[Any, Any]] = examining.send(sender=None)
    counting = ratelimit.backend()
    found: dict[str, str] = dict(result for _, result in results if result is not None)
    state = "degraded" if counting == "redis away" or set(found.values()) - {"ok"} else "ok"
    return {"status": state, "database": "ok", "migrations": "ok", "rate_limits": counting, **found}


class RateLimitBackend(Collector):
    """Whether rate limits are counted, as this process last saw it."""

    def collect(self) -> Iterator[GaugeMetricFamily]:
        up = not ratelimit.state.is_away
        yield GaugeMetricFamily(
            "authsvc_rate_limit_backend_up", "1 where rate limits are counted, 0 while Redis is away.", value=int(up)
        )


@reading_only
def metrics_text(request: HttpRequest) -> HttpResponse:
    """/metrics: what Prometheus reads."""
    return HttpResponse(generate_latest(metrics.registry(RateLimitBackend())), content_type=CONTENT_TYPE_LATEST)


loading = Lock()


def migrations_on_disk() -> frozenset[tuple[str, str]]:
    """Return (app, name) of each migration of this code. Loading reloads modules: it is done once, under a lock."""
    with loading:
        return _migrations_on_disk()


@cache
def _migrations_on_disk() -> frozenset[tuple[str, str]]:
    return frozenset(MigrationLoader(None).disk_migrations)
