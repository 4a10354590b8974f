"""What the one query of an authenticated request costs, by the way in which it is issued; as ratios.

    DATABASE_URL=postgres://postgres@127.0.0.1:5432/postgres python bench/lookup.py [rounds]

Makes a database of its own beside the one named, fills it with one user and one key, and drops it. The four ways take
turns, so that a machine's drift hits all alike; the figure of each is the median over rounds of its CPU time in this
process, and of its time on the wall, for one lookup. Only the ratios mean anything.
"""

import os
import secrets
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import service

CALLS = 400  # lookups of each way in each round


def main(rounds: int) -> None:
    """Set up, measure, print, clean up."""
    with service.own_database() as url:
        os.environ |= service.variables(url, DJANGO_SETTINGS_MODULE="authsvc.settings")
        measure(rounds)


def measure(rounds: int) -> None:
    """Run all ways in turn and print the medians beside the ORM's."""
    import django  # noqa: PLC0415  the settings need the environment that main() has made

    django.setup()
    ways = prepare()
    cpu: dict[str, list[float]] = {name: [] for name in ways}
    wall: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds):
        for name, look_up in ways.items():
            started = time.process_time(), time.perf_counter()
            for _ in range(CALLS):
                look_up()
            cpu[name].append((time.process_time() - started[0]) / CALLS * 1e6)
            wall[name].append((time.perf_counter() - started[1]) / CALLS * 1e6)
        print(f"round {number + 1} of {rounds}", end="\r", file=sys.stderr)
    first = next(iter(ways))
    for name in ways:
        used, passed = statistics.median(cpu[name]), statistics.median(wall[name])
        ratio = statistics.median(a / b for a, b in zip(cpu[first], cpu[name], strict=True))
        print(f"{name:48s} {used:6.0f} us CPU {passed:6.0f} us wall   {ratio:4.1f} x the first's speed by CPU")


def prepare() -> dict[str, Callable[[], Any]]:
    """Fill the database and return the ways to look a key up, by name."""
    from django.core.management import call_command  # noqa: PLC0415  as above
    from django.db import connection  # noqa: PLC0415  as above
    from psycopg import ClientCursor, Cursor  # noqa: PLC0415  as above

    from accounts.services import registration  # noqa: PLC0415  as above
    from apikeys import keys, queries, services  # noqa: PLC0415  as above
    from apikeys.models import Secret  # noqa: PLC0415  as above

    call_command("migrate", verbosity=0)
    user = registration.sign_up(email="b@example.com", username="bench", password=secrets.token_urlsafe())
    digest = keys.digest(services.issue_key(owner=user, name="bench")[1])
    sql = queries._key_by_digest.compiled[0]
    raw = connection.connection

    def orm() -> Any:
        granted = queries.scope_names("api_key__owner")
        return Secret.objects.select_related("api_key__owner").annotate(scope_names=granted).get(digest=digest)

    def cursor() -> Any:
        with connection.cursor() as opened:
            opened.execute(sql, [digest])
            return opened.fetchone()

    return {
        "ORM: get() with select_related": orm,
        "compiled once, bound by the client": lambda: ClientCursor(raw).execute(sql, [digest]).fetchone(),
        "compiled once, prepared, Django's cursor": cursor,
        "compiled once, prepared, psycopg's cursor": lambda: (
            Cursor(raw).execute(sql, [digest], prepare=True).fetchone()
        ),
        "compiled once, prepared, libpq's own call": lambda: queries._key_by_digest.fetch(digest),
        "as it is: the same, and the models built": lambda: queries.key_by_digest(digest),
    }


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 7)
