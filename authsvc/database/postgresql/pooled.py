"""What a role must have set where a pooler keeps the service from setting it for each session."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, connections

from authsvc.database.errors import DATABASE_ERRORS
from authsvc.database.postgresql.session import RELIED_ON, TIMEOUTS

ISOLATION = "default_transaction_isolation"
UNLIMITED = {"0", ""}


def missing_settings() -> dict[str, str]:
    """Return what to set for the role, by name; nothing without a pooler, or where the database cannot be asked."""
    connection: Any = connections[DEFAULT_DB_ALIAS]
    if connection.vendor != "postgresql":
        return {}
    try:
        connection.ensure_connection()
        if not connection.connection.is_pooled:
            return {}
        with connection.cursor() as cursor:
            found = {name: value_of(cursor, name) for name in (*TIMEOUTS, ISOLATION)}
    except DATABASE_ERRORS:
        return {}
    wanted = {name: f"{settings.DATABASE_TIMEOUT}s" for name in TIMEOUTS if found[name] in UNLIMITED}
    return wanted if found[ISOLATION] == RELIED_ON[ISOLATION] else {**wanted, ISOLATION: RELIED_ON[ISOLATION]}


def value_of(cursor: Any, name: str) -> str:
    """Return a setting of the session."""
    cursor.execute("SELECT current_setting(%s)", [name])
    return str(cursor.fetchone()[0])
