"""``manage.py grant_role NAME ROLE [--scope S]…``."""

from argparse import ArgumentParser
from typing import Any

from accounts.commands import find_user
from accounts.services import roles
from authsvc.commands import SentenceCommand


class Command(SentenceCommand):
    """Give a user a role."""

    help = "Give a user a role, making the role and granting it these scopes where needed."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", metavar="NAME", help="username or e-mail address")
        parser.add_argument("role", metavar="ROLE")
        parser.add_argument(
            "--scope", action="append", default=[], metavar="S", help="what the role grants; repeatable"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        user = find_user(options["name"])
        roles.grant_role(user=user, role=options["role"], scopes=options["scope"])
        self.tell(f"{user} has the role {options['role']}.")
