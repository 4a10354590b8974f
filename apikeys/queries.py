"""Reading keys: the prepared statement behind ``x-api-key``, and an owner's own keys."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db.models import OuterRef, Q, QuerySet, Subquery

from accounts.models import User, scope_names
from accounts.queries import USER_FIELDS, build_user
from apikeys.keys import SHOWN_LENGTH
from apikeys.models import APIKey, APIKeyQuerySet, Outcome, Secret, Usage
from authsvc.database.prepared import PreparedQuery, build

# What verification needs. Django loads other columns on access.
SECRET_FIELDS = ("id", "retires_at", "last_used_at")
DEFERRED_FIELDS = {"created_at", "revoked_reason", "metadata", "last_used_address"}
KEY_FIELDS = tuple(f.attname for f in APIKey._meta.concrete_fields if f.attname not in DEFERRED_FIELDS)
K, U = len(SECRET_FIELDS), len(SECRET_FIELDS) + len(KEY_FIELDS)


def _keys(*more: str, **secret: bytes | int) -> QuerySet[Secret, tuple[Any, ...]]:
    return (
        Secret.objects.filter(**secret)
        .order_by()
        .annotate(scope_names=scope_names("api_key__owner"))
        .values_list(
            *SECRET_FIELDS,
            *(f"api_key__{field}" for field in KEY_FIELDS),
            *(f"api_key__owner__{field}" for field in USER_FIELDS),
            "scope_names",
            *more,
        )
    )


_key_by_digest = PreparedQuery(lambda: _keys(digest=b""))
_key_by_secret_id = PreparedQuery(lambda: _keys("digest", pk=0))


def key_by_secret_id(secret_id: int) -> APIKey | None:
    """Return the key of a secret in any state, with the secret and the owner's scopes, or None."""
    row = _key_by_secret_id.fetch(secret_id)
    return None if row is None else _build_key(row[:-1], bytes(row[-1]))


def key_by_digest(digest: bytes) -> APIKey | None:
    """Return the key with this digest in any state, with the secret and the owner's scopes, or None."""
    row = _key_by_digest.fetch(digest)
    return None if row is None else _build_key(row, digest)


def _build_key(row: tuple[Any, ...], digest: bytes) -> APIKey:
    key = build(APIKey, KEY_FIELDS, row[K:U], owner=build_user(row[U:]))
    key.secret = build(Secret, SECRET_FIELDS, row)
    key.secret.digest = digest
    return key


def with_prefix(keys: APIKeyQuerySet) -> APIKeyQuerySet:
    """Annotate ``prefix``, the first characters of a key's newest secret."""
    newest = Secret.objects.filter(api_key=OuterRef("pk")).order_by("-id").values("prefix")[:1]
    return keys.annotate(prefix=Subquery(newest))  # type: ignore[no-redef]  # the model declares it


def keys_of(owner: User) -> APIKeyQuerySet:
    """Return an owner's keys, newest first, with their prefixes."""
    return with_prefix(APIKey.objects.filter(owner=owner)).order_by("-id")


def search(keys: APIKeyQuerySet, word: str) -> APIKeyQuerySet:
    """Filter by a word: a part of the key's or the owner's name, of the owner's address, or the start of a key.

    A whole prefix is found by its index alone. Owners and prefixes are subqueries and not joins: a join returns a row
    for each secret, and reads every owner for every key.
    """
    shown = len(settings.API_KEY_PREFIX) + 1 + SHOWN_LENGTH
    started = Secret.objects.filter(prefix__startswith=word[:shown]).values("api_key")
    if len(word) >= shown and word.startswith(f"{settings.API_KEY_PREFIX}_"):
        return keys.filter(pk__in=started)
    owners = User.objects.filter(Q(username__icontains=word) | Q(email__icontains=word)).values("pk")
    return keys.filter(Q(name__icontains=word) | Q(owner__in=owners) | Q(pk__in=started))


def usage_of(key: APIKey, *, days: int, now: datetime) -> dict[str, Any]:
    """Return a key's uses of the last days, today (UTC) included, newest first, and its outgoing secret or None."""
    today = now.date()
    found = {today - timedelta(days=back): dict.fromkeys(Outcome.values, 0) for back in range(days)}
    for use in Usage.objects.filter(api_key=key, day__gt=today - timedelta(days=days), day__lte=today):
        found[use.day][use.outcome] = use.count
    return {
        "last_used_at": key.last_used_at,
        "last_used_address": key.last_used_address,
        "outgoing_secret": Secret.objects.filter(api_key=key, retires_at__gt=now).first(),
        "days": [{"day": day, **counts} for day, counts in found.items()],
    }
