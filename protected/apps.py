"""The protected app."""

from django.apps import AppConfig


class ProtectedConfig(AppConfig):
    """Demo views, one for each policy."""

    name = "protected"
    verbose_name = "Protected demo routes"
