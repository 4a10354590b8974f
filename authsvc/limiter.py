"""Rate limits as the ``limits`` library writes and keeps them: in Redis where REDIS_URL names one, else in memory."""

from __future__ import annotations

import logging
import math
import time
from dataclasses import dataclass
from functools import lru_cache
from threading import Lock

from django.conf import settings
from limits import RateLimitItem, parse_many
from limits.storage import MemoryStorage

from authsvc import metrics

logger = logging.getLogger(__name__)

REDIS_TIMEOUT = 0.25  # seconds; a request waits no longer for its count
REDIS_PAUSE = 1.0  # seconds without a new attempt after a failure, so that a Redis that is away does not slow everybody


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a request may pass, and what its client is told (draft-ietf-httpapi-ratelimit-headers)."""

    passes: bool
    headers: dict[str, str]
    retry_after: int  # seconds, rounded up


def redis_errors() -> tuple[type[Exception], ...]:
    """Return what a Redis that is away raises; ``except`` asks only once something was raised."""
    import redis  # noqa: PLC0415  as below

    return redis.RedisError, ValueError, TypeError  # the last two of options in the URL


class State:
    """What a process knows of its Redis: since when it is away, and how many requests passed uncounted."""

    def __init__(self) -> None:
        self.away_until, self.uncounted = 0.0, 0

    def failed(self, error: Exception) -> None:
        """Note a failure; the pause begins anew."""
        self.away_until = time.monotonic() + REDIS_PAUSE
        logger.error("rate limits are not counted, Redis is away: %s", type(error).__name__)


state = State()


@lru_cache(maxsize=1024)
def items(text: str) -> tuple[RateLimitItem, ...]:
    """Return the limits of a canonical text."""
    return tuple(parse_many(text))


class Memory:
    """Counts in this process. One lock, since the library's own storage loses counts of a key's first moments."""

    def __init__(self) -> None:
        self.storage, self.lock = MemoryStorage(), Lock()

    def hit(self, keys: list[str], limits: tuple[RateLimitItem, ...]) -> tuple[bool, list[int], list[float]]:
        """Count against all limits or none; return whether it passes, each count, each window's seconds to go."""
        with self.lock:
            counts = [self.storage.get(key) for key in keys]
            passes = all(count < limit.amount for count, limit in zip(counts, limits, strict=True))
            if passes:
                counts = [self.storage.incr(key, limit.get_expiry()) for key, limit in zip(keys, limits, strict=True)]
            now = time.time()
            return passes, counts, [self.storage.get_expiry(key) - now for key in keys]


class Redis:
    """Counts in Redis, in one round trip: against all limits or none, which several INCRs could not promise."""

    SCRIPT = """
        local passes, counts, left = 1, {}, {}
        for i, key in ipairs(KEYS) do
            counts[i] = tonumber(redis.call('GET', key) or '0')
            if counts[i] >= tonumber(ARGV[2 * i - 1]) then passes = 0 end
        end
        for i, key in ipairs(KEYS) do
            if passes == 1 then
                counts[i] = redis.call('INCR', key)
                if counts[i] == 1 then redis.call('EXPIRE', key, ARGV[2 * i]) end
            end
            left[i] = redis.call('PTTL', key)
        end
        return {passes, counts, left}
    """

    def __init__(self, url: str) -> None:
        import redis  # noqa: PLC0415  4 MiB of each process, and nobody's need where there is no Redis

        self.client = redis.from_url(url, socket_timeout=REDIS_TIMEOUT, socket_connect_timeout=REDIS_TIMEOUT)
        self.script = self.client.register_script(self.SCRIPT)

    def hit(self, keys: list[str], limits: tuple[RateLimitItem, ...]) -> tuple[bool, list[int], list[float]]:
        """As Memory's."""
        arguments = [value for limit in limits for value in (limit.amount, limit.get_expiry())]
        passes, counts, left = self.script(keys=[f"authsvc:{key}" for key in keys], args=arguments)
        return bool(passes), counts, [milliseconds / 1000 for milliseconds in left]


creating = Lock()


def storage(url: str) -> Memory | Redis:
    """Return where the counts are; one for each process, also when its first requests come at once."""
    with creating:
        return _storage(url)


@lru_cache(maxsize=1)
def _storage(url: str) -> Memory | Redis:
    return Redis(url) if url else Memory()


def hit(text: str, *identity: str) -> Verdict:
    """Count a request against limits and say whether it may pass; a refused one is not counted and prolongs no window.

    Fixed windows that begin with their first request; exactly as many pass in one as the limit says. While Redis is
    away requests pass uncounted: a cache that is down must not be an outage.
    """
    if time.monotonic() >= state.away_until:
        try:
            return judge(items(text), identity)
        except redis_errors() as error:
            state.failed(error)
    state.uncounted += 1
    metrics.uncounted.inc()
    return Verdict(True, {}, 0)


def judge(limits: tuple[RateLimitItem, ...], identity: tuple[str, ...]) -> Verdict:
    """Count, or raise what Redis raises."""
    keys = [limit.key_for(*identity) for limit in limits]
    passes, counts, left = storage(settings.REDIS_URL).hit(keys, limits)
    waits = [max(1, math.ceil(seconds)) for seconds in left]
    over = [not passes and count >= limit.amount for count, limit in zip(counts, limits, strict=True)]
    rows = list(zip(limits, counts, waits, over, strict=True))
    quotas = ", ".join(f"{name(limit)};q={limit.amount};w={limit.get_expiry()}" for limit in limits)
    shown = [(limit, count, wait) for limit, count, wait, full in rows if passes or full]
    rest = ", ".join(f"{name(limit)};r={max(0, limit.amount - count)};t={wait}" for limit, count, wait in shown)
    retry_after = 0 if passes else max(wait for _, _, wait in shown)
    return Verdict(passes, {"RateLimit-Policy": quotas, "RateLimit": rest}, retry_after)


def name(limit: RateLimitItem) -> str:
    """Return a limit's name in the headers."""
    return f'"{limit.GRANULARITY.name}"'


def backend() -> str:
    """Say how the counting is: "memory", "redis", or "redis away"."""
    try:
        where = storage(settings.REDIS_URL)
        return "redis" if isinstance(where, Redis) and where.client.ping() else "memory"
    except redis_errors():
        return "redis away"
