"""``manage.py list_api_keys [--user NAME] [--status S] [--json]``."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError
from django.utils import timezone

from accounts.models import User
from apikeys.models import APIKey, Status
from apikeys.queries import with_prefix
from apikeys.serializers import KeyResponse
from authsvc.commands import SentenceCommand, as_json

COLUMNS = ("id", "owner", "prefix", "status", "expires_at", "last_used_at", "name")


class Command(SentenceCommand):
    """List keys, newest first."""

    help = "List API keys, newest first, without secrets."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--user", metavar="NAME", help="only those of this user")
        parser.add_argument("--status", choices=Status.values, help="only those with this status")
        parser.add_argument("--json", action="store_true", help="print a JSON array")

    def handle(self, *args: Any, **options: Any) -> None:
        keys = with_prefix(APIKey.objects.select_related("owner")).order_by("-id")
        if options["user"] is not None:
            owner = User.objects.known_as(options["user"]).first()
            if owner is None:
                raise CommandError(f"There is no user {options['user']!r}.")
            keys = keys.filter(owner=owner)
        if options["status"]:
            keys = keys.with_status(options["status"], timezone.now())
        rows = [{"owner": str(key.owner), **KeyResponse(key).data} for key in keys.iterator()]
        self.show(as_json(rows) if options["json"] else table(rows))


def table(rows: list[dict[str, Any]]) -> str:
    """Return rows as aligned columns under a heading."""
    shown = [{**row, "status": display_status(row)} for row in rows]
    lines = [COLUMNS, *(tuple(str(row[c] or "-") for c in COLUMNS) for row in shown)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(COLUMNS))]
    return "\n".join("  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip() for line in lines)


def display_status(row: dict[str, Any]) -> str:
    """Return a row's status, or "disabled" for an active key that is not enabled."""
    return row["status"] if row["is_enabled"] or row["status"] != Status.ACTIVE else "disabled"
