"""What a request costs gunicorn, PostgreSQL and Redis, each in CPU time of its processes; and the cores that makes.

    DATABASE_URL=postgres://postgres@127.0.0.1:5432/postgres python bench/cost.py [seconds]

For a PostgreSQL on this machine, since it reads /proc. Serves a process for each core, so that each keeps one, on a
database of its own, with a Redis of its own, and calls each route for so many seconds on 8 connections; a key's first
use in a minute, which is noted, on 16 connections and with a key of its own each time. The cores for
more requests are that cost, multiplied: an extrapolation, which leaves out the proxy, TLS, the network and what does
not grow in step.
"""

import os
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import httpx
import load
import population
import psycopg
import service

from tests.flows.callers import Call, calling
from tests.flows.revocations import answered, new_victim

KEYS = 100_000  # more than are asked for while their first use in a minute is measured, so that each is asked for once
CONNECTIONS, TICKS = 8, os.sysconf("SC_CLK_TCK")
RATES = (1_000, 100_000, 1_000_000)  # requests a second
BACKENDS = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"


def cpu(pids: list[int]) -> float:
    """Return the seconds of CPU that processes have used so far."""
    fields = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in pids]
    return sum(int(field[11]) + int(field[12]) for field in fields) / TICKS


def main(seconds: float) -> None:
    """Set up, measure, print, clean up."""
    with ExitStack() as stack:
        url, redis = stack.enter_context(service.own_database()), stack.enter_context(service.own_redis())
        port = service.free_port()
        settings = {"WEB_CONCURRENCY": str(os.cpu_count()), "PORT": str(port), "BCRYPT_ROUNDS": "4"}
        environment = service.variables(url, **settings, REDIS_URL=f"redis://127.0.0.1:{redis.port}/0")
        service.manage(environment, "migrate", "-v0")
        master = stack.enter_context(service.served(environment))
        workers = [int(pid) for pid in Path(f"/proc/{master}/task/{master}/children").read_text().split()]
        database = stack.enter_context(psycopg.connect(url, autocommit=True))
        http = stack.enter_context(httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False))

        def used() -> list[float]:
            return [cpu(pids) for pids in (workers, [row[0] for row in database.execute(BACKENDS)], [redis.pid])]

        for name, call in routes(http).items():
            with calling(port, [call], CONNECTIONS) as callers:
                for caller in callers:
                    caller.wait_for(20)
                before, began = used(), sum(len(caller.calls) for caller in callers)
                time.sleep(seconds)
                done = sum(len(caller.calls) for caller in callers) - began
                after = used()
            assert {status for caller in callers for _, status in caller.calls} == {200}, name
            show(name, done, before, after)
        asked = unused_lately(url, database)
        load.run(port, asked[: KEYS // 4], 1)  # until all connections are there
        before, done = used(), int(load.run(port, asked[KEYS // 4 :], seconds).rate * seconds)
        show("/auth/verify, key, first in a minute", done, before, used())


def unused_lately(url: str, database: psycopg.Connection) -> list[bytes]:
    """Fill the database with keys that nobody has used for an hour, and return a call for each."""
    population.fill(url, KEYS)
    for table in ("apikeys_apikey", "apikeys_secret"):
        database.execute(f"UPDATE {table} SET last_used_at = now() - interval '1 hour'")
    calls = [("/auth/verify", f"X-API-Key: {population.plaintext(n)}") for n in range(10, KEYS) if population.active(n)]
    return [load.get(*call) for call in calls]


def routes(http: httpx.Client) -> dict[str, Call]:
    """Make a user and return the calls, by name."""
    victim = new_victim(http)
    limited = {"name": "limited", "rate_limit": "1000000/hour"}
    key = answered(http.post("/keys/create", json=limited, headers=victim.own), 201)["key"]
    service_call, verify_key = victim.key_calls
    user_call, verify_token = victim.token_calls
    return {
        "/auth/verify, key": verify_key,
        "/auth/verify, key with a rate limit": ("/auth/verify", "X-API-Key", key),
        "/auth/verify, token": verify_token,
        "/protected/service, key": service_call,
        "/protected/user, token": user_call,
    }


def show(name: str, done: int, before: list[float], after: list[float]) -> None:
    """Print the cost of a route and the cores that it makes."""
    used = [(end - start) / done for start, end in zip(before, after, strict=True)]
    split = ", ".join(
        f"{who} {part * 1e6:.0f}" for who, part in zip(("gunicorn", "PostgreSQL", "Redis"), used, strict=True)
    )
    print(f"{name}: {done} requests; us of CPU each: {split}")
    for rate in RATES:
        cores = ", ".join(f"{part * rate:.1f}" for part in used)
        print(f"  {rate:9,} req/s: cores {cores}")
    sys.stdout.flush()


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 6)
