"""Brute force against passwords (ASVS 5.0, 6.3.1): failures are counted in the database, for all processes.

There are two counters: of a user from one address, and of an address for all users. Failures from other addresses do
not count against a user's own, so an attacker cannot lock the user out there. The counters are checked again after the
password: of parallel guesses, those that end after the limit was reached fail alike, right or wrong.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NoReturn

from django.db import connection, transaction
from django.utils import timezone
from django.utils.crypto import salted_hmac

from accounts import authority
from accounts.authority import Right
from accounts.models import Lockout, User
from accounts.names import fold
from audit import services as audit
from audit.events import Event
from authsvc.problems import RateLimited
from authsvc.ratelimit import Verdict
from authsvc.request.addresses import bucket
from authsvc.request.context import current
from authsvc.telemetry import metrics

WINDOW = timedelta(minutes=15)  # from the first failure
USER_FAILURES = 5  # of one user from one address
ADDRESS_FAILURES = 100  # from one address, whatever the users

# A full window is not written: a rejected guess does not prolong it. An expired one starts again with the next failure.
UNLESS_FULL = """
    WHERE accounts_lockout.ends_at <= %(now)s OR accounts_lockout.failures < accounts_lockout."limit"
"""
INSERT = 'INSERT INTO accounts_lockout ("key", user_id, address, failures, "limit", ends_at) VALUES'
INCREMENT = f"""
    {INSERT} (%(key)s, %(user_id)s, %(address)s, 1, %(limit)s, %(ends_at)s)
    ON CONFLICT ("key") DO UPDATE SET
        failures = CASE WHEN accounts_lockout.ends_at <= %(now)s THEN 1 ELSE accounts_lockout.failures + 1 END,
        ends_at = CASE WHEN accounts_lockout.ends_at <= %(now)s THEN excluded.ends_at ELSE accounts_lockout.ends_at END
    {UNLESS_FULL} RETURNING failures
"""
# A right password writes the same rows as a wrong one: while the table takes no writes, no guess is counted and none is
# answered. The user's window ends now, the address's stays as it is.
RESET = f"""
    {INSERT}
        (%(key)s, %(user_id)s, %(address)s, 0, %(limit)s, %(now)s),
        (%(address_key)s, NULL, %(address)s, 0, %(address_limit)s, %(now)s)
    ON CONFLICT ("key") DO UPDATE SET
        failures = CASE WHEN accounts_lockout."key" = %(key)s THEN 0 ELSE accounts_lockout.failures END,
        ends_at = CASE WHEN accounts_lockout."key" = %(key)s AND accounts_lockout.ends_at > %(now)s
            THEN excluded.ends_at ELSE accounts_lockout.ends_at END
    {UNLESS_FULL} RETURNING failures
"""


class LockedOut(RateLimited):
    """429: too many failed logins."""

    default_detail = "Too many failed attempts; try again after the seconds in Retry-After."


@dataclass(frozen=True, slots=True)
class Counter:
    """One counter of failures, by its key in the table."""

    key: str
    limit: int
    user: User | None
    address: str


def counters(name: str, user: User | None) -> tuple[Counter, Counter]:
    """Return the counters of a login from the current request's address: the user's, and the address's.

    ``user`` is None for an unknown name. It counts like any other, and the name itself is not stored.
    """
    address = bucket(current.get().address)
    who = f"id {user.pk}" if user else f"name {fold(name).lower()}"
    return (
        Counter(digest(f"{who} from {address}"), USER_FAILURES, user, address),
        Counter(digest(f"all from {address}"), ADDRESS_FAILURES, None, address),
    )


def digest(text: str) -> str:
    """Return a keyed hash of a text, which may be a password in the wrong field."""
    return salted_hmac("authsvc lockout", text.encode("utf-8", "backslashreplace"), algorithm="sha256").hexdigest()


def check_limits(counted: Iterable[Counter]) -> None:
    """Raise LockedOut where one of the counters is full."""
    now = timezone.now()
    rows = Lockout.objects.filter(key__in=[counter.key for counter in counted], ends_at__gt=now)
    full = [row.ends_at for row in rows if row.failures >= row.limit]
    if full:
        raise_locked_out(max(full), now)


def count_failure(counted: Iterable[Counter]) -> None:
    """Count a wrong password. Raises LockedOut where a counter was full already."""
    for counter in counted:
        written = execute(INCREMENT, counter)
        if not written:
            check_limits(counted)
        elif written[0] == counter.limit:
            reason = f"{counter.limit} failures from {counter.address}"
            audit.record(Event.USER_LOCKED_OUT, subject=counter.user, reason=reason)


def reset_on_success(counted: tuple[Counter, Counter]) -> None:
    """Reset the user's counter after a right password. Raises LockedOut where a counter is full by now.

    The address's counter stays: otherwise one account of your own would allow unlimited guesses at others.
    """
    own, address = counted
    if len(execute(RESET, own, address_key=address.key, address_limit=address.limit)) < len(counted):
        check_limits(counted)


def execute(statement: str, counter: Counter, **more: str | int) -> list[int]:
    """Return the failures of each row that a statement wrote; a full window is not written."""
    now = timezone.now()
    at, ends_at = (connection.ops.adapt_datetimefield_value(moment) for moment in (now, now + WINDOW))
    row: dict[str, Any] = {"key": counter.key, "address": counter.address, "limit": counter.limit}
    row |= {"user_id": counter.user.pk if counter.user else None, "now": at, "ends_at": ends_at, **more}
    with connection.cursor() as cursor:
        cursor.execute(statement, row)
        return [int(failures) for (failures,) in cursor.fetchall()]


def reset_user(user: User) -> None:
    """Delete a user's counters for all addresses, after the user has opened a mailed link."""
    Lockout.objects.filter(user=user).delete()


def raise_locked_out(ends_at: datetime, now: datetime) -> NoReturn:
    metrics.logins.labels("locked_out").inc()
    seconds = max(1, -int((now - ends_at).total_seconds() // 1))
    raise LockedOut(Verdict(False, {}, seconds))


@transaction.atomic
def unlock(*, rows: list[Lockout], actor: User) -> int:
    """Delete counters of failures for an operator, and return how many.

    Raises PermissionDenied for the counter of a user whom the operator may not change.
    """
    for user in {row.user for row in rows if row.user is not None}:
        authority.require(actor, Right.CHANGE_USER, user)
    lifted = [row for row in rows if Lockout.objects.filter(pk=row.pk).delete()[0]]
    for row in lifted:
        audit.record(Event.USER_UNLOCKED, actor=actor, subject=row.user, reason=f"from {row.address}")
    return len(lifted)
