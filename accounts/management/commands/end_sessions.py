"""``manage.py end_sessions --user NAME``."""

from argparse import ArgumentParser
from typing import Any

from accounts.commands import find_user
from accounts.services import sessions
from authsvc.commands import SentenceCommand


class Command(SentenceCommand):
    """End a user's sessions."""

    help = "End all sessions of a user, in the API and in the console, and void mailed links. API keys stay."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--user", required=True, metavar="NAME", help="username or e-mail address")

    def handle(self, *args: Any, **options: Any) -> None:
        user = find_user(options["user"])
        ended = sessions.end_everywhere(user=user, reason="ended by an operator")
        self.tell(f"Sessions of {user} ended: {ended}.")
