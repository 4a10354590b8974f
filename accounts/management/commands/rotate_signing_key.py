"""``manage.py rotate_signing_key [--at-once]``."""

from argparse import ArgumentParser
from typing import Any

from accounts.services import signing_keys
from authsvc.commands import SentenceCommand


class Command(SentenceCommand):
    """Make a new key to sign access tokens with."""

    help = (
        "Make a key of JWT_ALGORITHM and print its kid. It is published now and signs 10 minutes later, by when every "
        "verifier has it; the key before it stays published until its last token has expired. The first key signs now."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--at-once",
            action="store_true",
            help="for a key that has leaked: sign with the new one now, and void the old ones and their tokens",
        )

    def handle(self, *args: Any, **options: Any) -> str:
        key = signing_keys.rotate(at_once=options["at_once"])
        self.tell(f"A new {key.algorithm} key is published and signs from {key.signs_from:%Y-%m-%dT%H:%M:%SZ}.")
        return key.kid
