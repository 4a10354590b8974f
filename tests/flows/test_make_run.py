"""``make run``: it says where it serves once it does, and each mistake in one sentence."""

from __future__ import annotations

import os
import pty
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.flows.conftest import ROOT, eventually, free_port

PROJECT = ("authsvc", "gunicorn.conf.py", "manage.py", "Makefile", "requirements.txt", ".env.example")
APPS = ("staticfiles", "accounts", "apikeys", "audit", "gateway", "protected", "console")
PYTHON = f"#!/bin/sh\nexec '{sys.executable}' \"$@\"\n"


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A clone in a path with spaces, its environment installed, without a .env."""
    folder = tmp_path / "auth svc"
    (folder / ".venv" / "bin").mkdir(parents=True)
    for name in (*PROJECT, *APPS):
        copy: Any = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, folder / name)
    python = folder / ".venv" / "bin" / "python"
    python.write_text(PYTHON)
    python.chmod(0o755)
    (folder / ".venv" / "run").touch()
    return folder


def start(clone: Path, *words: str, stderr: Any = subprocess.PIPE, **environment: str) -> subprocess.Popen[str]:
    """Run it without any variable of ours but those that are given."""
    ours = {line.partition("=")[0].lstrip("#") for line in (ROOT / ".env.example").read_text().splitlines()}
    ours |= {
        "DJANGO_SETTINGS_MODULE",
        "MAKELEVEL",
        "MAKEFLAGS",
        "MFLAGS",
    }  # the last three of a make that runs the suite
    inherited = {name: value for name, value in os.environ.items() if name not in ours}
    return subprocess.Popen(
        ["make", "run", *words],
        cwd=clone,
        env={**inherited, **environment},
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        process_group=0,
    )


@contextmanager
def serving(clone: Path, *words: str, **options: Any) -> Iterator[list[str]]:
    """Run it until it has said where it serves, and yield the addresses."""
    process = start(clone, *words, **options)
    assert process.stdout is not None
    try:
        lines: list[list[str]] = []
        while "operator:" not in (lines or [[]])[-1]:
            line = process.stdout.readline()
            assert line, "it has ended"
            lines.append(line.split())
        yield [line[-1] for line in lines if line and line[0] in {"API", "Admin"}]
    finally:
        os.killpg(process.pid, 15)
        process.communicate(timeout=40)


@pytest.mark.parametrize("given", [".env", "environment over .env", "command line over both"])
def test_it_serves_where_it_was_told_to_and_says_so(clone: Path, given: str) -> None:
    port = free_port()
    (clone / ".env").write_text(f"SECRET_KEY={'k' * 40}\nPORT={port if given == '.env' else 1}\n")
    words = (f"PORT={port}",) if given.startswith("command") else ()
    environment = {} if given == ".env" else {"PORT": "2" if words else str(port)}
    url = f"http://127.0.0.1:{port}"
    with serving(clone, *words, stderr=subprocess.DEVNULL, **environment) as printed:
        assert printed == [url, f"{url}/docs", f"{url}/admin/"]
        with httpx.Client(base_url=url, trust_env=False, timeout=30) as http:
            assert http.get("/readyz").status_code == 200


def test_the_first_run_makes_a_secret_and_a_persons_lines_on_a_terminal(clone: Path) -> None:
    terminal, end = pty.openpty()
    with serving(clone, stderr=end, PORT=str(free_port())):
        os.close(end)
        seen = b""

        def line() -> bool:
            nonlocal seen
            seen += os.read(terminal, 4096)
            return b"Listening at" in seen

        eventually(line)
    os.close(terminal)
    assert b" INFO     Listening at: http://127.0.0.1:" in seen
    assert b"{" not in seen
    assert len((clone / ".env").read_text().partition("\nSECRET_KEY=")[2].splitlines()[0]) > 60


@pytest.mark.parametrize(
    ("dotenv", "environment", "sentence"),
    [
        pytest.param(
            "SIGNUP_ENABLED: false", {}, '.env, line 2: write SIGNUP_ENABLED=…, with "=" instead of ":".', id=":"
        ),
        pytest.param("PORT = many", {}, "PORT must be a whole number from 1 to 65535, not 'many'.", id="a wrong value"),
        pytest.param(
            "", {"DATABASE_URL": "postgres://u:p@127.0.0.1:1/x"}, "The database cannot be used: ", id="database"
        ),
        pytest.param(
            "", {"DATABASE_URL": "sqlite:////nowhere/x"}, "The database cannot be used: unable", id="no folder"
        ),
    ],
)
def test_a_mistake_is_one_sentence_and_no_banner(
    clone: Path, dotenv: str, environment: dict[str, str], sentence: str
) -> None:
    (clone / ".env").write_text(f"SECRET_KEY={'k' * 40}\n{dotenv}\n")
    process = start(clone, **environment)
    printed, told = process.communicate(timeout=120)
    first, *rest = told.splitlines()
    assert first.startswith(f"authsvc: {sentence}")
    assert [line.partition("***")[0] for line in rest] == ["make: "]
    assert (process.returncode, printed) == (2, "")


def test_a_port_that_is_taken_is_one_sentence_and_no_banner(clone: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        (clone / ".env").write_text(f"SECRET_KEY={'k' * 40}\n")
        process = start(clone, PORT=str(port))
        printed, told = process.communicate(timeout=120)
    sentence = f"authsvc: Cannot serve on port {port} of 127.0.0.1: Address already in use; PORT names another one."
    assert told.splitlines()[0] == sentence
    assert (process.returncode, len(told.splitlines()), printed) == (2, 2, "")
