"""``manage.py end_everything --user NAME [--reason TEXT] [--disable]``."""

from argparse import ArgumentParser
from typing import Any

from accounts.commands import find_user
from apikeys.owners import end_everything
from authsvc.commands import SentenceCommand


class Command(SentenceCommand):
    """Revoke a user's keys and end the user's sessions."""

    help = "Revoke every API key of a user for good, end all sessions, and void mailed links and console sessions."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--user", required=True, metavar="NAME", help="username or e-mail address")
        parser.add_argument("--reason", default="", metavar="TEXT", help="kept with each key")
        parser.add_argument("--disable", action="store_true", help="disable the user too")

    def handle(self, *args: Any, **options: Any) -> None:
        user = find_user(options["user"])
        ended = end_everything(owner=user, reason=options["reason"], disable=options["disable"])
        disabled = "; the user is disabled" if options["disable"] else ""
        self.tell(f"Ended everything of {user}: {ended.keys} API keys, {ended.sessions} sessions{disabled}.")
