"""``manage.py prune_audit --older-than DAYS``."""

from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.core.management.base import CommandError

from audit import services
from authsvc.commands import SentenceCommand, whole_number


class Command(SentenceCommand):
    """Delete old audit events."""

    help = "Delete audit events older than DAYS days. The deletion is itself an event."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--older-than", required=True, metavar="DAYS", help="keep events younger than this (1 to 36500)"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        days = whole_number("--older-than", options["older_than"])
        if not 1 <= days <= 36500:
            raise CommandError("--older-than must be from 1 to 36500 days.")
        deleted = services.prune(older_than=timedelta(days=days))
        self.tell(f"Deleted {deleted} audit events older than {days} days.")
