"""The audit app."""

from django.apps import AppConfig


class AuditConfig(AppConfig):
    """The append-only record of security events."""

    name = "audit"
    verbose_name = "Audit"
