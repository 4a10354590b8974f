"""API keys and their secrets."""

from __future__ import annotations

import base64
import hashlib
from datetime import date, datetime

from django.conf import settings
from django.db import models
from django.db.models import Q, QuerySet
from django.utils import timezone


class Status(models.TextChoices):
    """The status of a key. A key that is both revoked and expired is revoked."""

    ACTIVE = "active"
    EXPIRED = "expired"
    REVOKED = "revoked"


class APIKeyQuerySet(QuerySet["APIKey"]):
    def with_status(self, status: str, now: datetime) -> APIKeyQuerySet:
        """Return the keys with a status at ``now``."""
        if status == Status.REVOKED:
            return self.filter(revoked_at__isnull=False)
        expired = Q(expires_at__lte=now)
        return self.filter(expired if status == Status.EXPIRED else ~expired, revoked_at__isnull=True)


class APIKey(models.Model):
    """A named credential of a user. What it may do is its scopes ∩ its owner's, at the moment of use.

    The row is the key's identity. Its secrets are rows of their own, so a rotation replaces a secret and keeps the id,
    the name and the scopes.
    """

    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.CASCADE,
        related_name="api_keys",
        db_index=False,  # the index below begins with it
    )
    name = models.CharField(max_length=100)
    scope = models.TextField(default="", blank=True, help_text="Space separated (RFC 6749, section 3.3).")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    expires_at = models.DateTimeField()
    is_enabled = models.BooleanField(default=True)
    allowed_ips = models.TextField(
        default="", blank=True, help_text="Space separated addresses and networks; empty: any."
    )
    rate_limit = models.CharField(max_length=100, default="", blank=True, help_text="As in 10/second; 1000/hour.")
    metadata = models.JSONField(default=dict, blank=True)
    retire_on_first_use = models.BooleanField(default=False, editable=False)
    revoked_at = models.DateTimeField(null=True, blank=True)
    revoked_reason = models.CharField(max_length=200, default="", blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)
    last_used_address = models.GenericIPAddressField(null=True, blank=True)

    # The authentication method, as /auth/verify returns it.
    method = "api_key"
    # The secret that this request presented: set by queries.key_by_digest.
    secret: Secret
    # The day (UTC) on which this request was counted: set by usage.count.
    counted_on: date
    # The first characters of the newest secret: annotated by queries.with_prefix.
    prefix: str

    objects = APIKeyQuerySet.as_manager()

    class Meta:
        verbose_name = "API key"
        indexes = (models.Index(fields=("owner", "-id"), name="apikeys_owner_newest"),)
        permissions = (("revoke_apikey", "Can revoke API keys"),)

    def __str__(self) -> str:
        return f"{self.name} (#{self.pk})"

    @property
    def key_id(self) -> int:
        """The id, under the name that AccessToken has for it."""
        return int(self.pk)

    @property
    def scopes(self) -> list[str]:
        """The scopes asked for when the key was made or changed."""
        return self.scope.split()

    @property
    def is_revoked(self) -> bool:
        return self.revoked_at is not None

    @property
    def status(self) -> str:
        """The key's status now."""
        if self.is_revoked:
            return Status.REVOKED.value
        return Status.EXPIRED.value if self.expires_at <= timezone.now() else Status.ACTIVE.value

    @property
    def addresses(self) -> list[str]:
        """The addresses and networks that the key may be used from; empty for any."""
        return self.allowed_ips.split()

    @property
    def effective_scopes(self) -> frozenset[str]:
        """What the key may do now. The owner's grants must be loaded."""
        return self.owner.scopes.intersection(self.scopes)


BINDING_PURPOSE, BINDING_BYTES = b"authsvc exchanged token:", 16


class Secret(models.Model):
    """One secret of a key: the SHA-256 of the plaintext, and its first characters to recognise it by."""

    api_key = models.ForeignKey(APIKey, on_delete=models.CASCADE, related_name="secrets")
    digest = models.BinaryField(max_length=32, unique=True)
    prefix = models.CharField(max_length=29)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    # When an outgoing secret ends; NULL for the current one.
    retires_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)
    last_used_address = models.GenericIPAddressField(null=True, blank=True)

    class Meta:
        ordering = ("id",)
        # The pattern class lets PostgreSQL answer LIKE 'sk_4fT9%' from the index, whatever the collation.
        indexes = (models.Index(fields=("prefix",), name="apikeys_prefix", opclasses=("varchar_pattern_ops",)),)

    def __str__(self) -> str:
        return self.prefix

    def is_retired(self, now: datetime) -> bool:
        """Return whether the secret has been replaced and its overlap is over."""
        return self.retires_at is not None and self.retires_at <= now

    @property
    def binding(self) -> str:
        """The ``bind`` claim of tokens that this secret was exchanged for: a one-way hash of the digest."""
        bound = hashlib.sha256(BINDING_PURPOSE + self.digest).digest()[:BINDING_BYTES]
        return base64.urlsafe_b64encode(bound).rstrip(b"=").decode()


class Outcome(models.TextChoices):
    """The outcome of a key's use."""

    OK = "ok"
    EXPIRED = "expired"
    REVOKED = "revoked"
    DISABLED = "disabled"
    SCOPE = "scope"
    LIMITED = "limited"
    ADDRESS = "address"


class Usage(models.Model):
    """How often a key was used on a day (UTC), by outcome. Written in batches, so it may lag by some seconds."""

    # No constraint in the database: a batch must not fail because one of its keys has gone.
    api_key = models.ForeignKey(
        APIKey,
        on_delete=models.CASCADE,
        related_name="usage",
        db_constraint=False,
        db_index=False,  # the constraint below begins with it
    )
    day = models.DateField()
    outcome = models.CharField(max_length=10, choices=Outcome.choices)
    count = models.BigIntegerField()

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=("api_key", "day", "outcome"), name="apikeys_usage_key_day_outcome"),
        )

    def __str__(self) -> str:
        return f"{self.day} {self.outcome}: {self.count}"
