"""``make run``: where it serves, and its word on that. Makefile and settings are real; gunicorn tells its address."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.flows.conftest import ROOT

# What decides the port; the apps are imported from where they are.
PROJECT = ("authsvc", "gunicorn.conf.py", "Makefile", "requirements.txt")
# The environment's Python, but that nothing is migrated and nothing is served.
PYTHON = f"""#!/bin/sh
case "$1 $2" in
"manage.py migrate") ;;
"-m gunicorn") exec '{sys.executable}' "$@" --print-config ;;
*) exec '{sys.executable}' "$@" ;;
esac
"""


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A clone in a path with spaces, its environment installed, without a .env."""
    folder = tmp_path / "auth svc"
    (folder / ".venv" / "bin").mkdir(parents=True)
    for name in PROJECT:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, folder / name)
    python = folder / ".venv" / "bin" / "python"
    python.write_text(PYTHON)
    python.chmod(0o755)
    (folder / ".venv" / "run").touch()
    return folder


def make_run(clone: Path, *words: str, **environment: str) -> tuple[list[str], str]:
    """Run it and return the addresses that it prints and the one that gunicorn would listen on."""
    inherited = {name: value for name, value in os.environ.items() if name not in {"PORT", "DJANGO_SETTINGS_MODULE"}}
    ran = subprocess.run(
        ["make", "run", *words],
        cwd=clone,
        env={**inherited, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    lines = [line.split() for line in ran.stdout.splitlines()]
    printed = [line[-1] for line in lines if line and line[0] in {"API", "Admin"}]
    (bind,) = [line[-1] for line in lines if line and line[0] == "bind"]
    return printed, bind


@pytest.mark.parametrize(
    ("dotenv", "words", "environment", "port"),
    [
        pytest.param("", (), {}, 8000, id="nothing said"),
        pytest.param("PORT=9001\n", (), {}, 9001, id=".env"),
        pytest.param("PORT=9001\n", (), {"PORT": "9002"}, 9002, id="environment over .env"),
        pytest.param("PORT=9001\n", ("PORT=9003",), {}, 9003, id="command line over .env"),
        pytest.param("PORT=9001\n", ("PORT=9003",), {"PORT": "9002"}, 9003, id="command line over environment"),
    ],
)
def test_it_serves_where_it_was_told_to_and_says_so(
    clone: Path, dotenv: str, words: tuple[str, ...], environment: dict[str, str], port: int
) -> None:
    (clone / ".env").write_text(f"SECRET_KEY={'k' * 40}\n{dotenv}")
    url = f"http://127.0.0.1:{port}"
    assert make_run(clone, *words, **environment) == ([url, f"{url}/docs", f"{url}/admin/"], f"['127.0.0.1:{port}']")
