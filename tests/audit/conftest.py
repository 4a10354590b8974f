"""What the tests of the record share: reading it, and filling it with events of a given age."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.utils import timezone

from audit.events import Event
from audit.models import AuditEvent


def events() -> list[tuple[str, str, str, str]]:
    """Return (event, actor, subject, reason) of the whole record, oldest first."""
    fields = ("event", "actor_name", "subject_name", "reason")
    return list(AuditEvent.objects.order_by("id").values_list(*fields))


def add(name: str = "x", *, age: timedelta = timedelta(0), **fields: Any) -> AuditEvent:
    """Store an event of an age."""
    at = timezone.now() - age
    return AuditEvent.objects.create(event=Event.USER_CHANGED.value, subject_name=name, at=at, **fields)
