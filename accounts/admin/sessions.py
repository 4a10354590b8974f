"""The operator's view of sessions, lockouts and signing keys: to look at, and to end or lift."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db.models import F, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from unfold.decorators import display

from accounts import authority
from accounts.authentication import user_of
from accounts.authority import Right
from accounts.jwt import tokens
from accounts.models import Lockout, RefreshToken, Session, SigningKey, User
from accounts.services import lockout, sessions
from authsvc.console import ConsoleAdmin, Large, ReadOnly, credential_finders
from authsvc.problems import InvalidCredential


def find_session(text: str) -> Session | None:
    """Return the session of an access token in date or of a refresh token that is stored, or None."""
    for read in (tokens.read_access_token, tokens.read_refresh_token):
        try:
            token = read(text)
            session_id = token.session_id
        except InvalidCredential:
            continue
        if isinstance(token, tokens.RefreshToken):
            found = RefreshToken.objects.select_related("session").filter(digest=token.digest).first()
            return found.session if found is not None else None
        return Session.objects.filter(pk=session_id).first()
    return None


credential_finders.append(find_session)


class OfUsers(ConsoleAdmin):
    """Rows that belong to users: an operator acts on those of users whom they may change."""

    def is_known(self, request: HttpRequest, text: str) -> bool:
        """Return whether a text is somebody's name or address."""
        return bool(User.objects.known_as(text).exists())

    def permitted(self, request: HttpRequest, rows: QuerySet[Any]) -> list[Any]:
        """Return the rows of a list that the operator may act on, and report how many are not among them."""
        chosen = list(rows.select_related("user"))
        actor = user_of(request)
        permitted = [row for row in chosen if row.user is None or authority.has(actor, Right.CHANGE_USER, row.user)]
        if left_out := len(chosen) - len(permitted):
            self.message_user(request, f"Left out: {left_out}. {Right.CHANGE_USER.value}", messages.ERROR)
        return permitted


@admin.register(Session)
class SessionAdmin(ReadOnly, Large, OfUsers):
    """Who is logged in, from where."""

    list_display = ("user", "device", "address", "created_at", "last_used_at", "expires_at", "shown_status")
    list_select_related = ("user",)
    search_fields = ("user__username", "user__email", "address")
    search_help_text = "User or address"
    fields = (
        *("user", "device", "address", "created_at", "last_used_at", "expires_at"),
        *("shown_status", "ended_at", "ended_reason"),
    )
    readonly_fields = ("created_at", "last_used_at", "shown_status")
    ordering = ("-id",)
    actions = ("end_selected",)

    def has_end_permission(self, request: HttpRequest) -> bool:
        """Return whether this operator may end sessions: those who may change users."""
        return request.user.has_perm("accounts.change_user")

    @display(description="Status", label={"live": "success", "ended": "danger", "expired": "warning"})
    def shown_status(self, session: Session) -> str:
        """The status as a coloured label."""
        if session.ended_at is not None:
            return "ended"
        return "live" if session.is_live(timezone.now()) else "expired"

    @admin.action(description="End selected sessions", permissions=["end"])
    def end_selected(self, request: HttpRequest, queryset: QuerySet[Session]) -> None:
        """End them for good."""
        chosen = self.permitted(request, queryset)
        ended = sum(
            sessions.end(session=session, reason="ended by an operator", actor=user_of(request)) for session in chosen
        )
        self.message_user(request, f"Ended {ended} of {len(chosen)} sessions.", messages.SUCCESS)


@admin.register(Lockout)
class LockoutAdmin(ReadOnly, OfUsers):
    """Counters of failed logins."""

    list_display = ("shown_user", "address", "failures", "limit", "ends_at", "shown_status")
    list_select_related = ("user",)
    search_fields = ("user__username", "user__email", "address")
    ordering = ("-ends_at",)
    actions = ("lift_selected",)

    def has_lift_permission(self, request: HttpRequest) -> bool:
        """Whether this operator may lift lockouts."""
        return request.user.has_perm("accounts.change_user")

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).filter(ends_at__gt=timezone.now())

    @display(description="User")
    def shown_user(self, row: Lockout) -> str:
        """The user, where there is one."""
        if row.user is not None:
            return str(row.user)
        return "(all users)" if row.limit == lockout.ADDRESS_FAILURES else "(nobody's name)"

    @display(description="Status", label={"locked out": "danger", "counting": "warning"})
    def shown_status(self, row: Lockout) -> str:
        """Whether the limit is reached, as a coloured label."""
        return "locked out" if row.failures >= row.limit else "counting"

    @admin.action(description="Lift selected lockouts", permissions=["lift"])
    def lift_selected(self, request: HttpRequest, queryset: QuerySet[Lockout]) -> None:
        """Delete their counters."""
        lifted = lockout.unlock(rows=self.permitted(request, queryset), actor=user_of(request))
        self.message_user(request, f"Lockouts lifted: {lifted}.", messages.SUCCESS)


@admin.register(SigningKey)
class SigningKeyAdmin(ReadOnly, ConsoleAdmin):
    """The keys that sign access tokens; manage.py rotate_signing_key makes them."""

    list_display = ("kid", "algorithm", "created_at", "signs_from", "retires_at")
    fields = ("kid", "algorithm", "public_jwk", "created_at", "signs_from", "retires_at")
    ordering = (F("signs_from").desc(), "-id")
