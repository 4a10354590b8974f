"""Logs each audit event as one JSON line after its transaction commits, and reads such lines back.

The log survives the loss of the database: ``manage.py after_restore`` repeats the revocations that it has.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson
from django.db import models, transaction
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from audit.events import Event
from audit.models import AuditEvent
from authsvc.ids import parse_id
from authsvc.request.context import mask
from authsvc.telemetry import logs

logger = logging.getLogger(logs.AUDIT)

MAX_LINE = 64 * 1024  # characters; ours have some hundred
# Events whose subject is identified by its creation time, since its name may change.
IDENTIFIED = {event for event in Event if event.startswith(("user:", "api_key:", "role:"))} - {
    Event.USER_LOGGED_IN,
    Event.USER_LOGIN_FAILED,
    Event.KEY_FIRST_USED,
    Event.KEY_REFUSED,
}
# A line of LOG_FORMAT=text, where a name or a reason may be written like an event.
TEXT = re.compile(r"[0-9]{2}:[0-9]{2}:[0-9]{2} (?:DEBUG|INFO|WARNING|ERROR|CRITICAL) ")
PLAIN = {"api_key": Event.KEY_REVOKED, "user": Event.USER_DISABLED}


@dataclass(frozen=True, slots=True)
class Entry:
    """An event read from a line. Plain lines have no ``at``, and name a user without an id."""

    event: str
    at: datetime | None = None
    subject_type: str = ""
    subject_id: int | None = None
    subject_name: str | None = None
    subject_created_at: datetime | None = None
    actor_name: str = ""
    request_id: str = ""
    reason: str = ""

    def is_recorded(self) -> bool:
        """Return whether the event is from before the backup: the audit has it, or had it before it was pruned."""
        if self.at is None:
            return False
        oldest = AuditEvent.objects.order_by("at").values_list("at", flat=True).first()
        subject = AuditEvent.objects.filter(subject_type=self.subject_type, subject_id=self.subject_id)
        return (oldest is not None and self.at < oldest) or subject.filter(event=self.event, at=self.at).exists()

    def restore(self) -> None:
        """Add the event, which the restore has lost, to the audit again."""
        AuditEvent.objects.create(
            at=self.at or timezone.now(),
            event=self.event,
            actor_name=self.actor_name[:254],
            subject_type=self.subject_type,
            subject_id=self.subject_id,
            subject_name=self.subject_name or "",
            request_id=self.request_id[:128],
            reason=self.reason[:200],
        )

    def is_about(self, row: models.Model) -> bool:
        """Return whether a row with the subject's id is the subject, and not a later row with the same id."""
        created_at = getattr(row, "created_at", None)
        if self.subject_created_at is not None and created_at is not None:
            return bool(created_at == self.subject_created_at)
        return self.subject_name is None or self.subject_name == mask(name_of(row))


def name_of(subject: models.Model) -> str:
    """Return the name of a subject in the audit."""
    return str(getattr(subject, "name", subject))[:254]


def write(rows: Iterable[tuple[AuditEvent, models.Model | None]]) -> None:
    """Log (event, subject) pairs once the transaction has committed. A failing log does not undo it."""
    lines = [line(row, subject) for row, subject in rows]
    transaction.on_commit(lambda: emit(lines), robust=True)


def line(row: AuditEvent, subject: models.Model | None) -> dict[str, Any]:
    """Return the fields of an event's line. The client's address and user agent are not logged."""
    created_at = getattr(subject, "created_at", None) if row.event in IDENTIFIED else None
    return {
        "event": row.event,
        "at": row.at.isoformat(),
        "subject_type": row.subject_type,
        "subject_id": row.subject_id,
        "subject_name": mask(row.subject_name),
        "subject_created_at": created_at.isoformat() if created_at else None,
        "actor_id": row.actor_id,
        "actor_name": mask(row.actor_name),
        "reason": mask(row.reason),
    }


def emit(lines: list[dict[str, Any]]) -> None:
    for extra in lines:
        logger.info("audit", extra=extra)


@dataclass(slots=True)
class Counts:
    """The number of lines that are events, and of lines that are unknown."""

    events: int = 0
    unknown: int = 0


def read(path: str, counts: Counts) -> Iterator[Entry]:
    """Yield the events of a log, its own JSON lines or ``api_key ID`` and ``user NAME``, and count the lines.

    Raises OSError.
    """
    with Path(path).open(encoding="utf-8-sig", errors="replace") as file:
        while text := file.readline(MAX_LINE):
            is_long = len(text) == MAX_LINE and text[-1] != "\n"
            while is_long and (rest := file.readline(MAX_LINE)) and rest[-1] != "\n":
                pass  # skip the rest of the line
            entry = None if is_long else parse_json(text) or parse_plain(text)
            if entry is not None:
                counts.events += 1
                yield entry
            elif is_long or not is_expected(text):
                counts.unknown += 1


def is_expected(text: str) -> bool:
    """Return whether a line without an event belongs in the service's log, such as a request's or an empty one."""
    return not text.strip() or own_line(text).get("logger", logger.name) != logger.name


def own_line(text: str) -> dict[str, Any]:
    """Return the members of a JSON line of this service, after any prefix of journald, syslog or docker.

    Empty for another line.
    """
    start = text.find("{")
    if start < 0 or TEXT.search(text, 0, start):
        return {}
    try:
        found: dict[str, Any] = orjson.loads(text[start:])
    except orjson.JSONDecodeError:
        return {}
    return found if all(isinstance(found.get(name), str) for name in ("logger", "message")) else {}


def parse_plain(text: str) -> Entry | None:
    """Return what a plain line revokes or disables, or None for another line."""
    kind, _, name = text.strip().partition(" ")
    event, name = PLAIN.get(kind), name.strip()
    if event is None or not name:
        return None
    if event == Event.USER_DISABLED:
        return Entry(event, subject_type="user", subject_name=name)
    key_id = parse_id(name)
    return None if key_id is None else Entry(event, subject_type="apikey", subject_id=key_id)


def parse_json(text: str) -> Entry | None:
    """Return the event of a line of this service's log, or None for another line."""
    if f'"{logger.name}"' not in text:  # a fast test, since most lines are of requests
        return None
    found = own_line(text)
    texts = ("event", "subject_type", "subject_name", "actor_name", "request_id", "reason")
    if found.get("logger") != logger.name or not all(isinstance(found.get(name), str) for name in texts):
        return None
    at, subject_id = moment(found.get("at")), found.get("subject_id")
    if at is None or not (subject_id is None or type(subject_id) is int):
        return None
    entry = Entry(at=at, subject_id=subject_id, **{name: found[name] for name in texts})
    return replace(entry, subject_created_at=moment(found.get("subject_created_at")))


def moment(text: Any) -> datetime | None:
    """Return the time of an ISO 8601 text with a zone, or None."""
    try:
        found = parse_datetime(text) if isinstance(text, str) else None
    except ValueError:
        return None
    return found if found is not None and found.tzinfo is not None else None
