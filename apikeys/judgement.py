"""Whether a key may be used, now and from here: one function for whoever asks."""

from __future__ import annotations

import logging
from datetime import datetime
from typing import NoReturn

from apikeys import keys, services, usage
from apikeys.last_use import record_use
from apikeys.models import APIKey, Outcome, Secret
from apikeys.queries import key_by_digest
from audit import services as audit
from audit.events import Event
from authsvc import ratelimit
from authsvc.database.errors import DATABASE_ERRORS, describe
from authsvc.problems import InvalidCredential, RateLimited
from authsvc.request.addresses import is_listed
from authsvc.request.context import RequestContext

logger = logging.getLogger(__name__)

SCHEME = "ApiKey"


def judge(
    text: str, *, now: datetime, origin: RequestContext, key_id: str | None = None
) -> tuple[APIKey, dict[str, str]]:
    """Return the key behind a text, its owner's scopes narrowed to the key's, and the headers of its rate limit.

    Raises InvalidCredential for a key that is malformed, unknown, revoked, retired, expired, disabled, away from its
    addresses, or whose owner is disabled; RateLimited when its limit is used up. One query; none for what is malformed.
    """
    if not keys.is_well_formed(text):
        raise InvalidCredential("malformed", scheme=SCHEME)
    key = key_by_digest(keys.digest(text))
    if key is None:
        raise InvalidCredential("unknown", scheme=SCHEME)
    if key_id not in (None, str(key.pk)):
        raise InvalidCredential("another key's id", scheme=SCHEME)
    refuse_retired(key, now)
    headers = admit(key, now=now, origin=origin)
    if key.retire_on_first_use and key.secret.retires_at is None:
        services.retire_outgoing(key=key, now=now)
    note_use(key, now, origin)
    return key, headers


def admit(key: APIKey, *, now: datetime, origin: RequestContext) -> dict[str, str]:
    """Let a key in as it is now, from here, this often; return the headers of its rate limit.

    What its owner may do is narrowed to the key's from here on. Raises InvalidCredential and RateLimited, as ``judge``.
    """
    owner, found = key.owner, fault(key, now)
    if found is not None:
        refuse(key, *found, now)
    if key.allowed_ips and not is_listed(origin.address, key.allowed_ips):
        refuse(key, Outcome.ADDRESS, "address not allowed", now)
    verdict = ratelimit.hit(key.rate_limit, f"key:{key.pk}") if key.rate_limit else None
    if verdict is not None and not verdict.passes:
        record(key, Outcome.LIMITED, "rate limit", now)
        raise RateLimited(verdict)
    usage.count(key, Outcome.OK, now)
    owner.scopes = key.effective_scopes  # and it has no roles: a key carries none
    return verdict.headers if verdict else {}


def note_use(key: APIKey, now: datetime, origin: RequestContext) -> None:
    """Record the use if the database can just now; a good key is not refused because nobody can write that down."""
    try:
        record_use(key=key, now=now, origin=origin)
    except DATABASE_ERRORS as error:
        logger.warning("the use of a key could not be recorded: %s", describe(error))


def fault(key: APIKey, now: datetime) -> tuple[Outcome, str] | None:
    """Return what is wrong with a key, wherever and however often it is used, or None. It only looks."""
    if key.is_revoked:
        return Outcome.REVOKED, "revoked"
    if key.expires_at <= now:
        return Outcome.EXPIRED, "expired"
    if not key.is_enabled:
        return Outcome.DISABLED, "disabled"
    if not key.owner.is_active:
        return Outcome.DISABLED, "owner disabled"
    return None


def is_retired(secret: Secret, now: datetime) -> bool:
    """Say whether a secret has been replaced and its overlap is over."""
    return secret.retires_at is not None and secret.retires_at <= now


def refuse_retired(key: APIKey, now: datetime) -> None:
    """Refuse a key whose secret has been replaced, unless it is revoked altogether, which ``admit`` says."""
    if is_retired(key.secret, now) and not key.is_revoked:
        refuse(key, Outcome.REVOKED, "secret retired", now)


def refuse(key: APIKey, outcome: Outcome, reason: str, now: datetime) -> NoReturn:
    """Record a refusal and raise it."""
    record(key, outcome, reason, now)
    raise InvalidCredential(reason, scheme=SCHEME)


def record(key: APIKey, outcome: Outcome, reason: str, now: datetime) -> None:
    """Count a refusal, and tell the operator, at most once a minute for each key, reason and address."""
    usage.count(key, outcome, now)
    audit.record_once_a_minute(Event.KEY_REFUSED, subject=key, reason=reason)
