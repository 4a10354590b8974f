"""A real server: gunicorn with the project's own configuration, in processes of its own, on a database of its own."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import httpx
import psycopg
import pytest
from playwright.sync_api import Browser

from authsvc.request.context import CREDENTIAL
from tests.flows.browser import launched

ROOT = Path(__file__).resolve().parent.parent.parent
T = TypeVar("T")
PASSWORD = "correct-horse-battery"
GUNICORN = [sys.executable, "-m", "gunicorn", "authsvc.wsgi"]

# What a database does when it is away is its own: each kind has its file, and a run collects the one of its kind.
ON_SQLITE = os.environ["DATABASE_URL"].startswith("sqlite")
collect_ignore = (
    ["test_database_away.py", "test_database_silent.py", "test_pgbouncer.py"]
    if ON_SQLITE
    else ["test_database_locked.py"]
)


def free_port() -> int:
    """Return a port of 127.0.0.1 that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def new_name() -> str:
    """Return a username that nobody has, for servers are shared and flows bring their own users."""
    return f"u{secrets.token_hex(6)}"


def eventually(look: Callable[[], T], seconds: float = 30) -> T:
    """Return the first true thing that a look finds; an AssertionError where there is none in time."""
    end = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < end, f"still {found!r} after {seconds} s"
        time.sleep(0.02)
    return found


class Server:
    """A running authsvc: ``server.http`` calls it, ``server.manage(…)`` runs a command on its database."""

    def __init__(self, folder: Path, database_url: str, **environment: str) -> None:
        self.port, self.log, self.database_url = free_port(), folder / "server.log", database_url
        self.url = f"http://127.0.0.1:{self.port}"
        self.environment = {
            **{name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"},
            "SECRET_KEY": secrets.token_urlsafe(48),
            "DATABASE_URL": database_url,
            "BCRYPT_ROUNDS": "4",
            "PORT": str(self.port),
            "WEB_CONCURRENCY": "1",
            **dict.fromkeys(("SIGNUP_RATE", "LOGIN_RATE", "MAIL_RATE"), "none"),  # all flows come from one address
            **environment,
        }
        self.http = httpx.Client(base_url=self.url, timeout=60, trust_env=False)

    def run(self, command: list[str], stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run a command to its end in the project's folder, under the server's environment."""
        return subprocess.run(
            command,
            cwd=ROOT,
            env=self.environment,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def manage(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run ``manage.py`` with arguments; the caller looks at returncode, stdout and stderr."""
        return self.run([sys.executable, "manage.py", *arguments], stdin)

    def migrate(self) -> None:
        """Bring the database to this code's state."""
        migrated = self.manage("migrate", "-v0")
        assert migrated.returncode == 0, migrated.stderr

    def start(self) -> None:
        """Serve, and wait until it is ready."""
        with self.log.open("w") as log:
            self.process = subprocess.Popen(GUNICORN, cwd=ROOT, env=self.environment, stdout=log, stderr=log)
        eventually(self.is_ready)

    def is_ready(self) -> bool:
        """Say whether /readyz answers 200 by now; a process that has ended will not."""
        assert self.process.poll() is None, self.log.read_text()
        with contextlib.suppress(httpx.TransportError):
            return self.http.get("/readyz").status_code == 200
        return False

    def stop(self) -> int:
        """Stop gracefully and return the exit status; a second time, return it again.

        Whatever a flow did, nothing that looks like a key or a token, and no password, may be in what the server wrote.
        """
        self.http.close()
        self.process.terminate()
        status = self.process.wait(40)
        written = self.log.read_text()
        assert CREDENTIAL.findall(written) == []
        assert PASSWORD not in written
        return status

    def workers(self) -> set[int]:
        """Return the ids of the processes that serve."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return {int(pid) for pid in children.read_text().split()}

    def worker_behind(self, client_port: int) -> int:
        """Return the id of the process that holds the server's end of an open connection."""
        (worker,) = eventually(lambda: self.holders(client_port))
        return worker

    def holders(self, client_port: int) -> set[int]:
        """The same as a set; the system's table is not read in one piece, so under load a row may be missed."""
        rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        ends = (f":{self.port:04X}", f":{client_port:04X}")
        sockets = {f"socket:[{row[9]}]" for row in rows if (row[1][-5:], row[2][-5:]) == ends}
        return {pid for pid in self.workers() if sockets & open_files(pid)}

    def operator(self) -> str:
        """Make a superuser with PASSWORD and return the username."""
        username = new_name()
        self.environment["DJANGO_SUPERUSER_PASSWORD"] = PASSWORD
        made = self.manage("createsuperuser", "--noinput", "--username", username, "--email", f"{username}@example.com")
        assert made.returncode == 0, made.stderr
        return username

    def sign_up(self, username: str) -> str:
        """Make a user with PASSWORD and return an access token."""
        who = {"username": username, "password": PASSWORD}
        assert self.http.post("/auth/signup", json={**who, "email": f"{username}@example.com"}).status_code == 201
        logged_in = self.http.post("/auth/login", json=who)
        assert logged_in.status_code == 200, logged_in.text
        token: str = logged_in.json()["access_token"]
        return token

    def make_key(self, token: str, name: str = "a key") -> tuple[int, str]:
        """Make a key for a token's user and return its id and plaintext."""
        made = self.http.post("/keys/create", json={"name": name}, headers=bearer(token))
        assert made.status_code == 201, made.text
        return made.json()["id"], made.json()["key"]


def bearer(token: str) -> dict[str, str]:
    """Return the header that carries a token."""
    return {"Authorization": f"Bearer {token}"}


def open_files(pid: int) -> set[str]:
    """Return what the descriptors of a process point to; those that close meanwhile are left out."""
    found = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found.add(str(descriptor.readlink()))
    return found


@pytest.fixture(scope="session")
def new_database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], str]]:
    """Make databases of the kind that the suite runs on, and return their URLs."""
    base, made = os.environ["DATABASE_URL"], []

    def make() -> str:
        name = f"authsvc_flow_{secrets.token_hex(6)}"
        if ON_SQLITE:
            return f"sqlite:///{tmp_path_factory.mktemp('db')}/{name}.sqlite3"
        with psycopg.connect(maintenance(base), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        made.append(name)
        return urlsplit(base)._replace(path=f"/{name}").geturl()

    yield make
    for name in made:
        with psycopg.connect(maintenance(base), autocommit=True) as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def maintenance(url: str) -> str:
    """Return the URL of the database that every PostgreSQL has, for the suite's own need not exist."""
    return urlsplit(url)._replace(path="/postgres").geturl()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, new_database: Callable[[], str]) -> Iterator[Server]:
    """The one server that most flows share; each brings its own users."""
    running = Server(tmp_path_factory.mktemp("server"), new_database())
    running.migrate()
    running.start()
    yield running
    assert running.stop() == 0


@pytest.fixture
def launch(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Server]]:
    """Start servers with variables of their own, on the shared server's database; they end with the test."""
    with contextlib.ExitStack() as stack:

        def start(**environment: str) -> Server:
            running = Server(tmp_path_factory.mktemp("server"), server.database_url, **environment)
            running.start()
            stack.callback(running.stop)
            return running

        yield start


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of a Chromium, or skip: the closing line of the run then says so."""
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        pytest.skip("no Chromium")
    return path


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Browser]:
    """One browser for the tests of a module; each opens a window of its own."""
    with launched(chromium) as started:
        yield started
