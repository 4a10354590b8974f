"""Rate limits: exactly so many pass, and not one because somebody was quick, parallel, or refused elsewhere."""

from __future__ import annotations

import logging
import socket
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
import time_machine
from redis import Redis

from accounts.models import User
from authsvc import ratelimit
from authsvc.config.rates import canonical
from tests.conftest import Api
from tests.factories import make_key
from tests.redis import EITHER, IN_REDIS, REDIS

THREADS = 50
NOON = 1_900_000_000.0


@pytest.fixture(params=[IN_REDIS])
def redis(settings: Any, request: pytest.FixtureRequest) -> Iterator[Redis]:
    """Count in a real Redis, empty at the start."""
    with Redis.from_url(REDIS) as client:
        client.flushdb()
        settings.REDIS_URL = REDIS
        yield client


@pytest.fixture(params=EITHER)
def counting(settings: Any, request: pytest.FixtureRequest) -> None:
    """Count in memory, then in an empty Redis."""
    settings.REDIS_URL = request.param
    if request.param:
        with Redis.from_url(request.param) as client:
            client.flushdb()


@pytest.fixture
def away(settings: Any) -> None:
    """Count in a Redis that nobody runs: the port is closed again before it is used."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        settings.REDIS_URL = f"redis://127.0.0.1:{probe.getsockname()[1]}/0"


@pytest.fixture
def eager_threads() -> Iterator[None]:
    """Let threads take turns as often as they can, so that what can race does."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


def in_parallel(work: Callable[[], bool], pool: ThreadPoolExecutor) -> int:
    """Start the same work in all threads at one moment and return how often it was true."""
    barrier = Barrier(THREADS, timeout=30)

    def start() -> bool:
        barrier.wait()
        return work()

    return sum(future.result(60) for future in [pool.submit(start) for _ in range(THREADS)])


@pytest.mark.parametrize(
    ("written", "stored"),
    [
        pytest.param("100/minute", "100/minute", id="one"),
        pytest.param("  100 / minute  ", "100/minute", id="spaces"),
        pytest.param("10/second;1000/hour", "10/second; 1000/hour", id="two"),
        pytest.param("1/second; 2/minute ;3/hour; 4/day", "1/second; 2/minute; 3/hour; 4/day", id="every unit"),
        pytest.param("9999999/day", "9999999/day", id="the most"),
    ],
)
def test_a_limit_is_kept_in_one_form(written: str, stored: str) -> None:
    assert canonical(written) == stored
    assert [limit.amount for limit in ratelimit.items(stored)] == [int(p.split("/")[0]) for p in stored.split("; ")]


@pytest.mark.parametrize(
    "written",
    [
        pytest.param("", id="nothing"),
        pytest.param("often", id="a word"),
        pytest.param("0/minute", id="zero"),
        pytest.param("-1/minute", id="negative"),
        pytest.param("+1/minute", id="a sign"),
        pytest.param("1.5/minute", id="a fraction"),
        pytest.param("10/minutes", id="plural"),
        pytest.param("10/MINUTE", id="upper case"),
        pytest.param("10/month", id="a unit that is none"),
        pytest.param("10/2/minute", id="a multiple"),
        pytest.param("10 per minute", id="words"),
        pytest.param("10/minute;", id="an empty part"),
        pytest.param("10/minute, 5/hour", id="a comma"),
        pytest.param("5/minute; 10/minute", id="one unit twice"),
        pytest.param("1/second; 2/minute; 3/hour; 4/day; 5/day", id="five parts"),
        pytest.param("10000000/day", id="eight digits"),
        pytest.param("1" * 5000 + "/day", id="five thousand digits"),
        pytest.param("010/minute", id="a leading zero"),
        pytest.param("１０/minute", id="full-width digits"),
        pytest.param("10/minute\x00", id="a null character"),
    ],
)
def test_what_is_no_limit_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match=r"\A") as refusal:
        canonical(written)
    assert refusal.value.args == (written,)


def test_exactly_so_many_pass_in_memory_and_then_no_more(eager_threads: None) -> None:
    assert ratelimit.hit("1/day", "the process is warm").passes
    with ThreadPoolExecutor(THREADS) as pool:
        rounds = [in_parallel(lambda n=n: ratelimit.hit("20/day", f"round {n}").passes, pool) for n in range(30)]
    assert rounds == [20] * 30
    assert not ratelimit.hit("20/day", "round 0").passes


def test_exactly_so_many_pass_of_the_first_requests_of_a_process(eager_threads: None) -> None:
    rounds = []
    with ThreadPoolExecutor(THREADS) as pool:
        for _ in range(20):
            ratelimit._storage.cache_clear()
            rounds.append(in_parallel(lambda: ratelimit.hit("20/day", "x").passes, pool))
    assert rounds == [20] * 20
    assert ratelimit.state.uncounted == 0


def test_exactly_so_many_pass_in_redis_however_many_processes_ask(redis: Redis) -> None:
    processes, (limit,) = [ratelimit.Redis(REDIS) for _ in range(2)], ratelimit.items("20/day")

    def ask(number: int) -> bool:
        return processes[number % 2].hit([limit.key_for("shared")], (limit,))[0]

    with ThreadPoolExecutor(THREADS) as pool:
        assert sum(pool.map(ask, range(THREADS))) == 20
    assert len(redis.keys()) == 1


def test_exactly_so_many_pass_where_two_limits_agree_in_memory(eager_threads: None) -> None:
    assert ratelimit.hit("1/day", "the process is warm").passes
    with ThreadPoolExecutor(THREADS) as pool:
        rounds = [in_parallel(lambda n=n: ratelimit.hit("9/hour; 9/day", f"round {n}").passes, pool) for n in range(10)]
    assert rounds == [9] * 10
    assert ratelimit.state.uncounted == 0


def test_exactly_so_many_pass_where_two_limits_agree_in_redis(redis: Redis) -> None:
    assert ratelimit.hit("1/day", "the process is warm").passes
    with ThreadPoolExecutor(THREADS) as pool:
        rounds = [in_parallel(lambda n=n: ratelimit.hit("9/hour; 9/day", f"round {n}").passes, pool) for n in range(10)]
    assert rounds == [9] * 10
    assert ratelimit.state.uncounted == 0


def test_the_headers_of_a_limit_count_down_to_the_refusal() -> None:
    with time_machine.travel(NOON, tick=False):
        verdicts = [ratelimit.hit("2/minute", "x") for _ in range(3)]
    policy = '"minute";q=2;w=60'
    assert verdicts == [
        ratelimit.Verdict(True, {"RateLimit-Policy": policy, "RateLimit": '"minute";r=1;t=60'}, 0),
        ratelimit.Verdict(True, {"RateLimit-Policy": policy, "RateLimit": '"minute";r=0;t=60'}, 0),
        ratelimit.Verdict(False, {"RateLimit-Policy": policy, "RateLimit": '"minute";r=0;t=60'}, 60),
    ]


def test_a_refused_request_does_not_push_the_window_on() -> None:
    with time_machine.travel(NOON, tick=False) as clock:
        assert ratelimit.hit("1/minute", "x").passes
        for _ in range(59):
            clock.shift(1)
            refused = ratelimit.hit("1/minute", "x")
            assert not refused.passes
        assert refused.retry_after == 1
        clock.shift(1)
        assert ratelimit.hit("1/minute", "x").passes


def test_a_refused_request_does_not_push_the_window_on_in_redis(redis: Redis) -> None:
    assert ratelimit.hit("1/minute", "x").passes
    (name,) = redis.keys()
    redis.pexpire(name, 30_000)
    assert [ratelimit.hit("1/minute", "x").passes for _ in range(5)] == [False] * 5
    assert 0 < redis.pttl(name) <= 30_000


def test_whoever_waits_as_long_as_they_were_told_is_let_in(redis: Redis) -> None:
    ratelimit.hit("1/minute", "x")
    (name,) = redis.keys()
    redis.pexpire(name, 1400)
    left = redis.pttl(name) / 1000
    verdict = ratelimit.hit("1/minute", "x")
    assert not verdict.passes
    assert verdict.retry_after >= left


def test_a_request_refused_by_one_limit_does_not_count_against_the_other() -> None:
    limits = "1/second; 3/day"
    with time_machine.travel(NOON, tick=False) as clock:
        assert ratelimit.hit(limits, "x").headers["RateLimit"] == '"second";r=0;t=1, "day";r=2;t=86400'
        assert [ratelimit.hit(limits, "x").passes for _ in range(20)] == [False] * 20
        clock.shift(1)
        assert ratelimit.hit(limits, "x").headers["RateLimit"] == '"second";r=0;t=1, "day";r=1;t=86399'
        clock.shift(1)
        assert ratelimit.hit(limits, "x").passes
        clock.shift(1)
        refused = ratelimit.hit(limits, "x")
    assert refused.headers == {
        "RateLimit-Policy": '"second";q=1;w=1, "day";q=3;w=86400',
        "RateLimit": '"day";r=0;t=86397',
    }
    assert (refused.passes, refused.retry_after) == (False, 86397)


def test_two_limits_used_up_ask_to_wait_for_the_longer(redis: Redis) -> None:
    assert ratelimit.hit("1/minute; 1/hour", "x").passes
    refused = ratelimit.hit("1/minute; 1/hour", "x")
    assert refused.headers["RateLimit"] == '"minute";r=0;t=60, "hour";r=0;t=3600'
    assert (refused.passes, refused.retry_after) == (False, 3600)


@pytest.mark.usefixtures("counting")
def test_a_429_says_when_to_come_again(api: Api, alice: User) -> None:
    key = make_key(alice, rate_limit="2/hour")[1]
    passed = [api.get("/protected/service", key=key) for _ in range(2)]
    refused = api.get("/protected/service", key=key)
    assert [(r.status_code, r["RateLimit"]) for r in passed] == [
        (200, '"hour";r=1;t=3600'),
        (200, '"hour";r=0;t=3600'),
    ]
    assert refused.json() == {
        "type": "about:blank",
        "title": "Too Many Requests",
        "status": 429,
        "detail": "The rate limit is used up; try again after the seconds in Retry-After.",
    }
    told = {name: refused[name] for name in ("Retry-After", "RateLimit", "RateLimit-Policy", "Content-Type")}
    assert told == {
        "Retry-After": "3600",
        "RateLimit": '"hour";r=0;t=3600',
        "RateLimit-Policy": '"hour";q=2;w=3600',
        "Content-Type": "application/problem+json",
    }


def test_without_redis_requests_pass_and_it_is_logged_and_counted(
    away: None, api: Api, alice: User, caplog: pytest.LogCaptureFixture
) -> None:
    key = make_key(alice, rate_limit="1/hour")[1]
    with caplog.at_level(logging.ERROR, "authsvc.ratelimit"):
        answers = [api.get("/protected/service", key=key) for _ in range(3)]
    assert [(r.status_code, r.has_header("RateLimit")) for r in answers] == [(200, False)] * 3
    assert ratelimit.state.uncounted == 3
    (message,) = [record.getMessage() for record in caplog.records]
    assert message.startswith("rate limits are not counted: ConnectionError: Error ")


def test_counting_pauses_for_a_second_and_comes_back_with_redis(redis: Redis, away: None, settings: Any) -> None:
    assert ratelimit.hit("1/hour", "x").passes
    assert 0.9 < ratelimit.state.away_until - time.monotonic() <= 1
    settings.REDIS_URL = REDIS
    assert ratelimit.hit("1/hour", "x") == ratelimit.Verdict(True, {}, 0)
    assert redis.keys() == []
    ratelimit.state.away_until = time.monotonic()
    assert [ratelimit.hit("1/hour", "x").passes for _ in range(2)] == [True, False]
    assert ratelimit.state.uncounted == 2


def test_a_redis_that_is_away_holds_nobody_up(away: None) -> None:
    began = time.monotonic()
    assert ratelimit.hit("1/hour", "x").passes
    assert time.monotonic() - began < 40 * ratelimit.REDIS_TIMEOUT  # and not for ever


def test_a_redis_that_never_answers_holds_nobody_up(settings: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        settings.REDIS_URL = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
        began = time.monotonic()
        assert ratelimit.hit("1/hour", "x").passes
        assert time.monotonic() - began < 40 * ratelimit.REDIS_TIMEOUT  # and not for ever


@pytest.mark.usefixtures("counting")
@pytest.mark.parametrize("text", ["2/hour", "2/hour; 5/day"])
def test_a_count_that_was_for_nothing_is_given_back(text: str) -> None:
    assert [ratelimit.hit(text, "x").passes for _ in range(3)] == [True, True, False]
    ratelimit.give_back(text, "x")
    assert [ratelimit.hit(text, "x").passes for _ in range(2)] == [True, False]
    ratelimit.give_back(text, "nobody")
    assert [ratelimit.hit(text, "nobody").passes for _ in range(3)] == [True, True, False]


def test_a_count_that_cannot_be_given_back_is_logged(away: None, caplog: pytest.LogCaptureFixture) -> None:
    ratelimit.give_back("2/hour", "x")
    assert "a count could not be given back: ConnectionError: " in caplog.text


def test_the_log_has_the_cause_once_and_says_when_counting_is_back(
    away: None, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    ratelimit.state.mark_up()
    for _ in range(3):
        ratelimit.state.away_until = 0.0
        assert ratelimit.hit("1/hour", "x").passes
    settings.REDIS_URL = ""
    ratelimit.state.away_until = 0.0
    assert ratelimit.backend() == "memory"
    first, last = [record.getMessage() for record in caplog.records]
    assert first.startswith("rate limits are not counted: ConnectionError: ")
    assert last == "rate limits are counted again; 3 requests passed uncounted"


def test_a_change_that_two_threads_notice_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    class LateLock:
        """Lets another thread win the lock."""

        def __enter__(self) -> None:
            ratelimit.state.is_away = False

        def __exit__(self, *raised: object) -> None:
            return

    ratelimit.state.mark_down(ValueError("x"))
    ratelimit.state.lock = LateLock()  # type: ignore[assignment]  # stands for a lock
    ratelimit.state.mark_up()
    assert [record.getMessage() for record in caplog.records] == ["rate limits are not counted: ValueError: x"]


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("redis://u:p%40ss@h/0", "ValueError: no *** and *** here"),
        ("redis://h/0", "ValueError: no p@ss and p%40ss here"),
    ],
)
def test_the_cause_is_the_first_line_without_the_password(settings: Any, url: str, said: str) -> None:
    settings.REDIS_URL = url
    assert ratelimit.describe(ValueError("no p@ss and p%40ss here\nand more")) == said
    assert ratelimit.describe(ValueError()) == "ValueError: "


def test_one_thread_asks_and_the_others_do_not_wait_while_redis_is_away() -> None:
    ratelimit.state.mark_down(ValueError("x"))
    assert not ratelimit.state.may_try()
    ratelimit.state.away_until = 0.0
    assert [ratelimit.state.may_try() for _ in range(3)] == [True, False, False]


@pytest.mark.parametrize(("url", "started"), [("", 0), ("redis://127.0.0.1:1/0", 1)], ids=["memory", "redis"])
def test_a_process_that_serves_checks_redis_where_it_has_one(
    settings: Any, monkeypatch: pytest.MonkeyPatch, url: str, started: int
) -> None:
    settings.REDIS_URL = url
    checked: list[bool] = []
    monkeypatch.setattr(ratelimit, "start_checks", lambda: checked.append(True))
    ratelimit.on_worker_started()
    assert len(checked) == started


def test_a_check_is_made_every_few_seconds_until_it_is_ended(away: None, monkeypatch: pytest.MonkeyPatch) -> None:
    checked: list[bool] = []
    monkeypatch.setattr(ratelimit, "REDIS_CHECK", 0.01)
    monkeypatch.setattr(ratelimit, "backend", lambda: checked.append(True))
    stop = ratelimit.start_checks()
    end = time.monotonic() + 10
    while len(checked) < 3 and time.monotonic() < end:
        time.sleep(0.01)
    stop.set()
    assert len(checked) >= 3


def test_a_limit_that_changes_goes_on_counting(db: None) -> None:
    for amount in range(3, 9):
        assert ratelimit.hit(f"{amount}/day", "a key").passes
    assert not ratelimit.hit("6/day", "a key").passes
