"""Writes when and from where a key and its secret were last used: at most once a minute, and only forwards."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import connection, transaction

from apikeys.models import APIKey, Secret
from audit import services as audit
from audit.events import Event
from authsvc.database.prepared import PreparedUpdate
from authsvc.request.context import RequestContext

RESOLUTION = timedelta(minutes=1)

NOTE = """
    UPDATE {table} SET last_used_at = %s, last_used_address = %s
    WHERE id = %s AND (last_used_at IS NULL OR last_used_at <= %s)
"""
KEY, SECRET = NOTE.format(table="apikeys_apikey"), NOTE.format(table="apikeys_secret")
note_key, note_secret = PreparedUpdate(KEY), PreparedUpdate(SECRET)
# PostgreSQL runs both UPDATEs in one statement. It promises no order for the parts of a WITH, so the second one counts
# the rows of the first and therefore waits for it.
note_both = PreparedUpdate(
    f"WITH noted AS ({KEY} RETURNING id) {SECRET} AND (SELECT count(*) FROM noted) >= 0"  # noqa: S608  two constants
)


def update_last_use(*, key: APIKey, now: datetime, context: RequestContext) -> None:
    """Update the last use of a key and its secret, unless it is less than a minute old.

    The key's row is locked first, as in a rotation: two orders of locks would deadlock.
    """
    stale = now - RESOLUTION
    if key.secret.last_used_at is not None and key.secret.last_used_at > stale:
        return
    address = None if context.address is None else str(context.address)
    if key.last_used_at is None and record_first_use(key, now, address):
        return
    of_key, of_secret = (now, address, key.pk, stale), (now, address, key.secret.pk, stale)
    if connection.vendor == "postgresql":
        note_both.execute(*of_key, *of_secret)
        return
    with transaction.atomic():
        note_key.execute(*of_key)
        note_secret.execute(*of_secret)


@transaction.atomic
def record_first_use(key: APIKey, now: datetime, address: str | None) -> bool:
    """Write the first use of a key with its audit event; return whether this was the first."""
    use = {"last_used_at": now, "last_used_address": address}
    first = APIKey.objects.filter(pk=key.pk, last_used_at__isnull=True).update(**use) == 1
    if first:
        Secret.objects.filter(pk=key.secret.pk).update(**use)
        audit.record(Event.KEY_FIRST_USED, actor=key.owner, subject=key)
    return first
