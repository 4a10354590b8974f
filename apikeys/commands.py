"""What the commands of keys share."""

from django.core.management.base import CommandError

from apikeys.models import APIKey
from authsvc.commands import WHOLE_NUMBER
from authsvc.ids import parse_id


def find_key(text: str) -> APIKey:
    """Return the key with an id. Raises CommandError."""
    if not WHOLE_NUMBER.fullmatch(text):  # the message does not repeat it: it may be the key itself
        raise CommandError("ID must be a whole number: the key's id, not the key.")
    key_id = parse_id(text)
    key = None if key_id is None else APIKey.objects.select_related("owner").filter(pk=key_id).first()
    if key is None:
        raise CommandError(f"There is no API key with the id {text}.")
    return key
