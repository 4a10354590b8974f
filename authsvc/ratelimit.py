"""Rate limits as the ``limits`` library writes and keeps them: in Redis where REDIS_URL names one, else in memory."""

from __future__ import annotations

import logging
import math
import time
from dataclasses import dataclass
from functools import lru_cache
from threading import Event, Lock, Thread
from typing import Any
from urllib.parse import unquote

from django.conf import settings
from limits import RateLimitItem, parse_many
from limits.storage import MemoryStorage

from authsvc.telemetry import metrics

logger = logging.getLogger(__name__)

REDIS_TIMEOUT = 0.25  # seconds; a request waits no longer for its count
REDIS_CHECK = 2.0  # seconds between two checks of a process that serves, for /metrics and the log
LONGEST_CAUSE = 200  # characters of an error in the log
# What a check counts against: as a request with two limits does, under a name that no caller can give, and never full.
CHECK, CHECKED = "9999999/second; 9999999/minute", "readiness"
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


def describe(error: Exception) -> str:
    """Return an error's kind and the first line of its message, without the password of REDIS_URL."""
    first_line = next(iter(str(error).splitlines()), "")[:LONGEST_CAUSE]
    _, _, password = settings.REDIS_URL.partition("://")[2].rpartition("@")[0].partition(":")
    for secret in {password, unquote(password)} - {""}:
        first_line = first_line.replace(secret, "***")
    return f"{type(error).__name__}: {first_line}"


class State:
    """Whether this process's Redis counts, and how many requests passed uncounted. Changes are logged, once each."""

    def __init__(self) -> None:
        self.away_until, self.uncounted, self.uncounted_before = 0.0, 0, 0
        self.is_away, self.lock = False, Lock()

    def may_try(self) -> bool:
        """Return whether to ask Redis: always while it counts, else one request a pause; the others do not wait."""
        if not self.is_away:
            return True
        with self.lock:
            due = time.monotonic() >= self.away_until
            if due:
                self.away_until = time.monotonic() + REDIS_PAUSE
            return due

    def mark_down(self, error: Exception) -> None:
        """Note a failure; the pause begins again."""
        with self.lock:
            self.away_until, known = time.monotonic() + REDIS_PAUSE, self.is_away
            self.is_away = True
            if not known:
                self.uncounted_before = self.uncounted
        if not known:
            logger.error("rate limits are not counted: %s", describe(error))

    def mark_up(self) -> None:
        """Note that Redis counts."""
        if not self.is_away:
            return
        with self.lock:
            known, self.is_away = not self.is_away, False
            passed = self.uncounted - self.uncounted_before
        if not known:
            logger.warning("rate limits are counted again; %d requests passed uncounted", passed)


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

    def give_back(self, keys: list[str]) -> None:
        """Undo one count of each key."""
        with self.lock:
            for key in keys:
                if self.storage.get(key):
                    self.storage.decr(key)


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
    GIVE_BACK = """
        for _, key in ipairs(KEYS) do
            if tonumber(redis.call('GET', key) or '0') > 0 then redis.call('DECR', key) end
        end
    """

    def __init__(self, url: str) -> None:
        import redis  # noqa: PLC0415  4 MiB of each process, and nobody's need where there is no Redis
        from redis.backoff import NoBackoff  # noqa: PLC0415  as above
        from redis.retry import Retry  # noqa: PLC0415  as above

        # The client's default is three retries, seconds apart; a connection that has died meanwhile it notices itself.
        self.client = redis.from_url(
            url,
            socket_timeout=REDIS_TIMEOUT,
            socket_connect_timeout=REDIS_TIMEOUT,
            retry=Retry(NoBackoff(), 0),
        )
        self.script = self.client.register_script(self.SCRIPT)
        self.undo = self.client.register_script(self.GIVE_BACK)

    def hit(self, keys: list[str], limits: tuple[RateLimitItem, ...]) -> tuple[bool, list[int], list[float]]:
        """As Memory's."""
        arguments = [value for limit in limits for value in (limit.amount, limit.get_expiry())]
        passes, counts, left = self.script(keys=[f"authsvc:{key}" for key in keys], args=arguments)
        return bool(passes), counts, [milliseconds / 1000 for milliseconds in left]

    def give_back(self, keys: list[str]) -> None:
        """As Memory's."""
        self.undo(keys=[f"authsvc:{key}" for key in keys])


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
    if state.may_try():
        try:
            verdict = judge(items(text), identity)
        except redis_errors() as error:
            state.mark_down(error)
        else:
            state.mark_up()
            return verdict
    state.uncounted += 1
    metrics.uncounted.inc()
    return Verdict(True, {}, 0)


def give_back(text: str, *identity: str) -> None:
    """Undo one ``hit`` that was for nothing. Where Redis refuses that, the count stays until its window ends."""
    try:
        storage(settings.REDIS_URL).give_back(keys_for(items(text), identity))
    except redis_errors() as error:
        logger.warning("a count could not be given back: %s", describe(error))


def keys_for(limits: tuple[RateLimitItem, ...], identity: tuple[str, ...]) -> list[str]:
    """Return the name of each limit's count. The braces keep those of one identity in one slot of a Redis Cluster."""
    tag = "/".join(identity)
    return [f"{{{tag}}}:{limit.GRANULARITY.name}" for limit in limits]


def judge(limits: tuple[RateLimitItem, ...], identity: tuple[str, ...]) -> Verdict:
    """Count, or raise what Redis raises."""
    passes, counts, left = storage(settings.REDIS_URL).hit(keys_for(limits, identity), limits)
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
    """Return how requests are counted: "memory", "redis", or "redis away". It counts as a request does, to find out.

    A PING would not do: a replica, a Redis without memory or rights, and a Sentinel answer it, and count nothing.
    """
    try:
        judge(items(CHECK), (CHECKED,))
    except redis_errors() as error:
        state.mark_down(error)
        return "redis away"
    state.mark_up()
    return "redis" if settings.REDIS_URL else "memory"


def on_worker_started(**signal: Any) -> None:
    """Check Redis every few seconds, in a process that is about to serve: /metrics waits for nobody."""
    if settings.REDIS_URL:
        start_checks()


def start_checks() -> Event:
    """Check from now on, in a thread; the event returned ends it."""
    stop = Event()
    Thread(target=check_until, args=(stop,), name="redis check", daemon=True).start()
    return stop


def check_until(stop: Event) -> None:
    """The thread's loop."""
    while not stop.is_set():
        backend()
        stop.wait(REDIS_CHECK)
