"""``manage.py revoke_role NAME ROLE``."""

from argparse import ArgumentParser
from typing import Any

from django.contrib.auth.models import Group
from django.core.management.base import CommandError

from accounts.commands import find_user
from accounts.services import roles
from authsvc.commands import SentenceCommand


class Command(SentenceCommand):
    """Revoke a role of a user."""

    help = "Take a role away from a user; the next request of the user's credentials feels it."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", metavar="NAME", help="username or e-mail address")
        parser.add_argument("role", metavar="ROLE")

    def handle(self, *args: Any, **options: Any) -> None:
        user, role = find_user(options["name"]), options["role"]
        if not Group.objects.filter(name=role).exists():
            raise CommandError(f"There is no role {role!r}.")
        taken = roles.revoke_role(user=user, role=role)
        self.tell(f"{user} {'no longer has' if taken else 'did not have'} the role {role}.")
