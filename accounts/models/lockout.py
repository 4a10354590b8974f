"""Failed logins, counted in the database for all processes."""

from __future__ import annotations

from django.db import models

from accounts.models.users import User


class Lockout(models.Model):
    """Failures of one kind within one window: of a user from an address, or of an address whatever the user."""

    key = models.CharField(max_length=64, unique=True, editable=False)
    # NULL for an address as a whole, and for an unknown username: it may be a password, typed into the wrong field.
    user = models.ForeignKey(User, on_delete=models.CASCADE, null=True, related_name="+")
    address = models.CharField(max_length=50, help_text="An IPv6 client counts as its /64.")
    failures = models.PositiveIntegerField()
    limit = models.PositiveIntegerField()
    ends_at = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return f"{self.user or 'logins'} from {self.address}"
