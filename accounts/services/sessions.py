"""Every write about sessions: start, refresh, end."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from accounts import authority
from accounts.authority import Right
from accounts.jwt import bindings, tokens
from accounts.jwt.tokens import TokenPair
from accounts.models import RefreshToken, Session, User, new_stamp
from accounts.queries import session_by_id
from audit import services as audit
from audit.events import Event
from authsvc.database.errors import DATABASE_ERRORS, describe
from authsvc.database.prepared import PreparedUpdate
from authsvc.problems import InvalidCredential
from authsvc.request.context import current
from authsvc.telemetry import metrics

logger = logging.getLogger(__name__)

# A client may repeat a refresh whose response was lost. A spent token that is shown later than that is stolen.
GRACE = timedelta(seconds=10)
# How long spent tokens are stored; an unknown one was spent longer ago than GRACE.
REMEMBERED = timedelta(minutes=1)
USE_RESOLUTION = timedelta(minutes=1)

_note = PreparedUpdate("UPDATE accounts_session SET last_used_at = %s WHERE id = %s AND last_used_at <= %s")


@transaction.atomic
def start(*, user: User) -> TokenPair | None:
    """Start a session of a user who has just been authenticated, and return its tokens.

    ``user`` has grants and password loaded. Returns None where the user was disabled or the password changed since:
    those writes lock the same row, and the count of the UPDATE decides.
    """
    now = timezone.now()
    if not User.objects.filter(pk=user.pk, is_active=True, password=user.password).update(last_login=now):
        return None
    session = Session(user=user, created_at=now, last_used_at=now, binding=bindings.new_binding(), **client_info())
    session.expires_at = now + timedelta(days=settings.REFRESH_TOKEN_EXPIRE_DAYS)
    session.save(force_insert=True)
    pair, digest = tokens.issue_pair(user, session)
    RefreshToken(session=session, digest=digest).save(force_insert=True)
    audit.record(Event.USER_LOGGED_IN, actor=user, subject=user, reason=str(session))
    return pair


def refresh(*, encoded: str) -> TokenPair:
    """Spend a refresh token for a new pair. Of parallel calls one succeeds.

    Raises InvalidCredential. A token that was spent longer than GRACE ago is in two hands, and ends its whole session
    (RFC 9700, section 4.14.2).
    """
    token, now = tokens.read_refresh_token(encoded), timezone.now()
    pair = spend(token, now)
    if pair is None:
        end_if_stolen(token, now)
        raise InvalidCredential("refresh token spent or session ended")
    return pair


@transaction.atomic
def spend(token: tokens.RefreshToken, now: datetime) -> TokenPair | None:
    """Spend a token for a new pair; change nothing and return None where it is spent or its session is not live."""
    unspent = RefreshToken.objects.filter(digest=token.digest, session=token.session_id, spent_at=None)
    spent = unspent.update(spent_at=now)
    # A logout, a password change and disabling a user lock the session's row too, so these writes are serialized.
    alive = spent and Session.objects.live(now).filter(pk=token.session_id).update(last_used_at=now, **client_info())
    session = session_by_id(token.session_id) if alive else None
    if session is None or not token.belongs_to(session) or not session.user.is_active:
        transaction.set_rollback(True)
        return None
    RefreshToken.objects.filter(session=session, spent_at__lt=now - REMEMBERED).delete()
    pair, digest = tokens.issue_pair(session.user, session)
    RefreshToken(session=session, digest=digest).save(force_insert=True)
    return pair


@transaction.atomic
def end_if_stolen(token: tokens.RefreshToken, now: datetime) -> None:
    """End the session of a token that was spent longer than GRACE ago, and record the reuse."""
    row = RefreshToken.objects.filter(digest=token.digest).first()
    if row is not None and (row.spent_at is None or now - row.spent_at <= GRACE):
        return
    session = Session.objects.select_related("user").filter(pk=token.session_id).first()
    # A token from before a restore may name a session that is somebody else's by now.
    if session is not None and token.belongs_to(session) and mark_ended(session, "refresh token reused"):
        audit.record(Event.SESSION_REFRESH_REUSED, subject=session, reason="a spent refresh token was shown again")


def log_out(*, encoded: str) -> None:
    """End the session of a refresh token that is unspent, or was spent within GRACE by a parallel refresh.

    Raises InvalidCredential, as ``refresh`` does.
    """
    token, now = tokens.read_refresh_token(encoded), timezone.now()
    recent = RefreshToken.objects.filter(Q(spent_at=None) | Q(spent_at__gte=now - GRACE))
    shown = recent.filter(digest=token.digest, session=token.session_id).select_related("session__user").first()
    if (
        shown is None
        or not token.belongs_to(shown.session)
        or not end(session=shown.session, reason="logout", actor=shown.session.user)
    ):
        end_if_stolen(token, now)
        raise InvalidCredential("refresh token spent or session ended")


@transaction.atomic
def end(*, session: Session, reason: str, actor: User | None = None) -> bool:
    """End one session; return whether this call did it. Raises PermissionDenied for an actor who may not."""
    authority.require(actor, Right.CHANGE_USER, session.user)
    ended = mark_ended(session, reason)
    if ended:
        audit.record(Event.SESSION_ENDED, actor=actor, subject=session, reason=reason)
    return ended


@transaction.atomic
def end_all(*, user: User, reason: str, actor: User | None = None, except_session: Session | None = None) -> int:
    """End a user's sessions, all but ``except_session``, and return how many. One event records them.

    Raises PermissionDenied for an actor who may not change the user.
    """
    authority.require(actor, Right.CHANGE_USER, user)
    alive = Session.objects.live(timezone.now()).filter(user=user)
    if except_session is not None:
        alive = alive.exclude(pk=except_session.pk)
    ended = alive.update(ended_at=timezone.now(), ended_reason=reason)
    if ended:
        metrics.revocations.labels("session").inc(ended)
        audit.record(Event.SESSION_ENDED, actor=actor, subject=user, reason=f"{ended} ended: {reason}")
    return ended


@transaction.atomic
def end_everywhere(*, user: User, reason: str, actor: User | None = None) -> int:
    """End a user's sessions, console sessions and mailed links; return the number of sessions."""
    User.objects.filter(pk=user.pk).update(security_stamp=new_stamp())
    return end_all(user=user, reason=reason, actor=actor)


def lock_live(session: Session) -> bool:
    """Lock a session for this transaction, so that it cannot end before; return whether it is live."""
    live = Session.objects.live(timezone.now()).select_for_update(no_key=True)
    return bool(live.filter(pk=session.pk).values_list("pk"))


def mark_ended(session: Session, reason: str) -> bool:
    """Mark a session as ended, once."""
    alive = Session.objects.filter(pk=session.pk, ended_at__isnull=True)
    ended: bool = alive.update(ended_at=timezone.now(), ended_reason=reason) == 1
    metrics.revocations.labels("session").inc(int(ended))
    return ended


def record_use(*, session: Session, now: datetime) -> None:
    """Update ``last_used_at``, at most once a minute and only forwards. A database error is logged and not raised."""
    stale = now - USE_RESOLUTION
    if session.last_used_at > stale:
        return
    try:
        _note.execute(now, session.pk, stale)
    except DATABASE_ERRORS as error:
        logger.warning("the use of a session could not be recorded: %s", describe(error))


def client_info() -> dict[str, str | None]:
    """Return the device and address of the current request, as columns of a session."""
    context = current.get()
    address = context.address
    return {"device": audit.printable(context.user_agent)[:200], "address": None if address is None else str(address)}
