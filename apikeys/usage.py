"""Counts the uses of keys in memory and writes them every few seconds, in one statement.

A process that stops writes first. One that is killed loses the counts of FLUSH_SECONDS at most.
"""

from __future__ import annotations

import atexit
import json
import logging
import threading
from collections import Counter
from datetime import date, datetime
from typing import Any

from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection

from apikeys.models import APIKey, Outcome
from authsvc.database.deadlines import within
from authsvc.database.errors import describe

logger = logging.getLogger(__name__)

FLUSH_SECONDS = 5.0
LAST_SECONDS = 3.0  # that a stopping process waits for the database
ROWS_A_STATEMENT = 500
DRIVER_ERRORS = (DatabaseError, InterfaceError)

# The rows are one JSON parameter: four parameters for each row cost ten times as much (docs/performance.md). Both
# databases support this upsert; SQLite needs a WHERE before the ON CONFLICT.
UPSERT = """
    INSERT INTO apikeys_usage (api_key_id, day, outcome, count) {rows}
    ON CONFLICT (api_key_id, day, outcome) DO UPDATE SET count = apikeys_usage.count + excluded.count
"""
ROWS = {
    "postgresql": """
        SELECT (value->>0)::bigint, (value->>1)::date, value->>2, (value->>3)::bigint
        FROM jsonb_array_elements(%s::jsonb)
    """,
    "sqlite": """
        SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]'),
            json_extract(value, '$[2]'), json_extract(value, '$[3]')
        FROM json_each(%s) WHERE true
    """,
}

Entry = tuple[int, date, str]


class Counts:
    """The counts that this process has not written yet. Thread-safe."""

    def __init__(self) -> None:
        self.lock, self.counter, self.taken = threading.Lock(), Counter[Entry](), Counter[Entry]()

    def add(self, key_id: int, day: date, outcome: str, amount: int = 1) -> None:
        with self.lock:
            self.counter[key_id, day, outcome] += amount

    def take(self) -> Counter[Entry]:
        """Return the counts and start again at zero; the caller removes what it has written."""
        with self.lock:
            self.taken, self.counter = self.counter, Counter()
            return self.taken

    def put_back(self) -> None:
        """Add what was taken and not written to the counts again."""
        with self.lock:
            for entry, amount in self.taken.items():
                self.counter[entry] += amount
            self.taken = Counter()

    def pending(self) -> int:
        """Return how many uses are not written."""
        with self.lock:
            return sum(amount for amount in (self.counter + self.taken).values())


counts = Counts()
writing = threading.Lock()


def count(key: APIKey, outcome: Outcome, now: datetime) -> None:
    key.counted_on = now.date()
    counts.add(key.id, key.counted_on, outcome.value)


def on_permission_refused(*, credential: Any, **signal: Any) -> None:
    """Count a use as SCOPE, instead of OK, once its view has rejected it for a missing scope."""
    if isinstance(credential, APIKey):
        counts.add(credential.pk, credential.counted_on, Outcome.OK.value, -1)
        counts.add(credential.pk, credential.counted_on, Outcome.SCOPE.value)


def on_serving(**signal: Any) -> None:
    """Start the writer thread in a process that is about to serve."""
    start()


def flush() -> None:
    """Write the counts. On a database error they are kept for the next time."""
    try:
        write_all(settings.DATABASE_TIMEOUT)
    except DRIVER_ERRORS as error:
        logger.warning("usage could not be written and is kept: %s", describe(error))


def write_all(timeout: float) -> None:
    """Write the counts within ``timeout`` seconds. Raises a database error, and keeps what is not written."""
    with writing, within(timeout):
        taken = counts.take()
        # Sorted, so that two processes lock the rows in one order.
        rows = sorted((*entry, amount) for entry, amount in taken.items() if amount)
        try:
            for start in range(0, len(rows), ROWS_A_STATEMENT):
                write(rows[start : start + ROWS_A_STATEMENT])
                for *entry, _ in rows[start : start + ROWS_A_STATEMENT]:
                    del taken[tuple(entry)]
        except DRIVER_ERRORS:
            counts.put_back()
            if not connection.in_atomic_block:
                connection.close()  # it may be broken; the next write opens another
            raise


def write(rows: list[tuple[Any, ...]]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(UPSERT.format(rows=ROWS[connection.vendor]), [json.dumps(rows, default=date.isoformat)])


def start() -> threading.Event:
    """Write every few seconds, and once more at exit. Setting the returned event stops the thread."""
    stop = threading.Event()
    threading.Thread(target=run, args=(stop,), name="usage", daemon=True).start()
    atexit.register(finish, stop)
    return stop


def run(stop: threading.Event) -> None:
    while not stop.wait(FLUSH_SECONDS):
        flush()
    connection.close()


def finish(stop: threading.Event) -> None:
    """Write the last counts within LAST_SECONDS, or log how many are lost."""
    stop.set()
    try:
        if writing.acquire(timeout=LAST_SECONDS):  # the thread may be writing
            writing.release()
            write_all(LAST_SECONDS)
    except DRIVER_ERRORS as error:
        logger.debug("the last usage: %s", describe(error))
    if lost := counts.pending():
        logger.error("%d uses of keys could not be written before the process stopped, and are lost", lost)
    connection.close()
