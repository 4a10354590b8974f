"""Keys for these tests: Alice's own key, a database whose writes are real, and threads that start together."""

from __future__ import annotations

import io
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import pytest
from django.contrib.auth.models import Permission
from django.core.management import execute_from_command_line
from django.db import connection, connections
from django.test import Client
from hypothesis import configuration

from accounts.models import User
from apikeys.models import APIKey
from tests.conftest import Api
from tests.factories import UserFactory, make_key, make_role

T = TypeVar("T")
ABSENT = {"sqlite": {"NAME": "/nowhere/db.sqlite3"}, "postgresql": {"HOST": "127.0.0.1", "PORT": "1"}}

CarolsKey = tuple[APIKey, str]

# Hypothesis keeps tables of characters on disk; they are no part of the project's folder.
configuration.set_hypothesis_home_dir(Path(tempfile.gettempdir()) / "authsvc-hypothesis")


class Ran(NamedTuple):
    """What a command left: its exit status and its two outputs."""

    status: Any
    stdout: str
    stderr: str


Manage = Callable[..., Ran]


@pytest.fixture
def alices_key(alice: User) -> str:
    """A key of Alice's that is good for everything that asks for a key and nothing more."""
    return make_key(alice, "nightly export")[1]


@pytest.fixture
def reader(alice: User) -> User:
    """Alice with a role that grants reports:read and reports:write."""
    alice.groups.add(make_role("reader", "reports:read", "reports:write"))
    return alice


@pytest.fixture
def operator(db: None) -> User:
    """An operator with every permission."""
    return UserFactory(username="operator", is_staff=True, is_superuser=True)


@pytest.fixture
def console(operator: User) -> Client:
    """The console as the operator's browser has it open; a failure is an answer, not a raise."""
    client = Client(raise_request_exception=False)
    client.force_login(operator)
    return client


@pytest.fixture
def viewer(db: None) -> Client:
    """The console of an operator who may view keys and no more."""
    operator = UserFactory(username="viewer", is_staff=True)
    operator.user_permissions.add(Permission.objects.get(codename="view_apikey"))
    client = Client(raise_request_exception=False)
    client.force_login(operator)
    return client


@pytest.fixture
def committed(transactional_db: None) -> None:
    """A database whose writes are real, for threads, and for commands that close their connection when they end.

    It stands on pytest-django's own fixture: a run in which no test names that or ``db`` gets no test database, and
    would write to the one of DATABASE_URL.
    """


@pytest.fixture
def carol(committed: None) -> User:
    """A user who is really stored."""
    return UserFactory(username="carol", email="carol@example.com")


@pytest.fixture
def carols_key(carol: User) -> CarolsKey:
    """A key that is really stored, and its plaintext."""
    return make_key(carol, "nightly export")


@pytest.fixture
def database_away(committed: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A database that cannot be reached."""
    connection.close()
    with monkeypatch.context() as patch:
        for name, value in ABSENT[connection.vendor].items():
            patch.setitem(connection.settings_dict, name, value)
        yield
        connection.close()


@pytest.fixture
def manage(committed: None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Manage:
    """Run ``manage.py`` with words, and with bytes on standard input."""

    def run(*words: str, stdin: bytes = b"") -> Ran:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(stdin), encoding="utf-8"))
        try:
            execute_from_command_line(["manage.py", *words])
        except SystemExit as end:
            return Ran(end.code, *capsys.readouterr())
        return Ran(0, *capsys.readouterr())

    return run


def opens(key: str) -> bool:
    """Say whether a key opens a route."""
    return Api().get("/protected/service", key=key).status_code == 200


def in_parallel(work: list[Callable[[], T]]) -> list[T]:
    """Return what each piece of work returns when all start at once, each in a thread with a connection of its own."""
    together = threading.Barrier(len(work), timeout=30)

    def start(piece: Callable[[], T]) -> T:
        together.wait()
        try:
            return piece()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(work)) as threads:
        return list(threads.map(start, work))
