"""The filters of the operator's list of keys."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils import timezone

from apikeys.models import APIKeyQuerySet, Status

DAYS = ("7", "30", "90")


class StatusFilter(admin.SimpleListFilter):
    """Active, expired, revoked."""

    title, parameter_name = "status", "status"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(value, label) for value, label in Status.choices]

    def queryset(self, request: HttpRequest, queryset: Any) -> APIKeyQuerySet:
        value = self.value()
        found: APIKeyQuerySet = queryset.with_status(value, timezone.now()) if value in Status.values else queryset
        return found


class ExpiryFilter(admin.SimpleListFilter):
    """Active keys that expire soon."""

    title, parameter_name = "expires within", "expires_within"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(days, f"{days} days") for days in DAYS]

    def queryset(self, request: HttpRequest, queryset: Any) -> APIKeyQuerySet:
        days, now = self.value(), timezone.now()
        found: APIKeyQuerySet = queryset
        if days in DAYS:
            found = queryset.with_status(Status.ACTIVE, now).filter(expires_at__lte=now + timedelta(days=int(days)))
        return found
