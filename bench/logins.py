"""How many logins a second the service takes, beside bcrypt alone on the same cores; as a ratio.

    DATABASE_URL=postgres://postgres@127.0.0.1:5432/postgres python bench/logins.py [rounds]

Makes a database of its own beside the one named, serves with a process for each core, and drops it. The two take turns.
"""

import os
import statistics
import sys
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from http.client import HTTPConnection

import bcrypt
import service

SECONDS, CORES, CLIENTS, PORT, COST = 5, os.cpu_count() or 1, 16, 8178, 12
BODY = b'{"username": "bench", "password": "correct-horse-battery"}'


def hash_for(seconds: float) -> int:
    """Return how many hashes one process makes."""
    end, done, salt = time.monotonic() + seconds, 0, bcrypt.gensalt(COST)
    while time.monotonic() < end:
        bcrypt.hashpw(b"x" * 64, salt)
        done += 1
    return done


def log_in_for(seconds: float) -> int:
    """Return how many logins one client gets through on one connection."""
    connection, end, done = HTTPConnection("127.0.0.1", PORT), time.monotonic() + seconds, 0
    while time.monotonic() < end:
        connection.request("POST", "/auth/login", BODY, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        answer.read()
        if answer.status != 200:
            sys.exit(f"a login answered {answer.status}")
        done += 1
    return done


def main(rounds: int) -> None:
    """Set up, measure, print, clean up."""
    with service.own_database() as url:
        settings = {"WEB_CONCURRENCY": str(CORES), "PORT": str(PORT), "BCRYPT_ROUNDS": str(COST)}
        environment = service.variables(url, **settings)
        service.manage(environment, "migrate", "-v0")
        with service.served(environment):
            sign_up()
            measure(rounds)


def sign_up() -> None:
    """Make the one user."""
    connection = HTTPConnection("127.0.0.1", PORT)
    body = BODY[:-1] + b', "email": "bench@example.com"}'
    connection.request("POST", "/auth/signup", body, {"Content-Type": "application/json"})
    if (status := connection.getresponse().status) != 201:
        sys.exit(f"the sign-up answered {status}")


def measure(rounds: int) -> None:
    """Take turns and print the medians."""
    alone, logins = [], []
    with ProcessPoolExecutor(CORES) as processes, ThreadPoolExecutor(CLIENTS) as threads:
        for number in range(rounds):
            alone.append(sum(processes.map(hash_for, [SECONDS] * CORES)) / SECONDS)
            logins.append(sum(threads.map(log_in_for, [SECONDS] * CLIENTS)) / SECONDS)
            print(f"round {number + 1} of {rounds}", end="\r", file=sys.stderr)
    ratio = statistics.median(a / b for a, b in zip(logins, alone, strict=True))
    print(f"bcrypt alone, cost {COST}, {CORES} processes  {statistics.median(alone):6.1f}/s")
    print(f"logins, {CLIENTS} clients  {statistics.median(logins):6.1f}/s   {ratio:.2f} of bcrypt alone")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
