"""Counts for Prometheus, over all processes of one gunicorn.

Each process counts in memory that its siblings read; shared_counts.py says how. A command, a test or another server
counts for itself in the same way.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from itertools import accumulate

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from authsvc.telemetry.shared_counts import Cells, counts

# Seconds. A request takes about one millisecond, a login a quarter of a second.
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
Totals = dict[tuple[str, ...], list[float]]  # by name and label values


class Count:
    """One count of a counter."""

    def __init__(self, cells: Cells) -> None:
        self.cells = cells

    def inc(self, amount: float = 1.0) -> None:
        """Add an amount."""
        counts.add(self.cells, 0, amount)


class Counter:
    """A counter of prometheus_client's interface."""

    def __init__(self, name: str, documentation: str, labels: tuple[str, ...] = ()) -> None:
        self.name, self.documentation, self.label_names = name, documentation, labels
        METRICS.append(self)

    def labels(self, *values: str) -> Count:
        """Return the count for values of the labels; whoever counts often keeps it."""
        return Count(counts.cells((self.name, *values), 1))

    def inc(self, amount: float = 1.0) -> None:
        """Count without labels."""
        self.labels().inc(amount)

    def family(self, totals: Totals) -> Metric:
        """Return what is exposed."""
        family = CounterMetricFamily(self.name, self.documentation, labels=self.label_names)
        if not self.label_names:
            totals.setdefault((self.name,), [0.0])
        for (_, *values), (total,) in selected(totals, self.name):
            family.add_metric(values, total)
        return family


class Distribution:
    """One histogram: a cell for each bucket, one for what is beyond them, and one for the sum."""

    def __init__(self, cells: Cells) -> None:
        self.cells = cells

    def observe(self, value: float) -> None:
        """Count a value in its bucket."""
        counts.add_two(self.cells, bisect_left(BUCKETS, value), len(BUCKETS) + 1, value)


class Histogram:
    """A histogram of prometheus_client's interface, over BUCKETS."""

    def __init__(self, name: str, documentation: str, labels: tuple[str, ...]) -> None:
        self.name, self.documentation, self.label_names = name, documentation, labels
        METRICS.append(self)

    def labels(self, *values: str) -> Distribution:
        """Return the histogram for values of the labels; whoever counts often keeps it."""
        return Distribution(counts.cells((self.name, *values), len(BUCKETS) + 2))

    def family(self, totals: Totals) -> Metric:
        """Return what is exposed."""
        family = HistogramMetricFamily(self.name, self.documentation, labels=self.label_names)
        for (_, *values), (*found, total) in selected(totals, self.name):
            limits = (*map(str, BUCKETS), "+Inf")
            family.add_metric(values, list(zip(limits, accumulate(found), strict=True)), total)
        return family


def selected(totals: Totals, name: str) -> Iterator[tuple[tuple[str, ...], list[float]]]:
    """Yield what belongs to one metric, in a stable order."""
    yield from sorted((key, values) for key, values in totals.items() if key[0] == name)


METRICS: list[Counter | Histogram] = []

requests = Counter("authsvc_requests", "Requests answered.", ("route", "status"))
seconds = Histogram("authsvc_request_seconds", "Seconds that an answer took.", ("route",))
verifications = Counter("authsvc_verifications", "Credentials verified.", ("method", "outcome"))
logins = Counter("authsvc_logins", "Login attempts.", ("outcome",))
revocations = Counter("authsvc_revocations", "Keys revoked and sessions ended.", ("kind",))
uncounted = Counter("authsvc_rate_limit_uncounted", "Requests that passed uncounted while Redis was away.")


class AllProcesses(Collector):
    """What all processes have counted, those that have ended included."""

    def collect(self) -> Iterator[Metric]:
        totals = counts.totals()
        for metric in METRICS:
            yield metric.family(totals)


def registry(*more: Collector) -> CollectorRegistry:
    """Return what /metrics exposes: the counts of all processes, and collectors that are asked now."""
    exposed = CollectorRegistry()
    for collector in (AllProcesses(), *more):
        exposed.register(collector)
    return exposed
