"""The accounts app."""

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    """Users, roles, scopes, sessions and tokens."""

    name = "accounts"
    verbose_name = "Users and roles"

    def ready(self) -> None:
        from django.contrib.auth.signals import user_logged_in  # noqa: PLC0415  models exist only now

        from accounts import models, queries  # noqa: PLC0415  as above
        from accounts.jwt import keyring  # noqa: PLC0415  as above
        from accounts.services import login, users  # noqa: PLC0415  as above
        from authsvc.api.docs import describing  # noqa: PLC0415  as above
        from authsvc.api.probes import examining  # noqa: PLC0415  as above

        describing.connect(queries.describe_scopes)
        examining.connect(keyring.examine)
        user_logged_in.connect(login.record_console_login)
        models.password_changed.connect(users.on_password_changed)
