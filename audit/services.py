"""Writing the record, and the one way out of it."""

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

COMMAND = "manage.py"  # the actor of what no request asked for
REMEMBERED = 10_000  # throttled events that a process knows it has written


def record(
    event: Event, *, actor: models.Model | None = None, subject: models.Model | None = None, reason: str = ""
) -> None:
    """Add one event. Call it inside the transaction of the change that it tells of.

    The client's address, user agent and request id come from the request that is being answered.
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

    For refusals, which a client can cause as often as it likes. Call it outside the transaction that the refusal
    rolls back. The database's unique constraint decides; what this process has written it does not even try again.
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
    """Return an event of now, not yet stored."""
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
    """Return a text without the characters that PostgreSQL cannot store or a terminal would obey."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def prune(*, older_than: timedelta, now: datetime | None = None) -> int:
    """Delete the events older than a time, of a day at least, and return how many they were.

    The database does it and writes the event that tells of it, by the triggers of Retention: whoever else inserts a
    row there leaves the same trace. Raises DatabaseError for less than a day.
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
    """The last things added, so many; thread safe."""

    def __init__(self, size: int) -> None:
        self.size, self.lock, self.items = size, Lock(), OrderedDict[Any, None]()

    def __contains__(self, item: Any) -> bool:
        return item in self.items

    def add(self, item: Any) -> bool:
        """Add an item, forget the oldest where there are too many, and say whether it was there."""
        with self.lock:
            known = item in self.items
            self.items[item] = None
            if len(self.items) > self.size:
                self.items.popitem(last=False)
        return known


written = Recent(REMEMBERED)
