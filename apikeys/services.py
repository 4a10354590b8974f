"""Every write about keys. The API, the admin and the commands call these functions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, NoReturn

from django.conf import settings
from django.core import exceptions
from django.db import transaction
from django.utils import timezone
from rest_framework.exceptions import PermissionDenied

from accounts import authority
from accounts.models import Session, User
from accounts.services import sessions
from apikeys import keys, validators
from apikeys.models import APIKey, Secret
from audit import services as audit
from audit.events import Event
from authsvc.problems import InvalidCredential
from authsvc.telemetry import metrics

NOT_YOURS = "You may rotate your own keys, and those of service accounts whose scopes you have."
OVERLAP = 24 * 3600  # seconds that an outgoing secret lives on when nothing else is asked for


def issue_key(
    *,
    owner: User,
    name: str,
    scopes: Iterable[str] = (),
    expires_in_days: int | None = None,
    allowed_ips: Iterable[str] = (),
    rate_limit: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    actor: User | None = None,
    session: Session | None = None,
) -> tuple[APIKey, str]:
    """Make a key and return it with its plaintext, which exists nowhere else from now on.

    ``expires_in_days`` counts from now, 1 to API_KEY_MAX_EXPIRE_DAYS, API_KEY_EXPIRE_DAYS when None. ``owner`` is a
    user whose grants have been read. ``session`` is the one that asks: of one that ends meanwhile there is no key.
    Raises ValidationError by field, InvalidCredential for a session that has ended.
    """
    days = settings.API_KEY_EXPIRE_DAYS if expires_in_days is None else expires_in_days
    now = timezone.now()
    key = APIKey(
        owner=owner,
        name=validators.clean_name(name),
        scope=validators.clean_scopes(scopes, owner),
        created_at=now,
        expires_at=now + timedelta(days=validators.clean_days(days)),
        allowed_ips=validators.clean_allowed_ips(allowed_ips),
        rate_limit=validators.clean_rate_limit(rate_limit),
        metadata=validators.clean_metadata(metadata or {}),
    )
    with transaction.atomic():
        if session is not None and not sessions.lock_live(session):
            raise InvalidCredential("session ended", scheme="Bearer")
        key.save(force_insert=True)
        plaintext = add_secret(key, now)
        audit.record(Event.KEY_ISSUED, actor=actor, subject=key, reason=key.scope)
    return key, plaintext


def add_secret(key: APIKey, now: datetime) -> str:
    """Give a key a new secret and return its plaintext."""
    new = keys.generate(settings.API_KEY_PREFIX)
    Secret(api_key=key, digest=new.digest, prefix=new.prefix, created_at=now).save(force_insert=True)
    key.prefix = new.prefix
    return new.plaintext


CLEAN: dict[str, Callable[[Any], Any]] = {
    "name": validators.clean_name,
    "allowed_ips": validators.clean_allowed_ips,
    "rate_limit": validators.clean_rate_limit,
    "metadata": validators.clean_metadata,
    "is_enabled": bool,
}


def change_key(*, key: APIKey, owner: User, actor: User | None = None, **changes: Any) -> bool:
    """Change what is given of a key; say whether it could be changed, which a revoked one cannot.

    ``changes`` are name, scopes, allowed_ips, rate_limit, metadata and is_enabled. ``owner`` is the key's, with grants
    read. ``key`` is afterwards as the database has it. Raises ValidationError by field.
    """
    columns = {field: CLEAN[field](value) for field, value in changes.items() if field != "scopes"}
    if "scopes" in changes:
        columns["scope"] = validators.clean_scopes(changes["scopes"], owner)
    alive = APIKey.objects.filter(revoked_at__isnull=True)
    with transaction.atomic():
        try:
            # Locked, then read: what is recorded is what this call changes, whatever has changed since a view read it.
            key.refresh_from_db(from_queryset=alive.select_for_update())
        except APIKey.DoesNotExist:
            return False
        changed = {
            field: value for field, value in columns.items() if validators.json_differs(getattr(key, field), value)
        }
        for field, value in changed.items():
            setattr(key, field, value)
        if changed:
            key.save(update_fields=changed)
            record_changes(key, set(changed), actor)
    return True


def record_changes(key: APIKey, changed: set[str], actor: User | None) -> None:
    """Record what was changed of a key, by name: what it became is in the row, and metadata may be private."""
    if "is_enabled" in changed:
        audit.record(Event.KEY_ENABLED if key.is_enabled else Event.KEY_DISABLED, actor=actor, subject=key)
    others = sorted(changed - {"is_enabled"})
    if others:
        audit.record(Event.KEY_CHANGED, actor=actor, subject=key, reason=" ".join(others))


@transaction.atomic
def revoke_key(*, key: APIKey, reason: str = "", actor: User | None = None, event: Event = Event.KEY_REVOKED) -> bool:
    """End a key and all its secrets for good; say whether this call did it (False: it was revoked before)."""
    alive = APIKey.objects.filter(pk=key.pk, revoked_at__isnull=True)
    reason = validators.clean_reason(reason)
    revoked = alive.update(revoked_at=timezone.now(), revoked_reason=reason) == 1
    if revoked:
        metrics.revocations.labels("api_key").inc()
        audit.record(event, actor=actor, subject=key, reason=reason)
    return revoked


@transaction.atomic
def rotate_key(
    *,
    key: APIKey,
    overlap_seconds: int = OVERLAP,
    retire_on_first_use: bool = False,
    expires_in_days: int | None = None,
    actor: User | None = None,
    used: Secret | None = None,
    in_force: int | None = None,
) -> str | None:
    """Give a key a new secret and return its plaintext, or None for a key that is revoked.

    The secret in force ends after ``overlap_seconds``, or with ``retire_on_first_use`` as soon as the new one is used,
    whichever is first; one that was already on its way out ends now. The expiry starts anew, with the life that the
    key had or ``expires_in_days``. Of parallel calls each waits for the one before: the first UPDATE takes the row.
    ``used`` is the secret by which a key rotates itself, ``in_force`` the id of the secret that the caller means to
    replace. Raises ValidationError by field, and on ``in_force`` where another secret is in force by now; what
    ``refuse_ended`` raises; PermissionDenied for an operator who may not see a secret of the key.
    """
    if not may_rotate(key=key, actor=actor):
        raise exceptions.PermissionDenied(NOT_YOURS)
    overlap, now = timedelta(seconds=validators.clean_overlap(overlap_seconds)), timezone.now()
    alive = APIKey.objects.filter(pk=key.pk, revoked_at__isnull=True)
    if not alive.update(retire_on_first_use=retire_on_first_use):
        return None
    secrets = Secret.objects.filter(api_key=key)
    outgoing = secrets.get(retires_at__isnull=True)
    if used is not None and used.pk != outgoing.pk:
        refuse_ended(used)
    if in_force is not None and in_force != outgoing.pk:
        raise validators.field_error("in_force", "rotated", "The key has been rotated meanwhile; nothing was changed.")
    key.refresh_from_db(fields=["expires_at"])
    days = None if expires_in_days is None else timedelta(days=validators.clean_days(expires_in_days))
    # The outgoing secret keeps the end that it had: a new life of the key is the new secret's alone.
    ends = min(now + overlap, key.expires_at)
    key.expires_at = now + (days or key.expires_at - outgoing.created_at)
    alive.update(expires_at=key.expires_at)
    secrets.filter(retires_at__gt=now).update(retires_at=now)
    secrets.filter(pk=outgoing.pk).update(retires_at=ends)
    plaintext = add_secret(key, now)
    audit.record(Event.KEY_ROTATED, actor=actor, subject=key, reason=f"{outgoing.prefix} to {key.prefix}")
    return plaintext


def may_rotate(*, key: APIKey, actor: User | None) -> bool:
    """Return whether an actor may see a new secret of a key: its owner, and the command line.

    An operator may of a service account's key whose scopes the operator has too, a superuser of any such key. A
    person's key is its owner's alone: with its secret an operator acts in the owner's name.
    """
    if actor is None or actor.pk == key.owner_id:
        return True
    return key.owner.is_service and (actor.is_superuser or authority.scopes_of(actor).issuperset(key.scopes))


def refuse_ended(used: Secret) -> NoReturn:
    """Refuse a secret that is not in force any more as it would be at its next use.

    Raises PermissionDenied for one that lives on beside its successor, InvalidCredential for one that has ended.
    """
    used.refresh_from_db(fields=["retires_at"])
    if used.retires_at is not None and used.retires_at > timezone.now():
        raise PermissionDenied("An outgoing secret cannot rotate its key.")
    raise InvalidCredential("secret retired", scheme="ApiKey")


@transaction.atomic
def retire_outgoing(*, key: APIKey, now: datetime) -> None:
    """End the outgoing secret of a key whose new one has been used, if that was asked for; one caller does it."""
    asked = APIKey.objects.filter(pk=key.pk, retire_on_first_use=True)
    if asked.update(retire_on_first_use=False):  # and so the row is this transaction's, which a rotation waits for
        if not Secret.objects.filter(pk=key.secret.pk, retires_at__isnull=True).exists():
            APIKey.objects.filter(pk=key.pk).update(retire_on_first_use=True)  # a rotation came between: not its turn
            return
        ended = Secret.objects.filter(api_key=key, retires_at__gt=now).update(retires_at=now)
        if ended:
            audit.record(Event.KEY_OUTGOING_RETIRED, subject=key, reason="the new secret was used")
