"""What the benchmarks share: a database of their own beside the one that DATABASE_URL names, and gunicorn on it."""

import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import psycopg

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))


def base_url() -> str:
    """Return DATABASE_URL. Ends with a sentence where there is none."""
    url = os.environ.get("DATABASE_URL", "")
    if not url.startswith("postgres"):
        sys.exit("DATABASE_URL must name a PostgreSQL to measure on: postgres://user@host:port/database.")
    return url


@contextmanager
def own_database(base: str = "") -> Iterator[str]:
    """Make a database, and drop it at the end; its URL. Beside DATABASE_URL's where no other base is named."""
    base, name = base or base_url(), f"authsvc_bench_{secrets.token_hex(4)}"
    with psycopg.connect(base, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    try:
        yield urlsplit(base)._replace(path=f"/{name}").geturl()
    finally:
        with psycopg.connect(base, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def beside(name: str) -> tuple[str, str]:
    """Return DATABASE_URL, and the URL of another database of the same server."""
    base = base_url()
    return base, urlsplit(base)._replace(path=f"/{name}").geturl()


def variables(database_url: str, **more: str) -> dict[str, str]:
    """Return an environment in which the service can run."""
    return {
        **os.environ,
        "DATABASE_URL": database_url,
        "SECRET_KEY": secrets.token_urlsafe(48),
        "LOG_LEVEL": "WARNING",
        **dict.fromkeys(("SIGNUP_RATE", "LOGIN_RATE", "MAIL_RATE"), "none"),
        **more,
    }


def manage(environment: dict[str, str], *arguments: str) -> None:
    """Run a command of the project, which must succeed."""
    subprocess.run([sys.executable, "manage.py", *arguments], cwd=ROOT, env=environment, check=True)


def free_port() -> int:
    """Return a port of 127.0.0.1 that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def served(environment: dict[str, str]) -> Iterator[int]:
    """Serve until the end, once the service is ready; the id of gunicorn's first process."""
    command = [sys.executable, "-m", "gunicorn", "authsvc.wsgi"]
    server = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)  # mails and access log
    try:
        wait_for(int(environment["PORT"]))
        yield server.pid
    finally:
        server.terminate()
        server.wait(40)


def used(pid: int) -> float:
    """Return the seconds of CPU that the processes of a gunicorn have used."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    fields = [Path(f"/proc/{child}/stat").read_text().rsplit(")", 1)[1].split() for child in children]
    return sum(int(each[11]) + int(each[12]) for each in fields) / os.sysconf("SC_CLK_TCK")


def wait_for(port: int, path: str = "/readyz") -> None:
    """Wait until a path answers 200; end the process where that takes longer than 20 seconds."""
    for _ in range(200):
        try:
            connection = HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", path)
            if connection.getresponse().status == 200:
                return
        except OSError:
            pass
        time.sleep(0.1)
    sys.exit("the server does not answer")


class Redis(NamedTuple):
    """A running Redis."""

    port: int
    pid: int


@contextmanager
def own_redis() -> Iterator[Redis]:
    """Run a Redis that keeps nothing."""
    port = free_port()
    command = ["redis-server", "--bind", "127.0.0.1", "--port", str(port), "--save", "", "--appendonly", "no"]
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        yield Redis(port, running.pid)
    finally:
        running.terminate()
        running.wait(10)
