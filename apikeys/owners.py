"""Writes to all keys of an owner."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from accounts.models import User
from accounts.services import sessions, users
from accounts.signals import OwnedKey, OwnedKeys
from apikeys import validators
from apikeys.models import APIKey, Status
from apikeys.queries import keys_of
from audit import services as audit
from audit.events import Event
from authsvc.telemetry import metrics

BATCH = 1000  # keys that are revoked by one UPDATE, and whose events are held in memory


class Ended(NamedTuple):
    """The result of ``end_everything``."""

    keys: int
    sessions: int


def end_everything(*, owner: User, reason: str = "", actor: User | None = None, disable: bool = False) -> Ended:
    """Revoke every key of an owner, end the sessions, and void mailed links and console sessions.

    With ``disable`` the owner is disabled too; enabling again revives nothing. The sessions end first, so that no new
    key can be made. The keys are then revoked in batches, each in its own transaction: repeat an interrupted call.
    Raises ValidationError on ``reason``.
    """
    reason = validators.clean_reason(reason)
    with transaction.atomic():
        ended = sessions.end_everywhere(user=owner, reason="everything ended", actor=actor)
        audit.record(Event.USER_EVERYTHING_ENDED, actor=actor, subject=owner, reason=reason)
        if disable:
            users.set_active(user=owner, active=False, actor=actor)
    return Ended(revoke_all(owner=owner, reason=reason, actor=actor), ended)


def revoke_all(*, owner: User, reason: str = "", actor: User | None = None, before: datetime | None = None) -> int:
    """Revoke every key of an owner, or those made before a time, and return how many this call revoked."""
    revoked, last = 0, 0
    while batch := revoke_batch(owner, last, validators.clean_reason(reason), actor, before):
        revoked, last = revoked + len(batch), batch[-1].pk
    return revoked


@transaction.atomic
def revoke_batch(owner: User, after: int, reason: str, actor: User | None, before: datetime | None) -> list[APIKey]:
    """Revoke the next keys by id, and return them. Locking by id keeps two calls from a deadlock."""
    alive = made_before(APIKey.objects.filter(owner=owner, revoked_at__isnull=True), before)
    named = alive.filter(pk__gt=after).order_by("pk").only("name", "created_at")
    batch = list(named.select_for_update(no_key=True)[:BATCH])
    if batch:
        ids = [key.pk for key in batch]
        alive.filter(pk__in=ids).update(revoked_at=timezone.now(), revoked_reason=reason)
        metrics.revocations.labels("api_key").inc(len(batch))
        audit.record_all(Event.KEY_REVOKED, subjects=batch, actor=actor, reason=reason)
    return batch


def made_before(keys: QuerySet[APIKey], time: datetime | None) -> QuerySet[APIKey]:
    """Filter by ``created_at``; None is no limit."""
    return keys if time is None else keys.filter(created_at__lt=time)


def on_list_keys(*, user: User, limit: int, before: datetime | None, **signal: Any) -> OwnedKeys:
    """Receiver of accounts' list_keys: the keys that could be used now."""
    alive = made_before(keys_of(user).with_status(Status.ACTIVE, timezone.now()), before)
    newest = [OwnedKey(key.name, key.prefix, key.created_at) for key in alive[:limit]]
    return OwnedKeys(newest, alive.count())


def on_revoke_keys(*, user: User, reason: str, actor: User | None, before: datetime | None, **signal: Any) -> None:
    """Receiver of accounts' revoke_keys."""
    revoke_all(owner=user, reason=reason, actor=actor, before=before)
