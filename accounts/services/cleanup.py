"""Deletes expired rows in small batches, so that no request waits long for a lock."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.contrib.sessions.models import Session as ConsoleLogin
from django.db.models import Q, QuerySet
from django.utils import timezone

from accounts.models import Lockout, Session, SigningKey

BATCH = 1000  # rows of one DELETE
FOUND = 100_000  # ids of one SELECT


def expired() -> Iterator[tuple[str, Iterator[int]]]:
    """Yield (name, iterator); the iterator deletes the rows and yields the size of each batch."""
    now = timezone.now()
    yield "sessions", in_batches(Session.objects.filter(Q(ended_at__isnull=False) | Q(expires_at__lte=now)))
    yield "operators' logins", in_batches(ConsoleLogin.objects.filter(expire_date__lte=now))
    yield "lockouts", in_batches(Lockout.objects.filter(ends_at__lte=now))
    yield "signing keys", in_batches(SigningKey.objects.filter(retires_at__lte=now))


def in_batches(rows: QuerySet[Any]) -> Iterator[int]:
    """Delete rows, each batch in its own transaction, and yield the size of each.

    A SELECT steps over all dead rows that are not vacuumed yet, so one SELECT finds the ids of many batches. The DELETE
    repeats the condition: a lockout that has started again meanwhile stays.
    """
    model, ids = rows.model, rows.order_by().values_list("pk", flat=True)
    removed = FOUND
    while removed and (found := list(ids[:FOUND])):
        removed = 0
        for first in range(0, len(found), BATCH):
            _, by_model = rows.filter(pk__in=found[first : first + BATCH]).delete()
            batch = by_model.get(model._meta.label, 0)
            removed += batch
            if batch:
                yield batch
