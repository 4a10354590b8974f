"""What each connection to PostgreSQL is told, whatever the defaults of its database and its role."""

from __future__ import annotations

import logging
import re
from threading import Lock
from typing import Any

from django.conf import settings
from psycopg import IsolationLevel

from authsvc.database.errors import UnsupportedDatabaseError
from authsvc.database.postgresql.driver import Connection

logger = logging.getLogger(__name__)

# The service relies on these. psycopg reads times in ISO only, and what races here is decided under READ COMMITTED.
RELIED_ON = {
    "datestyle": "ISO, MDY",
    "intervalstyle": "postgres",
    "standard_conforming_strings": "on",
    "default_transaction_isolation": "read committed",
}
REPORTED = ("DateStyle", "IntervalStyle", "standard_conforming_strings")  # PgBouncer keeps these for each client
TIMEOUTS = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")
OWN_ANSWER = 0.95  # of DATABASE_TIMEOUT: the server's own time-outs come before the watchdog's
OPTION = re.compile(r"(?:-c\s*|--)([A-Za-z_]+)\s*=")
warned = Lock()  # acquired, for good, by the first thread that warns of a pooler


class Serving:
    """Whether this process serves requests; commands may run statements as long as they take."""

    active = False


def configure(raw: Connection, database: dict[str, Any]) -> None:
    """Prepare a new connection for use. Raises UnsupportedDatabaseError for a database without UTF-8.

    What the ``options`` of DATABASE_URL set is left as it is.
    """
    encoding = raw.info.parameter_status("server_encoding")
    if database["NAME"] is not None and encoding != "UTF8":  # without a name it is not the service's own
        raise UnsupportedDatabaseError(f"The database has the encoding {encoding}; it must have UTF8.")
    raw.isolation_level = IsolationLevel.READ_COMMITTED
    raw.is_pooled = raw.execute("SELECT pg_backend_pid()").fetchone() != (raw.info.backend_pid,)
    given = {name.lower() for name in OPTION.findall(str(database["OPTIONS"].get("options", "")))}
    wanted = {name: value for name, value in wanted_settings(raw).items() if name not in given}
    if wanted:
        calls = ", ".join(f"set_config('{name}', '{value}', false)" for name, value in wanted.items())
        raw.execute(f"SELECT {calls}".encode())
    if raw.is_pooled and database["PREPARED_STATEMENTS"] is None:
        raw.prepare_threshold = None
        warn_pooler_detected()


def wanted_settings(raw: Connection) -> dict[str, str]:
    """Return the settings to send.

    A pooler hands each transaction another server connection, where a setting would stay for other clients: there only
    those are sent that PgBouncer keeps for each client, and only where they differ.
    """
    if raw.is_pooled:
        differing = {name.lower() for name in REPORTED if raw.info.parameter_status(name) != RELIED_ON[name.lower()]}
        return {name: value for name, value in RELIED_ON.items() if name in differing}
    milliseconds = str(int(settings.DATABASE_TIMEOUT * OWN_ANSWER * 1000))
    return {**RELIED_ON, **(dict.fromkeys(TIMEOUTS, milliseconds) if Serving.active else {})}


def warn_pooler_detected() -> None:
    """Log once in each process that a pooler was found."""
    if warned.acquire(blocking=False):
        logger.warning(
            "a connection pooler stands before PostgreSQL, so statements are not prepared; "
            "prepared_statements=true or false in DATABASE_URL says what it can do, and ends this warning"
        )
