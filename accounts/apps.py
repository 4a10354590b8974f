"""The app of people."""

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    """Users, roles, scopes, tokens."""

    name = "accounts"
    verbose_name = "Users and roles"

    def ready(self) -> None:
        from django.contrib.auth.signals import user_logged_in  # noqa: PLC0415  models exist only now

        from accounts import keyring, models, queries, services  # noqa: PLC0415  as above
        from authsvc.api.docs import describing  # noqa: PLC0415  as above
        from authsvc.api.probes import examining  # noqa: PLC0415  as above

        describing.connect(queries.describe_scopes)
        examining.connect(keyring.examine)
        user_logged_in.connect(services.record_console_login)
        models.password_changed.connect(services.on_password_changed)
