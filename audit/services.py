"""Every write to the audit."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from datetime import datetime, timedelta
from threading import Lock
from typing import Any

from django.db import models, transaction
from django.utils import timezone

from audit import journal
from audit.events import Event
from audit.models import AuditEvent, Retention
from authsvc.request.context import NONE, current

COMMAND = "manage.py"  # the actor outside of requests
REMEMBERED = 10_000  # throttled events that a process remembers


def record(
    event: Event, *, actor: models.Model | None = None, subject: models.Model | None = None, reason: str = ""
) -> None:
    """Add one event. Call it in the transaction of the change.

    The client's address, user agent and request id come from the current request.
    """
    row = build(event, actor=actor, subject=subject, reason=reason)
    row.save(force_insert=True)
    journal.write([(row, subject)])


def record_all(
    event: Event, *, subjects: Sequence[models.Model], actor: models.Model | None = None, reason: str = ""
) -> None:
    """Add one event for each subject, in one INSERT; otherwise as ``record``."""
    rows = [build(event, actor=actor, subject=subject, reason=reason) for subject in subjects]
    AuditEvent.objects.bulk_create(rows)
    journal.write(zip(rows, subjects, strict=True))


def record_once_a_minute(event: Event, *, subject: models.Model, reason: str) -> None:
    """Add an event, at most one a minute for each subject, reason and address, over all processes.

    For rejections, of which a client can cause any number. Call it outside the transaction that the rejection rolls
    back. A unique constraint decides; this process does not repeat what it has written.
    """
    row = build(event, subject=subject, reason=reason)
    row.once = f"{event}/{row.subject_id}/{reason}/{row.address}/{row.at:%Y-%m-%dT%H:%M}"
    if row.once not in written:
        AuditEvent.objects.bulk_create([row], ignore_conflicts=True)
        journal.write([(row, subject)])
        written.add(row.once)


def build(
    event: Event, *, actor: models.Model | None = None, subject: models.Model | None = None, reason: str = ""
) -> AuditEvent:
    """Return an unsaved event with the current time and request."""
    context = current.get()
    address = context.address
    return AuditEvent(
        event=event.value,
        actor_id=actor.pk if actor else None,
        actor_name=str(actor) if actor else COMMAND if context is NONE else "",
        subject_type=subject._meta.model_name or "" if subject else "",
        subject_id=subject.pk if subject else None,
        subject_name=journal.name_of(subject) if subject else "",
        address=str(address) if address else None,
        user_agent=printable(context.user_agent)[:200],
        request_id=context.request_id,
        reason=reason[:200],
    )


def printable(text: str) -> str:
    """Return a text without the characters that PostgreSQL cannot store or that control a terminal."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def prune(*, older_than: timedelta, now: datetime | None = None) -> int:
    """Delete the events older than ``older_than``, a day at least, and return how many.

    The triggers of Retention delete them and write the event, also for a row that is inserted by other means. Raises
    DatabaseError for less than a day.
    """
    before = (now or timezone.now()) - older_than
    with transaction.atomic():
        deleted = AuditEvent.objects.filter(at__lt=before).count()
        Retention.objects.create(before=before)
        journal.write(
            [(build(Event.AUDIT_PRUNED, reason=f"{deleted} events from before {before:%Y-%m-%dT%H:%M:%SZ}"), None)]
        )
    return deleted


class Recent:
    """The last ``size`` items that were added. Thread-safe."""

    def __init__(self, size: int) -> None:
        self.size, self.lock, self.items = size, Lock(), OrderedDict[Any, None]()

    def __contains__(self, item: Any) -> bool:
        return item in self.items

    def add(self, item: Any) -> bool:
        """Add an item, drop the oldest beyond ``size``, and return whether it was present."""
        with self.lock:
            known = item in self.items
            self.items[item] = None
            if len(self.items) > self.size:
                self.items.popitem(last=False)
        return known


written = Recent(REMEMBERED)
