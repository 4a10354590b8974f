"""System checks: an unusable LEAK_REPORT_KEYS_FILE is an error at start-up, not at the first report."""

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, register

from apikeys import leaks
from authsvc.config.checks import TAG


@register(TAG)
def leak_report_keys_can_be_used(**options: Any) -> list[CheckMessage]:
    """Return apikeys.E001 where LEAK_REPORT_KEYS_FILE names a file that does not hold public keys."""
    try:
        leaks.public_keys(settings.LEAK_REPORT_KEYS_FILE)
    except leaks.WRONG_FILE as error:
        message = (
            f"LEAK_REPORT_KEYS_FILE names a file that does not hold GitHub's public keys ({type(error).__name__})."
        )
        hint = "It holds what https://api.github.com/meta/public_keys/secret_scanning answers; empty: no reports."
        return [Error(message, hint=hint, id="apikeys.E001")]
    return []
