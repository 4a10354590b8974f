"""Settings read afresh, processes that fail to start, views that fail, and a database that is away."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from accounts.models import User

ROOT = Path(__file__).resolve().parent.parent.parent

# Each database has what is its alone.
OF_POSTGRESQL, OF_SQLITE = ["database/test_libpq.py", "database/test_driver.py"], ["database/test_sqlite.py"]
collect_ignore = OF_POSTGRESQL if os.environ["DATABASE_URL"].startswith("sqlite") else OF_SQLITE


@pytest.fixture
def read_settings(monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    """Run the settings file under other variables, and return what it sets; ``None`` takes a variable away."""

    def read(**variables: str | None) -> dict[str, Any]:
        for name, value in variables.items():
            if value is None:
                monkeypatch.delenv(name, raising=False)
            else:
                monkeypatch.setenv(name, value)
        return runpy.run_path(str(ROOT / "authsvc" / "settings.py"))

    return read


@pytest.fixture
def use(settings: Any, read_settings: Callable[..., dict[str, Any]]) -> Callable[..., None]:
    """Serve this test under other variables, as a process that had started with them would."""

    def apply(**variables: str) -> None:
        before = read_settings()
        for name, value in read_settings(**variables).items():
            if name.isupper() and value != before[name]:
                setattr(settings, name, value)

    return apply


def run(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a program of this Python in the project's folder under the test's variables and some more."""
    inherited = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
    return subprocess.run(
        [sys.executable, *command],
        cwd=ROOT,
        env={**inherited, "WEB_CONCURRENCY": "1", **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def broken(settings: Any) -> None:
    """The routes of tests/authsvc/urls.py, whose views fail, beside the project's own."""
    settings.ROOT_URLCONF = "tests.authsvc.urls"


@pytest.fixture
def committed(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """A database whose writes are real, for threads and connections that die.

    Its users go afterwards. The rows of the migrations stay, which the flush of ``transactional_db`` would take.
    """
    with django_db_blocker.unblock():
        yield
        User.objects.all().delete()


@pytest.fixture
def database_away(committed: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A database that cannot be reached: nothing listens on the port, and no such folder has the file."""
    connection.close()
    with monkeypatch.context() as patch:
        for name, value in {"HOST": "127.0.0.1", "PORT": "1", "NAME": "/nowhere/db.sqlite3"}.items():
            patch.setitem(connection.settings_dict, name, value)
        yield
        connection.close()
