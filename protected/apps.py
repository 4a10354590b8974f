"""The demo."""

from django.apps import AppConfig


class ProtectedConfig(AppConfig):
    """One small view for each way to guard one."""

    name = "protected"
    verbose_name = "Protected demo routes"
