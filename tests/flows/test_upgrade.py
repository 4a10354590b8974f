"""docs/upgrading.md: under load no request fails, what would not start changes nothing, migrations can be reverted."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.flows.conftest import ROOT, Server, eventually, free_port
from tests.flows.raw import Connection

APPS = (
    "staticfiles",
    "authsvc",
    "accounts",
    "apikeys",
    "audit",
    "gateway",
    "protected",
    "console",
    "gunicorn.conf.py",
    "manage.py",
)
# As systemd starts a service that it holds the socket of (sd_listen_fds).
ACTIVATED = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))
os.execv(sys.executable, [sys.executable, "-m", "gunicorn", "authsvc.wsgi"])
"""


class Installation:
    """The project in a folder of its own, with a .env, served by a gunicorn that can be upgraded."""

    def __init__(self, folder: Path, server: Server) -> None:
        self.folder, self.port, self.log = folder, free_port(), folder / "server.log"
        for name in APPS:
            copy: Any = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
            copy(ROOT / name, folder / name)
        ours = {line.partition("=")[0].lstrip("#") for line in (ROOT / ".env.example").read_text().splitlines()}
        inherited = {name: value for name, value in os.environ.items() if name not in {*ours, "DJANGO_SETTINGS_MODULE"}}
        self.environment = {**inherited, "DATABASE_URL": server.database_url}
        self.write_dotenv(SIGNUP_ENABLED="true")
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=60, trust_env=False)
        self.http.headers["Connection"] = "close"  # else a worker of before goes on answering

    def write_dotenv(self, **variables: str) -> None:
        """Write a .env that is good but for the given variables.

        With one worker: once it answers, nothing is still being loaded that a test then writes anew.
        """
        given = {"SECRET_KEY": "k" * 40, "PORT": str(self.port), "WEB_CONCURRENCY": "1", **variables}
        (self.folder / ".env").write_text("".join(f"{name}={value}\n" for name, value in given.items()))

    def write_version(self, version: str) -> None:
        """Write new code: another version, with a setting and a function that the code of before does not have."""
        (self.folder / "authsvc" / "__init__.py").write_text(f'__version__ = "{version}"\n')
        added = {
            "telemetry/logs.py": "\n\ndef added() -> str:\n    return 'new'\n",
            "settings.py": "ADDED = logs.added()\n",
            "api/probes.py": "from django.conf import settings\nsettings.ADDED\n",
        }
        for name, code in added.items():
            with (self.folder / "authsvc" / name).open("a") as file:
                file.write(code)

    def start(self, command: list[str] | None = None, **options: Any) -> subprocess.Popen[bytes]:
        """Serve, and wait until it is ready."""
        with self.log.open("a") as log:
            process = subprocess.Popen(
                command or [sys.executable, "-m", "gunicorn", "authsvc.wsgi"],
                cwd=self.folder,
                env=self.environment,
                stdout=log,
                stderr=log,
                **options,
            )
        eventually(self.is_ready)
        return process

    def is_ready(self) -> bool:
        with contextlib.suppress(httpx.TransportError):
            return self.http.get("/readyz").status_code == 200
        return False

    def seen(self) -> tuple[str, int]:
        """Return the version that answers and the status of a sign-up of nobody: 400, or 403 where it is disabled."""
        version = self.http.get("/openapi.json").json()["info"]["version"]
        return version, self.http.post("/auth/signup", json={}).status_code

    def always(self, expected: tuple[str, int]) -> bool:
        """Say whether every worker answers so, as far as a dozen connections tell."""
        return all(self.seen() == expected for _ in range(12))


@pytest.fixture
def installation(tmp_path: Path, server: Server) -> Iterator[Installation]:
    installed = Installation(tmp_path, server)
    yield installed
    installed.http.close()


@contextmanager
def running(process: subprocess.Popen[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """End a process at the end."""
    try:
        yield process
    finally:
        process.terminate()
        process.wait(40)


@contextmanager
def load(url: str) -> Iterator[list[int]]:
    """Call all the time, on connections of their own; yield the statuses. At the end every one must be 200."""
    enough, statuses = threading.Event(), list[int]()

    def call() -> None:
        with httpx.Client(base_url=url, trust_env=False, timeout=60, headers={"Connection": "close"}) as http:
            while not enough.wait(0.005):
                statuses.append(http.get("/readyz").status_code)

    with ThreadPoolExecutor() as pool:
        callers = [pool.submit(call) for _ in range(3)]
        try:
            eventually(lambda: len(statuses) > 20)
            yield statuses
            after = len(statuses)
            eventually(lambda: len(statuses) > after + 20)
        finally:
            enough.set()
        assert [caller.exception(60) for caller in callers] == [None, None, None]
    assert set(statuses) == {200}


def test_hup_serves_new_code_and_settings_and_fails_no_request(installation: Installation) -> None:
    with running(installation.start()) as process:
        assert installation.seen() == ("0.1.0", 400)
        with load(str(installation.http.base_url)):
            installation.write_version("9.9.9")
            installation.write_dotenv(SIGNUP_ENABLED="false")
            process.send_signal(signal.SIGHUP)
            eventually(lambda: installation.always(("9.9.9", 403)), 60)


@pytest.mark.parametrize(
    ("mistake", "reason"),
    [
        pytest.param(
            lambda i: i.write_dotenv(SIGNUP_ENABLED="maybe"), "SIGNUP_ENABLED must be true or false", id="value"
        ),
        pytest.param(lambda i: (i.folder / ".env").write_text("A: b"), ".env, line 1: write A=…", id="line"),
        pytest.param(lambda i: i.write_dotenv(PORT="1"), "another PORT needs a restart", id="port"),
        pytest.param(
            lambda i: (i.folder / "authsvc" / "urls.py").write_text("import nothing_like_it"),
            "ModuleNotFoundError: No module named 'nothing_like_it'",
            id="code",
        ),
    ],
)
def test_hup_changes_nothing_where_the_new_would_not_start(
    installation: Installation, mistake: Callable[[Installation], Any], reason: str
) -> None:
    with running(installation.start()) as process, load(str(installation.http.base_url)):
        mistake(installation)
        process.send_signal(signal.SIGHUP)
        refusal = f"Not reloaded, the workers go on as they are: {reason}"
        eventually(lambda: refusal in installation.log.read_text().replace('\\"', '"'), 60)
        assert installation.seen() == ("0.1.0", 400)


def test_a_worker_that_dies_is_replaced_by_one_with_the_settings_of_before(installation: Installation) -> None:
    with running(installation.start()) as process:
        installation.write_dotenv(SIGNUP_ENABLED="maybe")
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        before = set(children.read_text().split())
        for worker in before:
            os.kill(int(worker), signal.SIGKILL)
        eventually(lambda: len(set(children.read_text().split()) - before) == 1)
        eventually(installation.is_ready)
        assert installation.seen() == ("0.1.0", 400)


def test_usr2_hands_over_to_a_new_gunicorn_and_fails_no_request(installation: Installation) -> None:
    with ExitStack() as stack:
        process = stack.enter_context(running(installation.start()))
        with load(str(installation.http.base_url)):
            installation.write_version("9.9.9")
            installation.write_dotenv(SIGNUP_ENABLED="false")
            process.send_signal(signal.SIGUSR2)
            new = eventually(lambda: first_process(installation, process.pid), 60)
            stack.callback(end, new)
            eventually(lambda: len(Path(f"/proc/{new}/task/{new}/children").read_text().split()) == 1, 60)
            eventually(lambda: installation.seen() == ("9.9.9", 403), 60)
            process.terminate()
            assert process.wait(40) == 0
            eventually(lambda: installation.always(("9.9.9", 403)), 60)


def end(pid: int) -> None:
    """End a process that is no child of ours, and wait until it is gone."""
    os.kill(pid, signal.SIGTERM)
    status = Path(f"/proc/{pid}/status")
    eventually(lambda: not status.exists() or "State:\tZ" in status.read_text(), 40)


def first_process(installation: Installation, but: int) -> int:
    """Return the gunicorn that says it listens, other than one; 0 as long as there is none."""
    lines = [line for line in installation.log.read_text().splitlines() if "Listening at" in line]
    pids = [int(line.partition(f":{installation.port} (")[2].partition(")")[0]) for line in lines]
    return next((pid for pid in pids if pid != but), 0)


def test_a_restart_behind_a_socket_of_systemd_fails_no_request(installation: Installation) -> None:
    with socket.socket() as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(("127.0.0.1", installation.port))
        held.listen(1024)
        command = [sys.executable, "-c", ACTIVATED, str(held.fileno())]

        def start() -> subprocess.Popen[bytes]:
            return installation.start(command, pass_fds=[held.fileno()])

        with ExitStack() as stack:
            old = stack.enter_context(running(start()))
            with load(str(installation.http.base_url)):
                installation.write_version("9.9.9")
                installation.write_dotenv(SIGNUP_ENABLED="false")
                old.terminate()
                assert old.wait(40) == 0
                stack.enter_context(running(start()))
                assert installation.always(("9.9.9", 403))


@pytest.fixture
def migrated(tmp_path: Path, new_database: Callable[[], str]) -> Server:
    """A database of its own that is up to date; nothing serves it."""
    migrated = Server(tmp_path, new_database())
    migrated.http.close()
    migrated.migrate()
    return migrated


def revert(server: Server, app: str, target: str) -> str:
    """Revert an app's migrations down to one of them, and return the last line of what failed, or ""."""
    reverted = server.manage("migrate", app, target, "-v0")
    return reverted.stderr.strip().rpartition("\n")[2] if reverted.returncode else ""


def test_migrations_are_reverted_and_applied_again_with_rows_in_the_tables(migrated: Server) -> None:
    operator = migrated.operator()
    assert migrated.manage("issue_api_key", "--user", operator, "--name", "nightly export").returncode == 0
    for app in ("apikeys", "accounts", "audit"):
        assert revert(migrated, app, "0001") == ""
    migrated.migrate()
    listed = migrated.manage("list_api_keys", "--user", operator, "--json")
    assert [key["name"] for key in json.loads(listed.stdout)] == ["nightly export"]


def test_a_service_account_keeps_its_migration_from_being_reverted(migrated: Server) -> None:
    assert migrated.manage("issue_api_key", "--service", "ci", "--name", "deploy").returncode == 0
    assert revert(migrated, "apikeys", "0001") == ""
    assert "email" in revert(migrated, "accounts", "0002")
    migrated.migrate()
    assert [key["name"] for key in json.loads(migrated.manage("list_api_keys", "--json").stdout)] == ["deploy"]


def test_a_prefix_in_dotenv_leaves_each_route_its_threads(installation: Installation) -> None:
    installation.write_dotenv(SCRIPT_NAME="/idp")
    installation.http.base_url = httpx.URL(f"http://127.0.0.1:{installation.port}/idp")
    with running(installation.start()), Connection(installation.port) as connection:
        connection.send(b"POST /idp/auth/verify HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 10\r\n\r\n")
        assert connection.answer().status == 401  # its body, which never comes, is not waited for
