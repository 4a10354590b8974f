"""``manage.py rotate_api_key ID [--overlap SECONDS]``."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError
from django.db import transaction

from apikeys import services, validators
from apikeys.commands import find_key
from apikeys.models import APIKey
from authsvc.commands import SentenceCommand, whole_number


class Command(SentenceCommand):
    """Replace a key's secret: the new one alone on stdout."""

    help = "Give an API key a new secret. The new key alone goes to stdout; it is shown this once."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("id", metavar="ID", help="the key's id")
        parser.add_argument("--overlap", metavar="SECONDS", help="how long the old secret lives on; default: a day")

    @transaction.atomic  # a secret that cannot be shown is rolled back
    def handle(self, *args: Any, **options: Any) -> None:
        key, given = find_key(options["id"]), options["overlap"]
        overlap = services.OVERLAP if given is None else whole_number("--overlap", given)
        if not 0 <= overlap <= validators.MAX_OVERLAP:
            raise CommandError(f"--overlap must be from 0 to {validators.MAX_OVERLAP} seconds.")
        plaintext = services.rotate_key(key=key, overlap_seconds=overlap)
        if plaintext is None:
            raise CommandError(f"Key {key.pk} ({key.name}) is revoked and cannot be rotated.")
        self.show(plaintext)
        self.tell(f"Rotated key {key.pk} ({key.name}); the old secret {end_of_the_old(key)}.")


def end_of_the_old(key: APIKey) -> str:
    """Return when the outgoing secret of a key ends, as a phrase; the key's old expiry may come before the overlap."""
    new, old = key.secrets.order_by("-id")[:2]
    seconds = ((old.retires_at or new.created_at) - new.created_at).total_seconds()
    return f"ends in {int(seconds)} seconds" if seconds > 0 else "has ended"
