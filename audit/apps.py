"""The app of the record."""

from django.apps import AppConfig


class AuditConfig(AppConfig):
    """What happened, by whom, from where; written once."""

    name = "audit"
    verbose_name = "Audit"
