"""What an operator can get wrong, as one sentence that names the way out; nothing else may end without a traceback."""

import re
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, DataError, IntegrityError, InterfaceError, ProgrammingError

MIGRATE = "run manage.py migrate"
# A part of what PostgreSQL's client library or SQLite says, and the way out.
ADVICE = (
    ("password authentication failed", "the user or the password in DATABASE_URL is wrong"),
    ("no password supplied", "DATABASE_URL needs a password"),
    ('role "', "create the role, or name another one in DATABASE_URL"),
    ('database "', "create it with createdb, or name another one in DATABASE_URL"),
    ("refused", "start PostgreSQL, or correct the host and port in DATABASE_URL"),
    ("timeout expired", "correct the host and port in DATABASE_URL, or open the network to it"),
    ("could not translate", "correct the host in DATABASE_URL"),
    ("failed to resolve", "correct the host in DATABASE_URL"),
    ("No such file or directory", "start PostgreSQL, or correct the host in DATABASE_URL"),
    ("unable to open database file", "its folder must exist and be writable for the user that runs authsvc"),
    ("readonly database", "the file and its folder must be writable for the user that runs authsvc"),
    ("disk is full", "free some space on the disk"),
    ("not a database", "DATABASE_URL must name an SQLite file"),
    ("is locked", "another program holds the file; try again when it has finished"),
    ("permission denied", "the role in DATABASE_URL lacks a right: make it the owner of the database"),
)
HINTS = re.compile(r" Is the server running [^?]*\?| LINE \d+:.*|connection failed: |connection is bad: ")
UNMIGRATED = ("no such table", "no such column", "does not exist")


def explain(error: BaseException) -> str | None:
    """Return the sentence for an error that an operator can cause and mend, or None for a fault in the code."""
    match error:
        case ImproperlyConfigured():
            return " ".join(str(error).split())
        case IntegrityError() | DataError():
            return None
        case DatabaseError() | InterfaceError():
            return explain_database(error)
        case OSError():
            name = f"{error.filename}: " if error.filename else ""
            return f"{name}{error.strerror or type(error).__name__}."
        case _:
            return None


def explain_database(error: BaseException) -> str | None:
    """Return the sentence for an error of the database, or None where it is a fault of a statement."""
    said = HINTS.sub("", " ".join(str(error).split())).rstrip(".")
    unmigrated = any(words in said for words in UNMIGRATED)
    if isinstance(error, ProgrammingError) and "permission denied" not in said:
        return f"The database lacks a table or a column of this version: {MIGRATE}." if unmigrated else None
    if said.startswith("no such"):
        return f"The database lacks a table or a column of this version: {MIGRATE}."
    advice = next((advice for words, advice in ADVICE if words in said), "DATABASE_URL names it")
    return f"The database cannot be used: {said}; {advice}."


def make_output_safe() -> None:
    """Have characters that the locale cannot encode written as escapes, where printing them would raise."""
    streams: tuple[Any, ...] = (sys.stdout, sys.stderr)
    for stream in streams:
        with suppress(AttributeError):  # closed, or replaced by what is not a file
            stream.reconfigure(errors="backslashreplace")


def database_problem() -> str | None:
    """Return the sentence for a database that cannot serve now, or None; it may be able to later."""
    from django.db import connection  # noqa: PLC0415  the rest of this module is needed before there are settings
    from django.db.migrations.executor import MigrationExecutor  # noqa: PLC0415  as above

    from authsvc.database.errors import DATABASE_ERRORS  # noqa: PLC0415  as above

    file = connection.settings_dict["NAME"]
    if connection.vendor == "sqlite" and not Path(file).is_file():  # connecting would make an empty one
        return f"The database {file} is not there: {MIGRATE}."
    try:
        executor = MigrationExecutor(connection)
        missing = executor.migration_plan(executor.loader.graph.leaf_nodes())
    except DATABASE_ERRORS as error:
        return explain_database(error)
    finally:
        connection.close()
    return f"The database lacks {len(missing)} migrations: {MIGRATE}." if missing else None
