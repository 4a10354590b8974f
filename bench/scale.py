"""Whether the service is as fast with ten million keys as with ten thousand; as ratios to the smallest population.

    DATABASE_URL=postgres://postgres@127.0.0.1:5432/postgres python bench/scale.py [keys …]
    DATABASE_URL=postgres://postgres@127.0.0.1:5432/postgres python bench/scale.py drop

Fills a database for each size beside the one named (population.py; ten million keys take about 5 GB), and keeps them
until it is told to drop them. The key routes are asked over HTTP for keys out of the whole population, of all sizes in
turn, after each has been asked for a minute: a server runs for months, and each of PostgreSQL's processes is slower
until it has touched the buffers once. Lists and the console are timed within this process, as medians; housekeeping
runs beside traffic.
"""

import json
import os
import random
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import ExitStack
from operator import truediv
from typing import Any

import django
import load
import population
import psycopg
import service

SIZES = (10_000, 1_000_000, 10_000_000)
ROUNDS, PORT, HOUSEKEEPING = 36, 8183, 100_000  # with a third of the rounds medians differ by 0.02 from run to run
# Seconds of calls: once for each size, and then in each turn before and while it is measured.
WARM, SETTLE, SECONDS = 60, 0.5, 3
ASKED = 200_000  # so many keys have their rows on most pages of ten million
PATHS = ("/protected/service", "/auth/verify")
TABLES = ("apikeys_apikey", "apikeys_secret")


def main(sizes: list[int]) -> None:
    """Measure each size and print what it is beside the smallest."""
    environments = {size: prepare(size) for size in sorted(sizes)}
    print(f"{settings(environments[min(sizes)]['DATABASE_URL'])}; processes of gunicorn: {processes()}", flush=True)
    turns = served(environments)
    first: dict[str, float] = {}
    for size, environment in environments.items():
        url = environment["DATABASE_URL"]
        lists = subprocess.run(
            [sys.executable, __file__, "lists", str(size)],
            env=environment,
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
        print(f"\n{size:,} keys")
        for name, values in turns[size].items():  # each turn beside the smallest's of the same round
            ratios = list(map(truediv, values, turns[min(sizes)][name]))
            low, middle, high = statistics.quantiles(ratios, method="inclusive")
            spread = f", of the rounds half from {low:.2f} to {high:.2f}" if size > min(sizes) else ""
            show(name, statistics.median(values), middle, spread)
        for name, value in {
            **disk(url, size),
            **json.loads(lists.stdout),
            **housekeeping(environment, url, size),
        }.items():
            show(name, value, value / first.setdefault(name, value))


def show(name: str, value: float, beside: float, spread: str = "") -> None:
    """Print a line."""
    print(f"  {name:58s} {value:10.1f}   {beside:6.2f} x the smallest{spread}", flush=True)


def settings(url: str) -> str:
    """Say what PostgreSQL has for its buffers."""
    with psycopg.connect(url) as connection:
        rows = connection.execute(
            "SELECT name, current_setting(name) FROM pg_settings WHERE name IN ('shared_buffers', 'huge_pages')"
        )
        return "PostgreSQL: " + ", ".join(f"{name} = {value}" for name, value in sorted(rows))


def processes() -> str:
    """Return how many processes of gunicorn serve: WEB_CONCURRENCY, 2 when it is not set."""
    return os.environ.get("WEB_CONCURRENCY", "2")


def prepare(size: int) -> dict[str, str]:
    """Fill a database and return the environment of a service on it."""
    url = population.database(size)
    environment = service.variables(url, WEB_CONCURRENCY=processes(), PORT=str(PORT), LOG_LEVEL="ERROR")
    service.manage(environment, "migrate", "-v0")
    population.fill(url, size)
    return environment


def requests(path: str, size: int) -> list[bytes]:
    """Return a request for each of many keys."""
    numbers = random.Random(1).choices(range(1, size + 1), k=ASKED)
    return [load.get(path, f"X-API-Key: {population.plaintext(n)}") for n in numbers if population.active(n)]


def served(environments: dict[int, dict[str, str]]) -> dict[int, dict[str, list[float]]]:
    """Return, for each size, requests a second, p99 and cost of the key routes in each round."""
    found: dict[int, dict[str, list[float]]] = {size: defaultdict(list) for size in environments}
    asked = {(path, size): requests(path, size) for path in PATHS for size in environments}
    with ExitStack() as stack:
        servers = {}
        for size, environment in environments.items():
            port = PORT + len(servers)
            servers[size] = port, stack.enter_context(service.served({**environment, "PORT": str(port)}))
            print(f"warming up {size:>10,} keys", end="\r", file=sys.stderr)
            load.run(port, asked[PATHS[0], size], WARM)
        for number in range(ROUNDS):  # forwards and backwards, so that a machine's drift hits all alike
            print(f"round {number + 1} of {ROUNDS}", end="\r", file=sys.stderr)
            for path in PATHS:
                for size, (port, pid) in sorted(servers.items(), reverse=number % 2 == 1):
                    random.shuffle(asked[path, size])  # or each turn would ask for the same few thousand
                    load.run(port, asked[path, size], SETTLE)
                    before = service.used(pid)
                    done = load.run(port, asked[path, size], SECONDS)
                    cost = (service.used(pid) - before) / (done.rate * SECONDS) * 1e6
                    for name, value in (
                        ("requests a second", done.rate),
                        ("p99 in ms", done.p99),
                        ("us of server CPU", cost),
                    ):
                        found[size][f"{path}: {name}"].append(value)
    return found


def disk(url: str, size: int) -> dict[str, float]:
    """Return the bytes of a key, of tables and of indexes."""
    found = {}
    with psycopg.connect(url) as connection:
        for what, function in (("tables", "pg_table_size"), ("indexes", "pg_indexes_size")):
            sizes = [connection.execute(f"SELECT {function}(%s)", [table]).fetchone() for table in TABLES]
            found[f"disk: bytes of {what} for a key"] = sum(row[0] for row in sizes if row) / size
    return found


def lists(size: int) -> dict[str, float]:
    """Return the milliseconds of lists of keys, for owners by the API and for operators in the console."""
    from django.test import Client  # noqa: PLC0415  it needs the settings, as what follows does

    from accounts.models import User  # noqa: PLC0415  as above
    from accounts.services import sessions  # noqa: PLC0415  as above
    from authsvc.api.pagination import encode  # noqa: PLC0415  as above

    operator, _ = User.objects.get_or_create(username="operator", is_staff=True, is_superuser=True)
    console = Client(headers={"host": "127.0.0.1"})
    console.force_login(operator)
    found = {}
    for who, owner in (("10", population.OWNER_OF_TEN), ("100 k", population.OWNER_OF_MANY)):
        pair = sessions.start(user=User.objects.filter(pk=owner).first_with_grants())
        headers = {"Authorization": f"Bearer {pair.access_token}", "Host": "127.0.0.1"}
        deep = encode(min(population.MANY, size // 2) // 2 + population.TEN)
        for name, query in (("", ""), (", deep down", f"?cursor={deep}"), (", revoked", "?status=revoked")):
            found[f"GET /keys of an owner of {who}{name}: ms"] = timed(
                lambda query=query, headers=headers: Client().get(f"/keys{query}", headers=headers)
            )
    page = "/admin/apikeys/apikey/"
    for name, query in (
        ("", ""),
        (", page 50", "?p=50"),
        (", revoked", "?status=revoked"),
        (", by the start of a key", f"?q={population.plaintext(size // 2)[:11]}"),
        (", by an owner", "?q=owner77"),
        (", by a name", "?q=key+77"),
    ):
        found[f"console{name}: ms"] = timed(lambda query=query: console.get(page + query), 3)
    return found


def timed(call: Callable[[], Any], times: int = 9) -> float:
    """Return the median milliseconds of a call that must answer 200."""
    took = []
    for _ in range(times):
        began = time.perf_counter()
        answer = call()
        took.append((time.perf_counter() - began) * 1000)
        if answer.status_code != 200:
            sys.exit(f"an answer was {answer.status_code}: {answer.content[:200]!r}")
    return statistics.median(took)


def housekeeping(environment: dict[str, str], url: str, size: int) -> dict[str, float]:
    """Return the seconds that cleaning takes beside traffic, and what of the traffic passes meanwhile."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO accounts_session (user_id, created_at, last_used_at, expires_at, device, ended_reason)"
            " SELECT 1, now(), now(), now() - interval '1 day', '', '' FROM generate_series(1, %s)",
            [HOUSEKEEPING],
        )
        connection.execute(
            "INSERT INTO audit_auditevent"
            " (at, event, actor_name, subject_type, subject_name, user_agent, request_id, reason)"
            " SELECT now() - interval '90 days', 'api_key:issued', '', 'apikey', '', '', '-', ''"
            " FROM generate_series(1, %s)",
            [HOUSEKEEPING],
        )
        connection.execute("ANALYZE accounts_session, audit_auditevent")
    found, asked = {}, requests("/auth/verify", size)
    with service.served(environment):
        load.run(PORT, asked, SECONDS)  # until its connections are open and warm
        alone = load.run(PORT, asked, SECONDS)
        for name, command in (
            ("clear_expired", ["clear_expired", "--quiet"]),
            ("prune_audit", ["prune_audit", "--older-than", "30"]),
        ):
            began = time.monotonic()
            cleaning = subprocess.Popen(
                [sys.executable, "manage.py", *command], cwd=service.ROOT, env=environment, stdout=subprocess.DEVNULL
            )
            rates = []
            while cleaning.poll() is None:
                rates.append(load.run(PORT, asked, 0.5).rate)
            if cleaning.returncode:
                sys.exit(f"{name} failed")
            found[f"{name} of {HOUSEKEEPING:,} rows beside traffic: seconds"] = time.monotonic() - began
            found[f"{name}: traffic meanwhile, of what it is alone"] = statistics.mean(rates) / alone.rate
    return found


if __name__ == "__main__":
    if sys.argv[1:2] == ["drop"]:
        for known in sys.argv[2:] or SIZES:
            population.drop(int(known))
    elif sys.argv[1:2] == ["lists"]:  # in a process of its own, as Django has one database for the life of a process
        os.environ["DJANGO_SETTINGS_MODULE"] = "authsvc.settings"
        django.setup()
        print(json.dumps(lists(int(sys.argv[2]))))
    else:
        main([int(word) for word in sys.argv[1:]] or list(SIZES))
