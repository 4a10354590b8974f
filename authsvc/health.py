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

from authsvc import limiter, metrics
from authsvc.problems import DATABASE_ERRORS, problem, reading_only

# Sent by /readyz; receivers return (name, state) of what is theirs, "ok" or what is wrong, or None.
examining = Signal()


@reading_only
def livez(request: HttpRequest) -> HttpResponse:
    """Say that the process answers; nothing else is looked at, so that a database's fault restarts no process."""
    return JsonResponse({"status": "ok"})


@reading_only
def readyz(request: HttpRequest) -> HttpResponse:
    """Say whether requests can be served: the database answers and has every migration of this code.

    Without Redis they can, uncounted, and without a signing key those that need none: the answer is still 200, its
    status "degraded".
    """
    try:
        missing = migrations_on_disk() - set(MigrationRecorder(connection).applied_migrations())
    except DATABASE_ERRORS:
        return problem(503, "The database cannot be reached.")
    if missing:
        return problem(503, f"The database lacks {len(missing)} migrations; run manage.py migrate.")
    counting = limiter.backend()
    results: list[tuple[Any, Any]] = examining.send(sender=None)
    found = dict(result for _, result in results if result is not None)
    state = "degraded" if counting == "redis away" or set(found.values()) - {"ok"} else "ok"
    return JsonResponse({"status": state, "database": "ok", "migrations": "ok", "rate_limits": counting, **found})


class RateLimitBackend(Collector):
    """Whether rate limits can be counted, asked when it is told."""

    def collect(self) -> Iterator[GaugeMetricFamily]:
        up = limiter.backend() != "redis away"
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
