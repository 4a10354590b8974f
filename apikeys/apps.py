"""The app of keys."""

from django.apps import AppConfig


class APIKeysConfig(AppConfig):
    """Issued, used, revoked."""

    name = "apikeys"
    verbose_name = "API keys"

    def ready(self) -> None:
        from apikeys import checks, usage  # noqa: F401, PLC0415  models exist only now; checks register themselves
        from authsvc.problems import permission_refused  # noqa: PLC0415  as above
        from authsvc.startup import serving  # noqa: PLC0415  as above

        permission_refused.connect(usage.on_permission_refused)
        serving.connect(usage.on_serving)
