"""How many keys are made and revoked, and sessions refreshed, a second; beside plain transactions of that many rows.

    DATABASE_URL=postgres://postgres@127.0.0.1:5432/postgres python bench/writes.py [rounds]

Makes a database of its own beside the one named, serves with a process for each core, and drops it. Each of 16 clients
has a connection and a session of its own. The floor is what 16 connections of psycopg do of a transaction that inserts
three rows of the size of a key, its secret and its event, and waits for the disk as every commit does.
"""

import os
import statistics
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from json import dumps, loads
from typing import Any

import psycopg
import service

SECONDS, CLIENTS, PORT = 3, 16, 8182
PASSWORD = "correct-horse-battery"
FLOOR = "floor: a transaction of three rows"


class Client:
    """A user with a session, on a connection of its own; a refusal ends the process."""

    def __init__(self, number: int) -> None:
        self.http, self.keys = HTTPConnection("127.0.0.1", PORT), list[int]()
        who = {"username": f"bench{number}", "password": PASSWORD}
        self.token = ""
        self.call("POST", "/auth/signup", {**who, "email": f"bench{number}@example.com"})
        self.pair = self.call("POST", "/auth/login", who)
        self.token = self.pair["access_token"]

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """Return what an answer says."""
        headers = {"Content-Type": "application/json"} if body else {}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        self.http.request(method, path, dumps(body) if body else None, headers)
        answer = self.http.getresponse()
        text = answer.read()
        if answer.status >= 300:
            sys.exit(f"{method} {path} answered {answer.status}: {text!r}")
        return loads(text) if text else None

    def make_key(self) -> None:
        self.keys.append(self.call("POST", "/keys", {"name": "bench"})["id"])

    def revoke_key(self) -> None:
        self.call("DELETE", f"/keys/{self.keys.pop()}")

    def refresh(self) -> None:
        self.pair = self.call("POST", "/auth/refresh", {"refresh_token": self.pair["refresh_token"]})

    def read(self) -> None:
        self.call("GET", "/protected/user")


class Floor:
    """A connection to the database."""

    def __init__(self, url: str) -> None:
        self.database = psycopg.connect(url)

    def write(self) -> None:
        with self.database.transaction():
            for _ in range(3):
                self.database.execute("INSERT INTO bench_floor (text) VALUES (%s)", ["x" * 200], prepare=True)


def rate(steps: list[Callable[[], None]], seconds: float = SECONDS) -> float:
    """Return how many steps a second the clients do, each on a thread; a client without anything left to do ends it."""
    stop, done = threading.Event(), [0] * len(steps)

    def repeat(number: int) -> None:
        while not stop.is_set():
            try:
                steps[number]()
            except IndexError:  # there is no key left to revoke
                stop.set()
                return
            done[number] += 1

    began = time.monotonic()
    threading.Timer(seconds, stop.set).start()
    with ThreadPoolExecutor(len(steps)) as threads:
        list(threads.map(repeat, range(len(steps))))
    return sum(done) / (time.monotonic() - began)


def main(rounds: int) -> None:
    """Set up, measure, print, clean up."""
    with service.own_database() as url:
        settings = {
            "WEB_CONCURRENCY": str(os.cpu_count()),
            "PORT": str(PORT),
            "BCRYPT_ROUNDS": "4",
            "LOG_LEVEL": "ERROR",
        }
        environment = service.variables(url, **settings)
        service.manage(environment, "migrate", "-v0")
        with psycopg.connect(url) as connection:
            connection.execute("CREATE TABLE bench_floor (id bigserial PRIMARY KEY, text text)")
        with service.served(environment):
            measure([Client(number) for number in range(CLIENTS)], [Floor(url) for _ in range(CLIENTS)], rounds)


def measure(clients: list[Client], floors: list[Floor], rounds: int) -> None:
    """Take turns and print the medians beside the floor's."""
    kinds: dict[str, list[Callable[[], None]]] = {
        FLOOR: [floor.write for floor in floors],
        "a key made": [client.make_key for client in clients],
        "a key revoked": [client.revoke_key for client in clients],
        "a session refreshed": [client.refresh for client in clients],
        "a request with a token": [client.read for client in clients],
    }
    found: dict[str, list[float]] = {name: [] for name in kinds}
    for number in range(rounds):
        for name, steps in kinds.items():
            found[name].append(rate(steps))
        print(f"round {number + 1} of {rounds}", end="\r", file=sys.stderr)
    for name, rates in found.items():
        ratio = statistics.median(a / b for a, b in zip(rates, found[FLOOR], strict=True))
        print(f"{name:36s} {statistics.median(rates):7.0f}/s   {ratio:.2f} of the floor")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
