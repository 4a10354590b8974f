"""The project as an app: it brings the system checks and the connection watch."""

from django.apps import AppConfig


class ProjectConfig(AppConfig):
    """Connects what belongs to no single app."""

    name = "authsvc"

    def ready(self) -> None:
        from authsvc import ratelimit  # noqa: PLC0415  checks register themselves once apps are loaded
        from authsvc.config import checks  # noqa: F401, PLC0415  checks register themselves once apps are loaded
        from authsvc.config.startup import serving  # noqa: PLC0415  as above
        from authsvc.database import connections  # noqa: PLC0415  as above

        connections.keep_connections()
        serving.connect(connections.on_worker_started)
        serving.connect(ratelimit.on_worker_started)
