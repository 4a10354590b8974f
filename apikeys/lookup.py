"""Finding the key that a command names."""

from django.core.management.base import CommandError

from apikeys.models import APIKey
from authsvc.commands import WHOLE_NUMBER

MOST_DIGITS = 19  # of the largest id, 2**63 - 1


def find_key(text: str) -> APIKey:
    """Return the key with an id. Raises CommandError."""
    if not WHOLE_NUMBER.fullmatch(text):  # not repeated: it may be the key itself
        raise CommandError("ID must be a whole number: the key's id, not the key.")
    keys = APIKey.objects.select_related("owner")
    key = keys.filter(pk=text).first() if len(text) <= MOST_DIGITS else None
    if key is None:
        raise CommandError(f"There is no API key with the id {text}.")
    return key
