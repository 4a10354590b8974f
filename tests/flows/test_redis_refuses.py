"""A Redis that is up and counts nothing: a replica, one without memory or rights, a Sentinel, one that is frozen."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import redis

from authsvc import ratelimit
from tests.flows.conftest import Server, bearer, eventually, free_port, new_name

PASSWORD = "not-to-be-logged"
SLACK = 2.0  # seconds that a busy machine may add


class OwnRedis:
    """A redis-server of a test's own; ``client`` has every right there."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.port, command = free_port(), shutil.which("redis-server") or pytest.skip("no redis-server")
        options = ("--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no")
        with (folder / "redis.log").open("w") as log:
            self.process = subprocess.Popen([command, *options, *arguments], cwd=folder, stdout=log, stderr=log)
        self.client = redis.Redis(port=self.port, socket_timeout=5)
        self.url = f"redis://127.0.0.1:{self.port}/0"
        eventually(lambda: answers(self.client))

    def stop(self) -> None:
        """Stop, frozen or not."""
        self.client.close()
        self.process.send_signal(signal.SIGCONT)
        self.process.terminate()
        self.process.wait(20)


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[OwnRedis]:
    running = OwnRedis(tmp_path)
    yield running
    running.stop()


@pytest.fixture
def limited(launch: Callable[..., Server], own_redis: OwnRedis) -> tuple[Server, dict[str, str]]:
    """A server that counts there, and a key with a limit."""
    own_redis.client.execute_command("ACL", "SETUSER", "service", "on", f">{PASSWORD}", "~authsvc:*", "+@all")
    server = launch(REDIS_URL=own_redis.url.replace("://", f"://service:{PASSWORD}@"))
    token = server.sign_up(new_name())
    made = server.http.post("/keys", json={"name": "x", "rate_limit": "2/day"}, headers=bearer(token)).json()
    return server, {"X-API-Key": made["key"]}


def state(server: Server) -> tuple[str, str]:
    """Return what /readyz and /metrics say of the counting."""
    ready = server.http.get("/readyz")
    assert ready.status_code == 200
    told = server.http.get("/metrics").text
    return ready.json()["status"], told.split("\nauthsvc_rate_limit_backend_up ")[1][0]


def refuse_as_a_replica(own: OwnRedis) -> None:
    own.client.execute_command("REPLICAOF", "127.0.0.1", "1")


def refuse_for_want_of_memory(own: OwnRedis) -> None:
    own.client.config_set("maxmemory", "1")


def refuse_without_the_right(own: OwnRedis) -> None:
    own.client.execute_command("ACL", "SETUSER", "service", "-incr")


def refuse_without_the_keys(own: OwnRedis) -> None:
    own.client.execute_command("ACL", "SETUSER", "service", "resetkeys", "~others:*")


def refuse_scripts(own: OwnRedis) -> None:
    own.client.execute_command("SCRIPT", "FLUSH")
    own.client.execute_command("ACL", "SETUSER", "service", "-script")


@pytest.mark.parametrize(
    ("refuse", "undo", "cause"),
    [
        pytest.param(refuse_as_a_replica, ("REPLICAOF", "NO", "ONE"), "read only replica", id="replica"),
        pytest.param(refuse_for_want_of_memory, ("CONFIG", "SET", "maxmemory", "0"), "maxmemory", id="no memory"),
        pytest.param(
            refuse_without_the_right, ("ACL", "SETUSER", "service", "+incr"), "run this command", id="no right"
        ),
        pytest.param(refuse_without_the_keys, ("ACL", "SETUSER", "service", "allkeys"), "access", id="not its keys"),
        pytest.param(refuse_scripts, ("ACL", "SETUSER", "service", "+script"), "script", id="no scripts"),
    ],
)
def test_a_redis_that_refuses_shows_everywhere_and_is_logged_once_with_its_cause(
    limited: tuple[Server, dict[str, str]],
    own_redis: OwnRedis,
    refuse: Callable[[OwnRedis], None],
    undo: tuple[str, ...],
    cause: str,
) -> None:
    server, key = limited
    assert state(server) == ("ok", "1")
    assert [server.http.get("/auth/verify", headers=key).status_code for _ in range(3)] == [200, 200, 429]
    refuse(own_redis)
    assert state(server) == ("degraded", "0")
    assert [server.http.get("/auth/verify", headers=key).status_code for _ in range(20)] == [200] * 20
    own_redis.client.execute_command(*undo)
    eventually(lambda: state(server) == ("ok", "1"))
    eventually(lambda: server.http.get("/auth/verify", headers=key).status_code == 429)
    log = server.log.read_text()
    (told,) = [line for line in log.splitlines() if "limits are not counted" in line]
    assert cause in told.lower()
    assert log.count("rate limits are counted again; ") == 1
    assert PASSWORD not in log


def test_the_gauge_follows_without_a_request_and_waits_for_nobody(
    limited: tuple[Server, dict[str, str]], own_redis: OwnRedis
) -> None:
    server, _ = limited
    own_redis.process.send_signal(signal.SIGSTOP)
    gauge = "\nauthsvc_rate_limit_backend_up 0"
    eventually(
        lambda: gauge in server.http.get("/metrics").text, seconds=ratelimit.REDIS_CHECK + ratelimit.REDIS_PAUSE + 5
    )


def test_a_frozen_redis_costs_one_request_a_second_a_quarter_of_one(
    limited: tuple[Server, dict[str, str]], own_redis: OwnRedis
) -> None:
    server, key = limited
    assert server.http.get("/auth/verify", headers=key).status_code == 200
    own_redis.process.send_signal(signal.SIGSTOP)
    took = []
    for _ in range(40):
        began = time.monotonic()
        assert server.http.get("/auth/verify", headers=key).status_code == 200
        took.append(time.monotonic() - began)
    assert max(took) < ratelimit.REDIS_TIMEOUT + SLACK
    assert sum(took) < 40 * ratelimit.REDIS_TIMEOUT / 2
    own_redis.process.send_signal(signal.SIGCONT)
    eventually(lambda: state(server) == ("ok", "1"))


def test_a_sentinels_port_counts_nothing_and_says_so(tmp_path: Path, settings: Any) -> None:
    (tmp_path / "sentinel.conf").write_text("")
    command, port = shutil.which("redis-server") or pytest.skip("no redis-server"), free_port()
    arguments = [str(tmp_path / "sentinel.conf"), "--sentinel", "--port", str(port)]
    with (tmp_path / "sentinel.log").open("w") as log:
        process = subprocess.Popen([command, *arguments], cwd=tmp_path, stdout=log, stderr=log)
    try:
        client = redis.Redis(port=port, socket_timeout=5)
        eventually(lambda: answers(client))
        client.close()
        settings.REDIS_URL = f"redis://127.0.0.1:{port}"
        assert ratelimit.backend() == "redis away"
        assert ratelimit.state.is_away
    finally:
        process.terminate()
        process.wait(20)


def answers(client: redis.Redis) -> bool:
    """Return whether a server answers a PING."""
    found = False
    with suppress(redis.ConnectionError):
        found = bool(client.ping())
    return found


def test_two_limits_of_one_key_are_in_one_slot_of_a_cluster(tmp_path: Path, settings: Any) -> None:
    own = OwnRedis(tmp_path, "--cluster-enabled", "yes")
    try:
        own.client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
        eventually(lambda: b"cluster_state:ok" in own.client.execute_command("CLUSTER", "INFO"))
        settings.REDIS_URL = own.url.removesuffix("/0")
        assert ratelimit.backend() == "redis"
        assert [ratelimit.hit("9/minute; 2/hour", f"key:{os.getpid()}").passes for _ in range(3)] == [True, True, False]
        assert ratelimit.state.uncounted == 0
    finally:
        own.stop()
