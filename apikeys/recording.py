"""What the use of a key writes: its rate limit, its usage, when it was last used, and its rejections."""

from __future__ import annotations

import logging
from datetime import datetime

from apikeys import services, usage
from apikeys.last_use import update_last_use
from apikeys.models import APIKey, Outcome
from audit import services as audit
from audit.events import Event
from authsvc import ratelimit
from authsvc.database.errors import DATABASE_ERRORS, describe
from authsvc.problems import RateLimited
from authsvc.request.context import RequestContext

logger = logging.getLogger(__name__)


def record_use(key: APIKey, *, now: datetime, context: RequestContext) -> dict[str, str]:
    """Record the use of a key that ``verify_key`` returned, and return the headers of its rate limit.

    The first use of a new secret retires the outgoing one where the rotation asked for that. Raises RateLimited, and
    records that instead, once the limit is used up.
    """
    headers = count_use(key, now=now)
    try:
        if key.retire_on_first_use and key.secret.retires_at is None:
            services.retire_outgoing(key=key, now=now)
        update_last_use(key=key, now=now, context=context)
    except DATABASE_ERRORS as error:  # a good key also works while the database takes no writes
        logger.warning("the use of a key could not be recorded: %s", describe(error))
    return headers


def count_use(key: APIKey, *, now: datetime) -> dict[str, str]:
    """Count a use against the key's rate limit and in its usage, and return the headers of the limit.

    Raises RateLimited.
    """
    verdict = ratelimit.hit(key.rate_limit, f"key:{key.pk}") if key.rate_limit else None
    if verdict is not None and not verdict.passes:
        record_rejection(key, Outcome.LIMITED, "rate limit", now=now)
        raise RateLimited(verdict)
    usage.count(key, Outcome.OK, now)
    return verdict.headers if verdict else {}


def record_rejection(key: APIKey, outcome: Outcome, reason: str, *, now: datetime) -> None:
    """Count a rejection; audit it at most once a minute for each key, reason and address."""
    usage.count(key, outcome, now)
    audit.record_once_a_minute(Event.KEY_REFUSED, subject=key, reason=reason)
