"""``manage.py issue_api_key --user NAME | --service NAME --name TEXT [--scope S]… [--expires-in-days N] [--json]``."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError
from django.db import transaction

from accounts.commands import find_user
from accounts.models import User
from accounts.services.registration import get_or_create_service_account
from apikeys import serializers, services
from authsvc.commands import SentenceCommand, as_json, whole_number


class Command(SentenceCommand):
    """Issue a key for a user: the key alone on stdout, everything else on stderr."""

    help = "Issue an API key. The key alone goes to stdout; it is shown this once."

    def add_arguments(self, parser: ArgumentParser) -> None:
        owner = parser.add_mutually_exclusive_group(required=True)
        owner.add_argument("--user", metavar="NAME", help="username or e-mail address of the owner")
        owner.add_argument("--service", metavar="NAME", help="a service account, made where there is none")
        parser.add_argument("--name", required=True, metavar="TEXT", help="what the key is for")
        parser.add_argument("--scope", action="append", default=[], metavar="S", help="what it may do; repeatable")
        parser.add_argument("--expires-in-days", metavar="N", help="default: API_KEY_EXPIRE_DAYS")
        parser.add_argument("--json", action="store_true", help="print the whole new key as JSON")

    @transaction.atomic  # a key that cannot be issued or shown leaves nothing behind, no service account either
    def handle(self, *args: Any, **options: Any) -> None:
        owner = self.owner(options)
        days = options["expires_in_days"]
        key, plaintext = services.issue_key(
            owner=owner,
            name=options["name"],
            scopes=options["scope"],
            expires_in_days=None if days is None else whole_number("--expires-in-days", days),
        )
        body = serializers.new_key(key, plaintext)
        self.show(as_json(body) if options["json"] else plaintext)
        self.tell(f"Issued key {key.pk} ({key.name}) for {owner}; it expires {body['expires_at']}.")

    def owner(self, options: dict[str, Any]) -> User:
        """Return the owner of the new key. Raises CommandError."""
        if options["service"] is not None:
            if not options["service"].strip():
                raise CommandError("--service must be the name of an account, not empty.")
            owner = get_or_create_service_account(name=options["service"])
        else:
            owner = find_user(options["user"])
        if not owner.is_active:
            raise CommandError(f"The user {owner.username!r} is disabled.")
        return owner
