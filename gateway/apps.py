"""The gateway app."""

from django.apps import AppConfig


class GatewayConfig(AppConfig):
    """Forward auth, introspection, and a key's exchange for a token."""

    name = "gateway"
    verbose_name = "For other services"

    def ready(self) -> None:
        from accounts import verification  # noqa: PLC0415  models exist only now
        from gateway import exchange  # noqa: PLC0415  as above

        verification.token_verifiers["client_id"] = exchange.verify_key_token
