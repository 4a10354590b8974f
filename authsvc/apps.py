"""The project as an app: it brings the system checks and the connection watch."""

from django.apps import AppConfig


class ProjectConfig(AppConfig):
    """Connects what belongs to no single app."""

    name = "authsvc"

    def ready(self) -> None:
        from authsvc import checks, limiter  # noqa: F401, PLC0415  checks register themselves once apps are loaded
        from authsvc.database import connections  # noqa: PLC0415  as above
        from authsvc.startup import serving  # noqa: PLC0415  as above

        connections.keep_connections()
        serving.connect(connections.on_worker_started)
        serving.connect(limiter.on_worker_started)
