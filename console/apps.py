"""The console as an app: it is Django's admin, with a site of its own."""

from django.contrib.admin.apps import AdminConfig


class ConsoleConfig(AdminConfig):
    """Replaces ``django.contrib.admin`` in INSTALLED_APPS."""

    default_site = "console.site.Console"
