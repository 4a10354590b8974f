"""``manage.py after_restore [--revocations LOG] [--dry-run]``."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError
from django.db import transaction

from apikeys.restore import Report, after_restore
from authsvc.commands import SentenceCommand


class Command(SentenceCommand):
    """Make a restored database safe to serve from."""

    help = (
        "End every session, void every mailed link, and repeat what was revoked, disabled or taken away since the "
        "backup. Run it after a restore and before the service is opened; a second time changes nothing more."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--revocations", metavar="LOG", help="the service's log, or lines 'api_key ID' and 'user NAME'"
        )
        parser.add_argument("--dry-run", action="store_true", help="report what would be done, and change nothing")

    @transaction.atomic  # a report that cannot be written changes nothing
    def handle(self, *args: Any, **options: Any) -> None:
        path = options["revocations"]
        try:
            report = after_restore(revocations=path, dry_run=options["dry_run"])
        except OSError as error:
            raise CommandError(f"The file {path!r} cannot be read: {error.strerror or error}.") from error
        self.show("\n".join(lines(report, dry_run=options["dry_run"])))


def lines(report: Report, *, dry_run: bool) -> list[str]:
    """Return a report as lines of text, with a section for each of its lists."""
    found = [
        *(["Dry run: nothing was changed."] if dry_run else []),
        f"Ended {report.sessions} sessions and {report.console_sessions} console sessions; mailed links are void.",
        *([f"{report.unknown} lines were not understood."] if report.unknown else []),
    ]
    for title, rows in (
        ("Repeated", report.repeated),
        ("Unchanged, it was so already", report.unchanged),
        ("Not found in this database, look at these yourself", report.unmatched),
    ):
        found += [f"{title}: {len(rows)}", *(f"  {row}" for row in rows)]
    return found
