"""Typed, strict readers for environment variables: a wrong value stops the process and names the variable.

django-environ parses the database's URL; it does not refuse ``DEBUG=maybe`` (it reads False), so the scalar readers
are here, and it skips lines of ``.env`` that it cannot read, so that reader is ``authsvc.config.dotenv``.
"""

import os
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import environ
from django.core.exceptions import ImproperlyConfigured

from authsvc.config import database_options, rates

TRUE, FALSE = {"true", "1", "yes", "on"}, {"false", "0", "no", "off"}

PERCENT = "write special characters of the user name and password as %XX: # is %23, / is %2F, ? is %3F, @ is %40"

# WAL lets readers go on beside the one writer; with it, NORMAL risks at worst the last commits in a power cut.
SQLITE_PRAGMAS = "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;"
# Seconds, libpq's names: a connection is given up that nobody answers, and an idle one that has lost its peer.
SILENCE = {"connect_timeout": 3, "keepalives_idle": 5, "keepalives_interval": 2, "keepalives_count": 2}

# The names that have been read: every variable of ours, once the settings are complete.
names: set[str] = set()


def text(name: str, default: str = "") -> str:
    """Return the stripped value; unset and empty are both the default."""
    names.add(name)
    return os.environ.get(name, "").strip() or default


def secret(name: str, default: str = "") -> str:
    """Return ``NAME``, or the content of the file that ``NAME_FILE`` points to (Docker and Kubernetes secrets).

    Either is one line of printable characters.
    """
    file = text(f"{name}_FILE")
    try:
        value = (Path(file).read_text(encoding="utf-8-sig").strip() or default) if file else text(name, default)
    except (OSError, UnicodeDecodeError) as error:
        raise ImproperlyConfigured(f"{name}_FILE names a file that cannot be read ({type(error).__name__}).") from error
    if not value.isprintable():  # also what os.environ makes of bytes that are no UTF-8
        where = f"{name}_FILE names a file with more than one line, or" if file else f"{name} has"
        raise ImproperlyConfigured(f"{where} characters that are not text.")
    return value


def secret_key(name: str, least: int) -> str:
    """Return a required secret of at least ``least`` characters."""
    value = secret(name)
    if not value:
        raise ImproperlyConfigured(f"{name} is missing: set it to at least {least} random characters.")
    if len(value) < least:
        raise ImproperlyConfigured(f"{name} is too short: it needs at least {least} characters.")
    return value


def former_keys(name: str, least: int) -> list[str]:
    """Return the comma separated secrets that a secret key has had before, each of at least ``least`` characters."""
    found = [item.strip() for item in secret(name).split(",") if item.strip()]
    if any(len(item) < least for item in found):
        raise ImproperlyConfigured(f"{name} must list secrets of at least {least} characters, separated by commas.")
    return found


def integer(name: str, default: int, low: int, high: int) -> int:
    """Return a whole number between ``low`` and ``high``, both included."""
    value = text(name, str(default))
    if not re.fullmatch(r"[+-]?[0-9]{1,18}", value) or not low <= int(value) <= high:
        raise ImproperlyConfigured(f"{name} must be a whole number from {low} to {high}, not {value!r}.")
    return int(value)


def rate(name: str, default: str) -> str:
    """Return limits such as ``20/hour`` in one form, "" for ``none``."""
    value = text(name, default)
    try:
        return "" if value.lower() == "none" else rates.canonical(value)
    except ValueError as error:
        message = f"{name} must be written as 20/hour, or several as 5/minute; 20/hour, or none; not {value!r}."
        raise ImproperlyConfigured(message) from error


def boolean(name: str, default: bool) -> bool:
    """Return a truth value written as true/false, 1/0, yes/no or on/off."""
    value = text(name, str(default)).lower()
    if value not in TRUE | FALSE:
        raise ImproperlyConfigured(f"{name} must be true or false, not {value!r}.")
    return value in TRUE


def path(name: str) -> str:
    """Return the path of a file that is there, or "" when unset."""
    value = text(name)
    if value and not Path(value).is_file():
        raise ImproperlyConfigured(f"{name} names a file that is not there.")
    return value


def writable(name: str) -> str:
    """Return the path of a file that can be written, which need not be there yet, or "" when unset."""
    value = text(name)
    file = Path(value)
    if value and (file.is_dir() or not os.access(file if file.exists() else file.parent, os.W_OK)):
        raise ImproperlyConfigured(f"{name} names a file that cannot be written.")
    return value


def choice(name: str, default: str, allowed: tuple[str, ...]) -> str:
    """Return one of the allowed words, whatever the case it was written in."""
    value = text(name, default)
    words = {word.upper(): word for word in allowed}
    if value.upper() not in words:
        raise ImproperlyConfigured(f"{name} must be one of {', '.join(allowed)}, not {value!r}.")
    return words[value.upper()]


def matching(name: str, default: str, pattern: str, wanted: str) -> str:
    """Return a value that matches ``pattern`` as a whole; ``wanted`` says in words what that is."""
    value = text(name, default)
    if not re.fullmatch(pattern, value):
        raise ImproperlyConfigured(f"{name} must be {wanted}, not {value!r}.")
    return value


def listing(name: str, default: str, pattern: str, wanted: str) -> list[str]:
    """Return the items of a comma separated list, each of which must match ``pattern``."""
    items = [item.strip() for item in text(name, default).split(",") if item.strip()]
    for item in items:
        if not re.fullmatch(pattern, item):
            raise ImproperlyConfigured(f"{name} must list {wanted}, separated by commas; {item!r} is none.")
    return items


def url(name: str, default: str, schemes: tuple[str, ...]) -> str:
    """Return a URL with one of the schemes, or "" when unset; it may hold a password, so no error repeats it."""
    value = secret(name, default)
    if value and not value.startswith(tuple(f"{scheme}://" for scheme in schemes)):
        raise ImproperlyConfigured(f"{name} must be a URL that starts with {'://, '.join(schemes)}://.")
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError as error:
        raise ImproperlyConfigured(f"{name} is not a URL that can be read; {PERCENT}.") from error
    if parts.fragment or value.endswith("#"):
        raise ImproperlyConfigured(f"{name} has a #, which ends a URL; {PERCENT}.")
    if port == 0:
        raise ImproperlyConfigured(f"{name} names port 0.")
    return value


def public_url(name: str, default: str) -> tuple[str, str, str]:
    """Return the URL under which clients reach the service, and its two parts: the origin and the path before all."""
    wanted = "a URL such as https://auth.example.com or https://example.com/auth"
    host = r"([A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*|\[[0-9A-Fa-f:.]+\])"
    value = matching(name, default, rf"https?://{host}(:[1-9][0-9]{{0,4}})?(/[A-Za-z0-9._~-]+)*/?", wanted).rstrip("/")
    try:
        parts = urlsplit(value)
        parts.port  # noqa: B018  it raises for one beyond 65535
    except ValueError as error:
        raise ImproperlyConfigured(f"{name} must be {wanted}, not {value!r}.") from error
    return value, f"{parts.scheme}://{parts.netloc}".lower(), parts.path


def redis(name: str) -> str:
    """Return the URL of a Redis or ""; the client would take a database that is no number for number 0."""
    value = url(name, "", ("redis", "rediss", "unix"))
    if not value.startswith("unix") and not re.fullmatch(r"/?[0-9]*", urlsplit(value).path):
        raise ImproperlyConfigured(f"{name} must name its database by a number, as in redis://host:6379/0.")
    return value


def database(name: str, default: str, base: Path, timeout: int) -> dict[str, Any]:
    """Return Django's settings for a PostgreSQL or SQLite URL; a relative SQLite path is below ``base``.

    ``timeout`` is the seconds after which a silent peer is given up.
    """
    value = url(name, default, ("postgres", "postgresql", "sqlite"))
    database_options.check(name, value)
    config: dict[str, Any] = environ.Env.db_url_config(value)
    if config["NAME"] in ("", ":memory:"):
        raise ImproperlyConfigured(f"{name} must name a database; one in memory is lost with every thread.")
    options = config.setdefault("OPTIONS", {})
    if value.startswith("sqlite"):
        config["ENGINE"] = "authsvc.database.sqlite3"
        config["NAME"] = str(base / config["NAME"])
        options.update(timeout=timeout, transaction_mode="IMMEDIATE", init_command=SQLITE_PRAGMAS)
    else:
        config["ENGINE"] = "authsvc.database.postgresql"
        # Persistent connections and server-side binding make the credential lookup one prepared statement
        # (docs/decisions.md has the figures); psycopg prepares what has run more than prepare_threshold times.
        config["CONN_MAX_AGE"] = None
        # Behind a pooler the next fetch may meet another server connection, which knows no such cursor.
        config["DISABLE_SERVER_SIDE_CURSORS"] = True
        prepared = config["PREPARED_STATEMENTS"] = prepared_statements(name, options.pop("prepared_statements", ""))
        options.update(server_side_binding=True, prepare_threshold=None if prepared is False else 2)
        for option, seconds in SILENCE.items():
            options.setdefault(option, seconds)
        options.setdefault("tcp_user_timeout", timeout * 1000)
    return config


def prepared_statements(name: str, value: str | int) -> bool | None:
    """Return what a database's URL says of prepared statements; None, where it says nothing, leaves it to a look."""
    words = {"": None, "true": True, "false": False}
    if str(value).lower() not in words:
        raise ImproperlyConfigured(f"{name} must have true or false for prepared_statements, or nothing.")
    return words[str(value).lower()]
