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
    """Create a key, and return it with its plaintext, which is not stored.

    ``expires_in_days`` is 1 to API_KEY_MAX_EXPIRE_DAYS, and API_KEY_EXPIRE_DAYS when None. ``owner`` has grants loaded.
    ``session`` is the caller's; no key is created once it has ended.
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
    """Change fields of a key; return False for a revoked one, which cannot change.

    ``changes`` are name, scopes, allowed_ips, rate_limit, metadata and is_enabled. ``owner`` is the key's, with grants
    loaded. ``key`` is refreshed from the database. Raises ValidationError by field.
    """
    columns = {field: CLEAN[field](value) for field, value in changes.items() if field != "scopes"}
    if "scopes" in changes:
        columns["scope"] = validators.clean_scopes(changes["scopes"], owner)
    alive = APIKey.objects.filter(revoked_at__isnull=True)
    with transaction.atomic():
        try:
            # Locked, then read: the audit names what this call changes, even if others have changed the key meanwhile.
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
    """Record the names of the changed fields. Their values are in the row, and metadata may be private."""
    if "is_enabled" in changed:
        audit.record(Event.KEY_ENABLED if key.is_enabled else Event.KEY_DISABLED, actor=actor, subject=key)
    others = sorted(changed - {"is_enabled"})
    if others:
        audit.record(Event.KEY_CHANGED, actor=actor, subject=key, reason=" ".join(others))


@transaction.atomic
def revoke_key(*, key: APIKey, reason: str = "", actor: User | None = None, event: Event = Event.KEY_REVOKED) -> bool:
    """Revoke a key with all its secrets; return False where it was revoked before."""
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

    The current secret ends after ``overlap_seconds``, or with ``retire_on_first_use`` already when the new one is first
    used; an older outgoing secret ends now. The expiry starts again, with the lifetime that the key had or with
    ``expires_in_days``. The first UPDATE locks the row, so parallel calls run one after the other. ``used`` is the
    secret with which a key rotates itself, ``in_force`` the id of the secret that the caller wants to replace. Raises
    ValidationError by field, and on ``in_force`` where another secret is current by now; what ``raise_retired`` raises;
    PermissionDenied where ``may_rotate`` is false.
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
        raise_retired(used)
    if in_force is not None and in_force != outgoing.pk:
        raise validators.field_error("in_force", "rotated", "The key has been rotated meanwhile; nothing was changed.")
    key.refresh_from_db(fields=["expires_at"])
    days = None if expires_in_days is None else timedelta(days=validators.clean_days(expires_in_days))
    # The outgoing secret keeps its old expiry: only the new secret gets the new one.
    ends = min(now + overlap, key.expires_at)
    key.expires_at = now + (days or key.expires_at - outgoing.created_at)
    alive.update(expires_at=key.expires_at)
    secrets.filter(retires_at__gt=now).update(retires_at=now)
    secrets.filter(pk=outgoing.pk).update(retires_at=ends)
    plaintext = add_secret(key, now)
    audit.record(Event.KEY_ROTATED, actor=actor, subject=key, reason=f"{outgoing.prefix} to {key.prefix}")
    return plaintext


def may_rotate(*, key: APIKey, actor: User | None) -> bool:
    """Return whether an actor may see a new secret of a key: its owner and the command line may.

    Operators may for service accounts whose key's scopes they hold, superusers for every service account. Nobody else
    may rotate a person's key: its secret would let an operator act in the owner's name.
    """
    if actor is None or actor.pk == key.owner_id:
        return True
    return key.owner.is_service and (actor.is_superuser or authority.scopes_of(actor).issuperset(key.scopes))


def raise_retired(used: Secret) -> NoReturn:
    """Raise PermissionDenied for an outgoing secret, InvalidCredential for a retired one."""
    used.refresh_from_db(fields=["retires_at"])
    if used.retires_at is not None and used.retires_at > timezone.now():
        raise PermissionDenied("An outgoing secret cannot rotate its key.")
    raise InvalidCredential("secret retired", scheme="ApiKey")


@transaction.atomic
def retire_outgoing(*, key: APIKey, now: datetime) -> None:
    """Retire the outgoing secret of a key whose new one was used, if the rotation asked for it. One caller does it."""
    asked = APIKey.objects.filter(pk=key.pk, retire_on_first_use=True)
    if asked.update(retire_on_first_use=False):  # this locks the row, for which a rotation waits
        if not Secret.objects.filter(pk=key.secret.pk, retires_at__isnull=True).exists():
            APIKey.objects.filter(pk=key.pk).update(retire_on_first_use=True)  # a rotation came between
            return
        ended = Secret.objects.filter(api_key=key, retires_at__gt=now).update(retires_at=now)
        if ended:
            audit.record(Event.KEY_OUTGOING_RETIRED, subject=key, reason="the new secret was used")
