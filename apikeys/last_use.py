"""When and from where a key was last used: noted with it and its secret, at most once a minute, never backwards."""

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
# PostgreSQL takes both in one go. The parts of a WITH come in no order that it promises, but what counts the rows of
# one waits for it.
note_both = PreparedUpdate(
    f"WITH noted AS ({KEY} RETURNING id) {SECRET} AND (SELECT count(*) FROM noted) >= 0"  # noqa: S608  two constants
)


def update_last_use(*, key: APIKey, now: datetime, context: RequestContext) -> None:
    """Note that a secret of a key was used, unless that was noted within a minute.

    The key's row comes first, as in a rotation: two that took the same rows in two orders would wait for each other.
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
    """Note the first use of a key, which is also an event; say whether this was it."""
    use = {"last_used_at": now, "last_used_address": address}
    first = APIKey.objects.filter(pk=key.pk, last_used_at__isnull=True).update(**use) == 1
    if first:
        Secret.objects.filter(pk=key.secret.pk).update(**use)
        audit.record(Event.KEY_FIRST_USED, actor=key.owner, subject=key)
    return first
