"""Removing what has had its time: in small batches, so that nobody waits for a lock that one of them holds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.contrib.sessions.models import Session as ConsoleLogin
from django.db.models import Q, QuerySet
from django.utils import timezone

from accounts.models import Lockout, Session, SigningKey

BATCH = 1000  # rows


def expired() -> Iterator[tuple[str, Iterator[int]]]:
    """Yield what is removed, by name, with an iterator that removes it and yields the size of each batch."""
    now = timezone.now()
    yield "sessions", in_batches(Session.objects.filter(Q(ended_at__isnull=False) | Q(expires_at__lte=now)))
    yield "operators' logins", in_batches(ConsoleLogin.objects.filter(expire_date__lte=now))
    yield "lockouts", in_batches(Lockout.objects.filter(ends_at__lte=now))
    yield "signing keys", in_batches(SigningKey.objects.filter(retires_at__lte=now))


def in_batches(rows: QuerySet[Any]) -> Iterator[int]:
    """Delete rows, each batch in a transaction of its own, and yield how many each one was.

    What a batch found is asked again when it deletes: a lockout that has begun anew meanwhile stays.
    """
    model, ids = rows.model, rows.order_by().values_list("pk", flat=True)
    while batch := list(ids[:BATCH]):
        _, by_model = rows.filter(pk__in=batch).delete()
        if not (removed := by_model.get(model._meta.label, 0)):
            return
        yield removed
