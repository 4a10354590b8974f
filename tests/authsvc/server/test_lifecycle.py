"""gunicorn's first process: what it knows of the settings, where it listens, and what it refuses to reload."""

from __future__ import annotations

import json
import os
import runpy
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from authsvc.config import dotenv
from authsvc.server import lifecycle
from tests.authsvc.conftest import ROOT

SETTINGS = SimpleNamespace(PORT=8000, PUBLIC_URL="https://a.example", TRUSTED_PROXIES=0, dotenv={}, database=None)


class Log:
    """What gunicorn's logger is called with."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def warning(self, message: str, *arguments: object) -> None:
        self.lines.append(message % arguments)

    error = warning


def arbiter(*addresses: object) -> Any:
    return SimpleNamespace(address=list(addresses), log=Log())


def answer(monkeypatch: pytest.MonkeyPatch, program: str) -> None:
    """Have a program asked instead of the real one."""
    monkeypatch.setattr(lifecycle, "PREFLIGHT", (sys.executable, "-c", program))


@pytest.mark.usefixtures("committed")
def test_the_settings_are_plain_values_without_the_secret(capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dotenv.current, "loaded", {"PORT": "8000"})
    runpy.run_module("authsvc.server.preflight")  # as it is imported: nothing happens
    runpy.run_module("authsvc.server.preflight", run_name="__main__")
    found = json.loads(capsys.readouterr().out)
    assert (found["settings"]["PORT"], found["settings"]["LOG_LEVEL"]) == (8000, "INFO")
    assert (found["dotenv"], found["database"]) == ({"PORT": "8000"}, None)
    assert not [name for name in found["settings"] if name.startswith("SECRET_KEY")]


def test_a_process_of_its_own_reads_them(monkeypatch: pytest.MonkeyPatch) -> None:
    answer(monkeypatch, """print('{"settings": {"PORT": 1}, "dotenv": {"A": "b"}, "database": null}')""")
    assert vars(lifecycle.read_settings(ROOT)) == {"PORT": 1, "dotenv": {"A": "b"}, "database": None}


def test_settings_that_cannot_be_read_end_the_process_whose_reader_has_said_why(
    monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    answer(monkeypatch, "import sys; sys.exit('authsvc: PORT is wrong.')")
    with pytest.raises(SystemExit) as ended:
        lifecycle.read_settings(ROOT)
    assert ended.value.code == 1
    assert capfd.readouterr().err == "authsvc: PORT is wrong.\n"


def test_a_worker_has_what_was_read_when_it_was_good(monkeypatch: pytest.MonkeyPatch) -> None:
    current = dotenv.Dotenv()
    monkeypatch.setattr(dotenv, "current", current)
    monkeypatch.setattr(os, "environ", dict(os.environ))
    lifecycle.use_settings(SimpleNamespace(dotenv={"AUTHSVC_TEST": "1"}))
    assert (os.environ["AUTHSVC_TEST"], current.frozen) == ("1", True)


@pytest.mark.parametrize(("family", "host"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_a_port_that_is_taken_ends_the_process_with_one_sentence(family: int, host: str) -> None:
    with socket.socket(family) as taken:
        taken.bind((host, 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(SystemExit) as ended:
            lifecycle.require_ports(arbiter("/run/a.sock", (host, port)))
    sentence = f"authsvc: Cannot serve on port {port} of {host}: Address already in use; PORT names another one."
    assert ended.value.code == sentence
    lifecycle.require_ports(arbiter((host, port)))  # it is free now, and stays so


@pytest.mark.parametrize("variable", [{"GUNICORN_PID": "1"}, {"LISTEN_PID": str(os.getpid())}])
def test_a_process_that_inherits_its_sockets_looks_for_no_port(
    variable: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variable.items():
        monkeypatch.setenv(name, value)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        lifecycle.require_ports(arbiter(taken.getsockname()))


@pytest.mark.parametrize("welcome", [True, False])
def test_it_says_where_it_serves_once_it_listens_where_that_is_wanted(
    welcome: bool, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setenv("AUTHSVC_WELCOME", "yes" if welcome else "")
    first = arbiter(("127.0.0.1", 8000))
    lifecycle.tell_where(first, SETTINGS)
    printed = capsys.readouterr().out.split()
    assert [word for word in printed if word.startswith("https")] == (
        ["https://a.example", "https://a.example/docs", "https://a.example/admin/"] if welcome else []
    )
    assert ("createsuperuser" in printed, first.log.lines) == (welcome, [])


def test_what_stands_in_the_way_is_logged() -> None:
    first = arbiter("unix:/run/a.sock")
    lifecycle.tell_where(first, SimpleNamespace(**{**vars(SETTINGS), "database": "It is away."}))
    assert first.log.lines == [
        "It is away. Until then /readyz answers 503.",
        "TRUSTED_PROXIES is 0 and clients come through a unix socket: all of them count as one.",
    ]


@pytest.mark.parametrize(
    ("program", "problem"),
    [
        ("import sys; sys.exit('authsvc: .env, line 2: no.')", ".env, line 2: no."),
        ("import nothing_like_it", "ModuleNotFoundError: No module named 'nothing_like_it'"),
        ("""print('{"settings": {"PORT": 1}}')""", "another PORT needs a restart."),
        ("import time; time.sleep(60)", "the new settings cannot be read (TimeoutExpired)."),
        ("""print('{"settings": {"PORT": 8000}}')""", None),
    ],
    ids=["a sentence", "a fault", "another port", "no answer", "good"],
)
def test_a_reload_is_refused_for_what_would_not_start(
    program: str, problem: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer(monkeypatch, program)
    monkeypatch.setattr(lifecycle, "PREFLIGHT_TIMEOUT", 2 if "sleep" in program else 60)
    monkeypatch.setattr(lifecycle, "FORGOTTEN", {"a_package_of_ours"})
    monkeypatch.setitem(sys.modules, "a_package_of_ours", sys)
    monkeypatch.setitem(sys.modules, "a_package_of_ours.part", sys)
    reloaded, first = [], arbiter()
    first.handle_hup = lambda: reloaded.append(sorted(name for name in sys.modules if "a_package_of_ours" in name))
    lifecycle.guard_reload(first, SETTINGS, ROOT)
    first.handle_hup()
    refusal = f"Not reloaded, the workers go on as they are: {problem}"
    assert (first.log.lines, reloaded) == (([refusal], []) if problem else ([], [[]]))


@pytest.mark.parametrize(
    ("program", "started"),
    [
        ("/x/gunicorn/__main__.py", [sys.executable, "-m", "gunicorn", "authsvc.wsgi"]),
        ("/x/bin/gunicorn", ["as it was"]),
    ],
)
def test_a_second_gunicorn_is_started_as_the_first_was(
    program: str, started: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", [program, "authsvc.wsgi"])
    first = SimpleNamespace(START_CTX={"args": ["as it was"]})
    lifecycle.correct_reexec(first)
    assert first.START_CTX["args"] == started


def test_gunicorns_first_process_loads_no_settings(tmp_path: Path) -> None:
    program = (
        "import sys, gunicorn.app.wsgiapp as w; sys.argv = ['gunicorn', 'authsvc.wsgi'];"
        "w.WSGIApplication(); print('authsvc.settings' in sys.modules, 'django.db' in sys.modules)"
    )
    environment = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
    environment["PROMETHEUS_MULTIPROC_DIR"] = str(tmp_path)
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert (done.stdout, done.returncode) == ("False False\n", 0), done.stderr
