"""The record of security events. Rows are never changed; triggers in the database enforce that."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.utils import timezone

from audit.events import Event


class AuditEvent(models.Model):
    """One event. Actor and subject are stored by name, without foreign keys: the event outlives them."""

    at = models.DateTimeField(default=timezone.now)
    event = models.CharField(max_length=40, choices=[(event.value, event.value) for event in Event])
    actor_id = models.BigIntegerField(null=True)
    actor_name = models.CharField(max_length=254, default="")
    subject_type = models.CharField(max_length=20, default="")
    subject_id = models.BigIntegerField(null=True)
    subject_name = models.CharField(max_length=254, default="")
    address = models.GenericIPAddressField(null=True)
    user_agent = models.CharField(max_length=200, default="")
    request_id = models.CharField(max_length=128, default="")
    reason = models.CharField(max_length=200, default="")
    # A key that is unique within a minute, for events that are recorded once a minute; NULL for others.
    once = models.CharField(max_length=150, null=True, unique=True)  # noqa: DJ001  NULLs do not collide, "" would

    class Meta:
        verbose_name = "audit event"
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["subject_type", "subject_id", "-id"], name="audit_subject"),
            models.Index(fields=["at"], name="audit_at"),
        ]

    def __str__(self) -> str:
        return f"{self.event} {self.subject_name}".strip()


class Retention(models.Model):
    """Deletes events: inserting a row deletes the events before it and records that as an event.

    Triggers do both, and remove the row within the statement. They keep everything younger than a day.
    """

    before = models.DateTimeField()

    def __str__(self) -> str:
        return f"before {self.before}"
