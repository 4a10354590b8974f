"""Brute force against passwords (ASVS 5.0, 6.3.1): failures are counted in the database, for all processes.

Two counters: a user from one address, and an address whatever the user. Nobody else's failures count against a user's
own address, so nobody can lock a user out from there. What decides is the count at the verdict, not at the question: of
any number of guesses made at once, those that end after the limit was reached are told nothing, not even that they were
right.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NoReturn

from django.db import connection, transaction
from django.utils import timezone
from django.utils.crypto import salted_hmac

from accounts.models import Lockout, User
from accounts.names import fold
from audit import services as audit
from audit.events import Event
from authsvc import metrics
from authsvc.addresses import bucket
from authsvc.context import current
from authsvc.limiter import Verdict
from authsvc.problems import RateLimited

WINDOW = timedelta(minutes=15)  # from the first failure
USER_FAILURES = 5  # of one user from one address
ADDRESS_FAILURES = 100  # from one address, whatever the users

# A window that is over begins anew; a full one counts no further, so that a refused guess prolongs nothing.
COUNT = """
    INSERT INTO accounts_lockout ("key", user_id, address, failures, "limit", ends_at) VALUES (%s, %s, %s, 1, %s, %s)
    ON CONFLICT ("key") DO UPDATE SET
        failures = CASE WHEN accounts_lockout.ends_at <= %s THEN 1 ELSE accounts_lockout.failures + 1 END,
        ends_at = CASE WHEN accounts_lockout.ends_at <= %s THEN excluded.ends_at ELSE accounts_lockout.ends_at END
    WHERE accounts_lockout.ends_at <= %s OR accounts_lockout.failures < accounts_lockout."limit"
    RETURNING failures
"""


class LockedOut(RateLimited):
    """429: so many failed logins, and no more for now."""

    default_detail = "Too many failed attempts; try again after the seconds in Retry-After."


@dataclass(frozen=True, slots=True)
class Counter:
    """What failures are counted under."""

    key: str
    limit: int
    user: User | None
    address: str


def counters(name: str, user: User | None) -> tuple[Counter, Counter]:
    """Return the counters of an attempt from the current request's address: the user's, and the address's own.

    ``user`` is None for a name that nobody has, which counts like any other; the name itself is not kept.
    """
    address = bucket(current.get().address)
    who = f"id {user.pk}" if user else f"name {fold(name).lower()}"
    return (
        Counter(digest(f"{who} from {address}"), USER_FAILURES, user, address),
        Counter(digest(f"all from {address}"), ADDRESS_FAILURES, None, address),
    )


def digest(text: str) -> str:
    """Return a fixed length for a text of any. Keyed, since the text may be a password in the wrong field."""
    return salted_hmac("authsvc lockout", text.encode("utf-8", "backslashreplace"), algorithm="sha256").hexdigest()


def refuse_locked(counted: Iterable[Counter]) -> set[str]:
    """Raise LockedOut where one of the counters is full; return the keys of those that have counted anything."""
    now = timezone.now()
    rows = Lockout.objects.filter(key__in=[counter.key for counter in counted], ends_at__gt=now)
    full = [row.ends_at for row in rows if row.failures >= row.limit]
    if full:
        refuse(max(full), now)
    return {row.key for row in rows}


def count_failure(counted: Iterable[Counter]) -> None:
    """Count a wrong password. Raises LockedOut where a counter was full already: then the verdict stays unsaid."""
    now = timezone.now()
    for counter in counted:
        failures = count(counter, now)
        if failures is None:
            refuse_locked(counted)
        elif failures == counter.limit:
            reason = f"{failures} failures from {counter.address}"
            audit.record(Event.USER_LOCKED_OUT, subject=counter.user, reason=reason)


def count(counter: Counter, now: datetime) -> int | None:
    """Add a failure and return how many there are, or None where the window is full."""
    user_id = counter.user.pk if counter.user else None
    at, ends_at = (connection.ops.adapt_datetimefield_value(moment) for moment in (now, now + WINDOW))
    with connection.cursor() as cursor:
        cursor.execute(COUNT, [counter.key, user_id, counter.address, counter.limit, ends_at, at, at, at])
        row = cursor.fetchone()
    return None if row is None else int(row[0])


def forgive(counted: tuple[Counter, Counter]) -> None:
    """A right password resets the user's counter. Raises LockedOut where one is full by now; the address's stays,
    or else whoever has one account could try others' for ever."""
    own = counted[0].key
    if own in refuse_locked(counted):
        Lockout.objects.filter(key=own).delete()


def clear(user: User) -> None:
    """Forget a user's failures, wherever from: the user has just proven to read the mail of the account."""
    Lockout.objects.filter(user=user).delete()


def refuse(ends_at: datetime, now: datetime) -> NoReturn:
    """Raise LockedOut until a moment."""
    metrics.logins.labels("locked_out").inc()
    seconds = max(1, -int((now - ends_at).total_seconds() // 1))
    raise LockedOut(Verdict(False, {}, seconds))


@transaction.atomic
def lift(*, rows: list[Lockout], actor: User) -> int:
    """Forget failures, on an operator's word, and return how many counters were there to be reset."""
    lifted = [row for row in rows if Lockout.objects.filter(pk=row.pk).delete()[0]]
    for row in lifted:
        audit.record(Event.USER_UNLOCKED, actor=actor, subject=row.user, reason=f"from {row.address}")
    return len(lifted)
