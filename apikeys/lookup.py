"""Finding the key that a command names."""

from django.core.management.base import CommandError

from apikeys.models import APIKey


def find_key(text: str) -> APIKey:
    """Return the key with an id. Raises CommandError."""
    if not (text.isascii() and text.isdecimal() and len(text) < 19):  # not repeated: it may be the key itself
        raise CommandError("ID must be a whole number: the key's id, not the key.")
    key = APIKey.objects.select_related("owner").filter(pk=int(text)).first()
    if key is None:
        raise CommandError(f"There is no API key with the id {text}.")
    return key
