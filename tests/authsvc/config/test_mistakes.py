"""What an operator got wrong is one sentence with the way out; a fault of the code keeps its traceback."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, IntegrityError, InterfaceError, OperationalError, ProgrammingError, connection

from accounts.models import User
from authsvc.config import mistakes
from authsvc.config.mistakes import database_problem, explain
from authsvc.config.startup import one_sentence
from tests.authsvc.conftest import run
from tests.factories import make_key

CANNOT = "The database cannot be used: "
LACKS = "The database lacks a table or a column of this version: run manage.py migrate."
HERE = "connection to server at 'h', port 1 failed: "


REFUSED = f"{HERE}Connection refused"
START = "start PostgreSQL, or correct the host and port in DATABASE_URL."
WRITABLE = "the file and its folder must be writable for the user that runs authsvc."
WRONG_PASSWORD = 'FATAL: password authentication failed for user "u"'
NO_DATABASE, NO_ROLE = 'FATAL: database "d" does not exist', 'FATAL: role "u" does not exist'
FORBIDDEN = "permission denied for schema public"
OWNER = "the role in DATABASE_URL lacks a right: make it the owner of the database."
EXPLAINED: list[tuple[Exception, str | None]] = [
    (ImproperlyConfigured("PORT is\nwrong."), "PORT is wrong."),
    (
        OperationalError(f"connection failed: {REFUSED}\n\tIs the server running on that host and accepting TCP/IP?"),
        f"{CANNOT}{REFUSED}; {START}",
    ),
    (
        OperationalError(f"{HERE}{WRONG_PASSWORD}"),
        f"{CANNOT}{HERE}{WRONG_PASSWORD}; the user or the password in DATABASE_URL is wrong.",
    ),
    (
        OperationalError(NO_DATABASE),
        f"{CANNOT}{NO_DATABASE}; create it with createdb, or name another one in DATABASE_URL.",
    ),
    (OperationalError(NO_ROLE), f"{CANNOT}{NO_ROLE}; create the role, or name another one in DATABASE_URL."),
    (OperationalError("database or disk is full"), f"{CANNOT}database or disk is full; free some space on the disk."),
    (
        OperationalError("attempt to write a readonly database"),
        f"{CANNOT}attempt to write a readonly database; {WRITABLE}",
    ),
    (InterfaceError("it went away"), f"{CANNOT}it went away; DATABASE_URL names it."),
    (
        DatabaseError("file is not a database"),
        f"{CANNOT}file is not a database; DATABASE_URL must name an SQLite file.",
    ),
    (OperationalError("no such table: accounts_user"), LACKS),
    (ProgrammingError('relation "accounts_user" does not exist\nLINE 1: SELECT'), LACKS),
    (ProgrammingError(f"{FORBIDDEN}\nLINE 1: CREATE TABLE"), f"{CANNOT}{FORBIDDEN}; {OWNER}"),
    (PermissionError(13, "Permission denied", "/x/staticfiles"), "/x/staticfiles: Permission denied."),
    (BrokenPipeError(32, "Broken pipe"), "Broken pipe."),
    (TimeoutError(), "TimeoutError."),
    (ProgrammingError('syntax error at or near "SELEC"'), None),
    (IntegrityError("UNIQUE constraint failed"), None),
    (KeyError("x"), None),
]


@pytest.mark.parametrize(("error", "sentence"), EXPLAINED, ids=repr)
def test_a_mistake_is_explained_and_a_fault_is_not(error: Exception, sentence: str | None) -> None:
    assert explain(error) == sentence


def test_a_mistake_ends_the_process_with_its_sentence_and_a_fault_with_its_traceback() -> None:
    with pytest.raises(SystemExit) as ended, one_sentence():
        raise OSError(28, "No space left on device")
    assert ended.value.code == "authsvc: No space left on device."
    with pytest.raises(OSError, match="No space"), one_sentence(traceback=True):
        raise OSError(28, "No space left on device")
    with pytest.raises(KeyError), one_sentence():
        raise KeyError("x")
    with pytest.raises(SystemExit) as ended, one_sentence():
        raise KeyboardInterrupt
    assert ended.value.code == 130


@pytest.mark.parametrize("words", [("migrate",), ("createsuperuser", "--noinput")])
@pytest.mark.parametrize(
    "url",
    ["postgres://u:hunter2@127.0.0.1:1/x", "sqlite:////nowhere/x.sqlite3", "sqlite:////proc/x.sqlite3"],
)
def test_no_command_shows_a_traceback_for_a_database_that_is_not_there(words: tuple[str, ...], url: str) -> None:
    done = run("manage.py", *words, DATABASE_URL=url, REDIS_URL="", DJANGO_SUPERUSER_PASSWORD="x")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].removeprefix("authsvc: ").removeprefix("CommandError: ").startswith(CANNOT)
    assert "Traceback" not in done.stderr
    assert "hunter2" not in done.stderr


def test_a_python_without_django_is_told_which_one_has_it(tmp_path: Path) -> None:
    (tmp_path / "django").mkdir()
    (tmp_path / "django" / "__init__.py").touch()  # stands before the real one, and is empty
    done = run("manage.py", "check", PYTHONPATH=str(tmp_path))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "authsvc: Django is not installed for this Python; use .venv/bin/python, which `make run` makes.\n"
    )


@pytest.mark.parametrize(
    "locale",
    [
        {"PYTHONIOENCODING": "cp1252"},
        {"LC_ALL": "POSIX", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
        {"PYTHONIOENCODING": "ascii:strict"},
    ],
    ids=["cp1252", "POSIX", "ASCII"],
)
def test_a_name_that_the_locale_cannot_write_is_escaped(locale: dict[str, str], tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/db.sqlite3"
    assert run("manage.py", "migrate", "-v0", DATABASE_URL=url).returncode == 0
    name = "\N{CYRILLIC CAPITAL LETTER ZHE}\N{SNOWMAN}"
    issued = run("manage.py", "issue_api_key", "--service", "svc", "--name", name, "--json", DATABASE_URL=url)
    assert json.loads(issued.stdout)["name"] == name
    table = run("manage.py", "list_api_keys", DATABASE_URL=url, **locale)
    assert (table.returncode, table.stderr) == (0, "")
    assert "\\u0416\\u2603" in table.stdout
    listed = run("manage.py", "list_api_keys", "--json", DATABASE_URL=url, **locale)
    assert [row["name"] for row in json.loads(listed.stdout)] == [name]


def test_output_that_is_closed_or_no_file_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", stream)
    mistakes.make_output_safe()
    assert stream.errors == "backslashreplace"


@pytest.mark.django_db
def test_a_database_in_order_is_no_problem(alice: User) -> None:
    make_key(alice)
    assert database_problem() is None


@pytest.mark.django_db
def test_a_database_without_a_migration_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("django.db.migrations.recorder.MigrationRecorder.applied_migrations", lambda recorder: {})
    sentence = database_problem() or ""
    assert sentence.startswith("The database lacks ")
    assert sentence.endswith(" migrations: run manage.py migrate.")


def test_a_database_that_is_away_is_one(database_away: None, monkeypatch: pytest.MonkeyPatch) -> None:
    sentence = database_problem() or ""
    if connection.vendor == "sqlite":
        assert sentence == "The database /nowhere/db.sqlite3 is not there: run manage.py migrate."
        monkeypatch.setattr(Path, "is_file", lambda path: True)
        sentence = database_problem() or ""
    assert sentence.startswith(CANNOT)
