"""The options of a database's URL, checked at the start: the driver refuses them at each connection, by no variable."""

import re
from urllib.parse import parse_qs, urlsplit

from django.core.exceptions import ImproperlyConfigured

OURS = {"prepared_statements", "assume_role"}  # the latter is Django's
NUMBER = r"-?[0-9]{1,9}"
NUMBERS = {
    "connect_timeout": NUMBER,
    "keepalives": NUMBER,
    "keepalives_idle": NUMBER,
    "keepalives_interval": NUMBER,
    "keepalives_count": NUMBER,
    "tcp_user_timeout": NUMBER,
    "port": r"[0-9]{1,5}(?:,[0-9]{1,5})*",  # one for each host
}


def check(name: str, url: str) -> None:
    """Raise ImproperlyConfigured for an option that PostgreSQL's client library, or SQLite, does not know.

    No value is repeated, and no option that may be a part of a password.
    """
    parts = urlsplit(url)
    options = parse_qs(parts.query)
    if not options:
        return
    database = "SQLite" if parts.scheme == "sqlite" else "PostgreSQL"
    known = set() if parts.scheme == "sqlite" else known_to_libpq() | OURS
    for option, (value, *_) in options.items():
        if option not in known and "@" in parts.query:
            raise ImproperlyConfigured(f"{name} has a ? before an @: write ? in a password as %3F, and @ as %40.")
        if option not in known:
            raise ImproperlyConfigured(f"{name} has the option {option!r}, which {database} does not know.")
        if not value.isprintable():
            raise ImproperlyConfigured(f"{name} has characters that are not text in its option {option}.")
        if option in NUMBERS and not re.fullmatch(NUMBERS[option], value):
            raise ImproperlyConfigured(f"{name} must have a whole number in its option {option}.")


def known_to_libpq() -> set[str]:
    """Return the names of the connection parameters of the client library that is installed."""
    from psycopg import pq  # noqa: PLC0415  SQLite needs none of it

    return {parameter.keyword.decode() for parameter in pq.Conninfo.get_defaults()}
