"""``manage.py clear_expired``."""

from argparse import ArgumentParser
from typing import Any

from accounts.services import cleanup
from authsvc.commands import SentenceCommand


class Command(SentenceCommand):
    """Remove expired rows."""

    help = (
        "Remove ended and expired sessions with their refresh tokens, operators' expired logins, past lockouts "
        "and retired signing keys, in batches, beside traffic. Run it daily."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--quiet", action="store_true", help="show no progress")

    def handle(self, *args: Any, **options: Any) -> str:
        lines = []
        for name, batches in cleanup.expired():
            removed = 0
            for batch in batches:
                removed += batch
                if not options["quiet"]:
                    self.stderr.write(f"\r{name}: {removed}", ending="", style_func=str)
            if removed and not options["quiet"]:
                self.tell("")
            lines.append(f"{removed} {name}")
        return f"Removed {', '.join(lines)}."
