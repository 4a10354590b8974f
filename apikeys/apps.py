"""The apikeys app."""

from django.apps import AppConfig


class APIKeysConfig(AppConfig):
    """API keys."""

    name = "apikeys"
    verbose_name = "API keys"

    def ready(self) -> None:
        from accounts import signals  # noqa: PLC0415  models exist only now
        from apikeys import checks, owners, usage  # noqa: F401, PLC0415  models exist only now; checks register themselves
        from authsvc.config.startup import serving  # noqa: PLC0415  as above
        from authsvc.problems import permission_refused  # noqa: PLC0415  as above

        signals.list_keys.connect(owners.on_list_keys)
        signals.revoke_keys.connect(owners.on_revoke_keys)
        permission_refused.connect(usage.on_permission_refused)
        serving.connect(usage.on_serving)
