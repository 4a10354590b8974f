"""``manage.py revoke_api_key ID [--reason TEXT]``, or ``--key -`` with the key on standard input."""

import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from apikeys import keys, services
from apikeys.commands import find_key
from apikeys.models import APIKey
from apikeys.queries import key_by_digest
from authsvc.commands import SentenceCommand


class Command(SentenceCommand):
    """End a key for good."""

    help = "Revoke an API key, for good and from the next request on."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("id", nargs="?", metavar="ID", help="the key's id")
        parser.add_argument("--key", metavar="-", help="read the key itself from standard input")
        parser.add_argument("--reason", default="", metavar="TEXT", help="kept with the key")

    def handle(self, *args: Any, **options: Any) -> None:
        if (options["id"] is None) == (options["key"] is None):
            raise CommandError("Give either the key's ID or --key -.")
        key = find_by_plaintext(options["key"]) if options["id"] is None else find_key(options["id"])
        done = services.revoke_key(key=key, reason=options["reason"])
        self.tell(f"Revoked key {key.pk} ({key.name})." if done else f"Key {key.pk} ({key.name}) was revoked before.")


def find_by_plaintext(source: str) -> APIKey:
    """Return the key whose plaintext is on standard input. Raises CommandError, which does not repeat it."""
    if source != "-":
        raise CommandError("A key on the command line can be read by others: give --key - and the key on stdin.")
    try:
        text = sys.stdin.readline().strip()
    except UnicodeDecodeError:  # not UTF-8, so not a key
        text = ""
    key = key_by_digest(keys.digest(text)) if keys.is_well_formed(text) else None
    if key is None:
        raise CommandError("There is no API key like the one on standard input.")
    return key
