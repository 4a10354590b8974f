"""What is counted for Prometheus, over all processes of a machine (prometheus-client's multiprocess mode).

gunicorn.conf.py names the folder in which processes share their counts; without it, in a command or a test, each
process counts for itself.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Histogram
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

SHARED = "PROMETHEUS_MULTIPROC_DIR"
# Seconds. A request takes about one millisecond, a login a quarter of a second.
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)

requests = Counter("authsvc_requests", "Requests answered.", ("route", "status"))
seconds = Histogram("authsvc_request_seconds", "Seconds that an answer took.", ("route",), buckets=BUCKETS)
verifications = Counter("authsvc_verifications", "Credentials judged.", ("method", "outcome"))
logins = Counter("authsvc_logins", "Logins tried.", ("outcome",))
revocations = Counter("authsvc_revocations", "Keys revoked and sessions ended.", ("kind",))
uncounted = Counter("authsvc_rate_limit_uncounted", "Requests that passed uncounted while Redis was away.")


def registry(*more: Collector) -> CollectorRegistry:
    """Return what /metrics tells: of all processes that share a folder, else of this one, and of what is asked now."""
    told = CollectorRegistry()
    if SHARED in os.environ:
        MultiProcessCollector(told)  # type: ignore[no-untyped-call]  # the package is half annotated
    else:
        told.register(Own())
    for collector in more:
        told.register(collector)
    return told


class Own(Collector):
    """What this process has counted."""

    def collect(self) -> Iterator[object]:  # type: ignore[override]  # whatever kinds there are
        yield from (metric for metric in REGISTRY.collect() if metric.name.startswith("authsvc_"))
