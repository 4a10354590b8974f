"""The query behind a bearer token: session and user, with roles and scopes, in one prepared statement."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db.models import QuerySet
from django.utils.html import escape

from accounts.models import RefreshToken, Scope, Session, User, role_names, scope_names
from authsvc.database.errors import DATABASE_ERRORS
from authsvc.database.prepared import PreparedQuery, build

# request.user has these columns. Django loads the others on access; requests seldom need them.
DEFERRED_FIELDS = {
    "password",
    "last_login",
    "created_at",
    "email_verified_at",
    "confirmation_sent_at",
    "security_stamp",
}
USER_FIELDS = tuple(f.attname for f in User._meta.concrete_fields if f.attname not in DEFERRED_FIELDS)
GRANTS = ("scope_names", "role_names")
SESSION_FIELDS = ("id", "user_id", "last_used_at", "expires_at", "ended_at", "binding")


def build_user(values: tuple[Any, ...]) -> User:
    """Return the user for the values of USER_FIELDS and GRANTS, or without roles, for those of the first of these."""
    user = build(User, USER_FIELDS, values)
    user.set_grants(*values[len(USER_FIELDS) :])
    return user


def _sessions_by_id() -> QuerySet[Session, tuple[Any, ...]]:
    grants = {"role_names": role_names("user"), "scope_names": scope_names("user")}
    columns = (*SESSION_FIELDS, *(f"user__{field}" for field in USER_FIELDS), *GRANTS)
    return Session.objects.filter(pk=0).order_by().annotate(**grants).values_list(*columns)


_session_by_id = PreparedQuery(_sessions_by_id)


def session_by_id(session_id: int) -> Session | None:
    """Return a session in any state with its user, roles and scopes, or None."""
    row = _session_by_id.fetch(session_id)
    if row is None:
        return None
    return build(Session, SESSION_FIELDS, row, user=build_user(row[len(SESSION_FIELDS) :]))


def _refresh_tokens_by_digest() -> QuerySet[RefreshToken, tuple[Any, ...]]:
    return RefreshToken.objects.filter(digest=b"").order_by().values_list("session_id", "spent_at")


_refresh_token_by_digest = PreparedQuery(_refresh_tokens_by_digest)


def is_unspent(digest: bytes, session: Session) -> bool:
    """Return whether a session has an unspent refresh token with this digest."""
    return _refresh_token_by_digest.fetch(digest) == (session.pk, None)


def sessions_of(user: User, now: datetime) -> QuerySet[Session]:
    """Return a user's live sessions, newest first."""
    return Session.objects.live(now).filter(user=user).order_by("-id")


def describe_scopes(**signal: Any) -> tuple[str, dict[str, str], str]:
    """Return the register of scopes for /openapi.json: as ``x-scopes``, and as a table to read.

    Without a database there are none: the documentation must also work during an outage.
    """
    try:
        scopes = dict(Scope.objects.values_list("name", "description"))
    except DATABASE_ERRORS:
        scopes = {}
    rows = "".join(f"| `{name}` | {escape(description)} |\n" for name, description in scopes.items())
    return "x-scopes", scopes, f"\n\n## Scopes\n\n| scope | lets its holder |\n| --- | --- |\n{rows}"
