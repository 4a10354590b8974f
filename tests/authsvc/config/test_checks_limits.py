"""What the operator is told of how limits are counted: by a system check, and by /readyz."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from django.core.checks import run_checks

from authsvc import ratelimit
from authsvc.config.checks import TAG
from tests.conftest import Api
from tests.redis import NEEDS_REDIS, REDIS

SERVER = REDIS.rpartition("/")[0] or "redis://127.0.0.1:6379"
READY = {"status": "ok", "database": "ok", "migrations": "ok"}


@pytest.mark.parametrize(
    ("redis_url", "processes", "warned"),
    [
        pytest.param("", 1, False, id="one process, memory"),
        pytest.param("", 2, True, id="two processes, memory"),
        pytest.param("redis://127.0.0.1:6379/7", 1, False, id="one process, Redis"),
        pytest.param("redis://127.0.0.1:6379/7", 2, False, id="two processes, Redis"),
    ],
)
def test_memory_with_several_processes_is_warned_of(
    settings: Any, redis_url: str, processes: int, warned: bool
) -> None:
    settings.REDIS_URL, settings.WEB_CONCURRENCY = redis_url, processes
    messages = run_checks(tags=[TAG])
    assert [message.id for message in messages] == ["authsvc.W001"] * warned
    assert [message.is_serious() for message in messages] == [False] * warned


def test_the_warning_says_what_to_do(settings: Any) -> None:
    settings.REDIS_URL, settings.WEB_CONCURRENCY = "", 8
    (warning,) = run_checks(tags=[TAG])
    assert warning.msg == (
        "Rate limits are counted in each process's memory, so a limit is in effect multiplied by the processes."
    )
    assert warning.hint == "Set REDIS_URL, or WEB_CONCURRENCY=1."


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("redis_url", "counting"),
    [pytest.param("", "memory", id="memory"), pytest.param(REDIS, "redis", id="redis", marks=NEEDS_REDIS)],
)
def test_readyz_says_where_limits_are_counted(api: Api, settings: Any, redis_url: str, counting: str) -> None:
    settings.REDIS_URL = redis_url
    response = api.get("/readyz")
    assert response.status_code == 200
    assert response.json() == {**READY, "rate_limits": counting}


@pytest.mark.django_db
@pytest.mark.parametrize(
    "redis_url",
    [
        pytest.param("redis://127.0.0.1:1/0", id="nobody listens"),
        pytest.param(f"{SERVER}/99999", id="no such database"),
        pytest.param(f"redis://nobody:wrong@{SERVER.removeprefix('redis://')}/0", id="a wrong password"),
        pytest.param("unix:///nowhere/redis.sock", id="no such socket"),
        pytest.param("rediss://127.0.0.1:1/0", id="nobody listens, TLS"),
        pytest.param(f"{SERVER}/0?socket_timeout=soon", id="an option that is none"),
    ],
)
def test_readyz_is_degraded_while_redis_is_away_and_requests_are_still_served(
    api: Api, settings: Any, redis_url: str
) -> None:
    settings.REDIS_URL = redis_url
    response = api.get("/readyz")
    assert response.status_code == 200
    assert response.json() == {**READY, "status": "degraded", "rate_limits": "redis away"}
    assert ratelimit.hit("1/hour", "x") == ratelimit.Verdict(True, {}, 0)


@pytest.mark.django_db
@NEEDS_REDIS
def test_readyz_recovers_with_redis(api: Api, settings: Any) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        settings.REDIS_URL = f"redis://127.0.0.1:{probe.getsockname()[1]}/0"
        assert api.get("/readyz").json()["status"] == "degraded"
    settings.REDIS_URL = REDIS
    assert api.get("/readyz").json()["status"] == "ok"
