"""Whether any request is let in that began after a revocation was acknowledged: none may be. Exits 1 otherwise.

    DATABASE_URL=postgres://postgres@127.0.0.1:5432/postgres python bench/revocation.py [times]

Serves with 2 and with 4 processes on a database of its own, straight and, where pgbouncer is installed, through it in
transaction mode, and revokes so many times under load: keys, sessions, passwords and users, of all kinds alike.
"""

import logging
import re
import secrets
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import service

from tests.flows import pgbouncer
from tests.flows.revocations import PASSWORD, revoke_under_load

LANES, POOL = 6, 8  # credentials under fire at a time; PgBouncer's connections to PostgreSQL


def main(times: int) -> None:
    """Run each way and print what it showed."""
    logging.getLogger("httpx").setLevel(logging.WARNING)
    ways = [False, True] if pgbouncer.program() else [False]
    held = [run(times, processes, pooled) for pooled in ways for processes in (2, 4)]
    sys.exit(0 if all(held) else 1)


def run(times: int, processes: int, pooled: bool) -> bool:
    """Revoke so many times and say whether the bound held."""
    with ExitStack() as stack:
        direct, way = stack.enter_context(service.own_database()), "straight"
        url = direct
        if pooled:
            url, way = through_pgbouncer(stack, direct)
        port = service.free_port()
        settings = {"WEB_CONCURRENCY": str(processes), "PORT": str(port), "BCRYPT_ROUNDS": "4", "LOG_LEVEL": "ERROR"}
        environment = service.variables(url, **settings, DJANGO_SUPERUSER_PASSWORD=PASSWORD)
        service.manage(environment, "migrate", "-v0")
        operator = f"o{secrets.token_hex(4)}"
        operators = ("createsuperuser", "--noinput", "--username", operator, "--email", "operator@example.com", "-v0")
        service.manage(environment, *operators)
        stack.enter_context(service.served(environment))
        began = time.monotonic()
        outcomes = revoke_under_load(f"http://127.0.0.1:{port}", operator, times, lanes=LANES)
        took = time.monotonic() - began
    before, after = (sum((counts[at] for counts in outcomes), Counter[int]()) for at in (1, 2))
    odd = {status: number for status, number in (before + after).items() if status not in (200, 401)}
    rate = (before + after).total() / took
    print(f"{processes} processes, {way}: {len(outcomes)} revocations, {rate:.0f} req/s")
    print(f"  {after.total()} requests began afterwards, {after[200]} were let in; other answers: {odd or 'none'}")
    sys.stdout.flush()
    return after[200] == 0 and not odd


def through_pgbouncer(stack: ExitStack, url: str) -> tuple[str, str]:
    """Start PgBouncer; the URL of a database by this way, with prepared statements where it can, and its name."""
    told = subprocess.run([str(pgbouncer.program()), "--version"], capture_output=True, text=True, check=True).stdout
    version = re.findall(r"[0-9]+", told)[:2]
    can = [int(part) for part in version] >= [1, 22]
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    folder.chmod(0o755)
    options = "max_prepared_statements = 200\n" if can else ""
    running = pgbouncer.PgBouncer(folder, url, port=service.free_port(), pool=POOL, options=options)
    stack.enter_context(running)
    way = f"through PgBouncer {'.'.join(version)}, {'prepared' if can else 'nothing prepared'}"
    return running.through(url) + ("?prepared_statements=true" if can else ""), way


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
