"""Sessions and their refresh tokens."""

from __future__ import annotations

from datetime import datetime

from django.db import models
from django.db.models import QuerySet
from django.utils import timezone

from accounts.models.users import User


class SessionQuerySet(QuerySet["Session"]):
    def live(self, now: datetime) -> SessionQuerySet:
        """Return the sessions that are neither ended nor expired at ``now``."""
        return self.filter(ended_at__isnull=True, expires_at__gt=now)


class Session(models.Model):
    """One login of a user. Tokens name it in ``sid``; they all fail once it has ended.

    ``expires_at`` is set at the login: a refresh does not prolong a session (ASVS 5.0, 7.3.2).
    """

    user = models.ForeignKey(
        User,
        on_delete=models.CASCADE,
        related_name="sessions",
        db_index=False,  # the index below begins with it
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    last_used_at = models.DateTimeField(default=timezone.now, editable=False)
    expires_at = models.DateTimeField(db_index=True)
    device = models.CharField(max_length=200, default="", help_text="What the client called itself: its User-Agent.")
    address = models.GenericIPAddressField(null=True)
    ended_at = models.DateTimeField(null=True)
    ended_reason = models.CharField(max_length=40, default="")
    # A random value that every token of the session carries: an id may be assigned again after a restore, this is not.
    # NULL for sessions from before the column, whose tokens carry none.
    binding = models.CharField(max_length=22, null=True, editable=False)  # noqa: DJ001  NULL means "unbound", "" a value

    objects = SessionQuerySet.as_manager()

    class Meta:
        indexes = (
            models.Index(fields=("user", "-id"), name="accounts_session_newest"),
            models.Index(
                fields=("ended_at",), name="accounts_session_ended", condition=models.Q(ended_at__isnull=False)
            ),
        )

    def __str__(self) -> str:
        return f"session #{self.pk}"

    @property
    def name(self) -> str:
        """What the audit calls it."""
        return f"{self.user.username}, {self}"

    def is_live(self, now: datetime) -> bool:
        return self.ended_at is None and self.expires_at > now


class RefreshToken(models.Model):
    """A refresh token of a session, by the SHA-256 of its ``jti``: the one in force, and those spent a moment ago."""

    session = models.ForeignKey(Session, on_delete=models.CASCADE, related_name="refresh_tokens")
    digest = models.BinaryField(max_length=32, unique=True)
    spent_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"refresh token #{self.pk}"
