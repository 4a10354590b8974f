"""``manage.py createsuperuser``: Django's own, with one sentence for a name that is taken."""

from typing import Any

from django.contrib.auth.management.commands import createsuperuser
from django.core.management.base import CommandError
from django.db import IntegrityError

from authsvc.commands import SentenceCommand


class Command(SentenceCommand, createsuperuser.Command):
    """Create an operator with every permission in the console."""

    help = "Create an operator: a user with every permission in the console, and no scopes but those of roles."
    username_is_unique = True  # by a constraint on its lower case, which Django's command does not see

    def handle(self, *args: Any, **options: Any) -> Any:
        """Create the operator. Raises CommandError for a name or address that is taken."""
        try:
            return super().handle(*args, **options)
        except IntegrityError as error:
            raise CommandError("The username or the e-mail address is taken.") from error
