"""``manage.py createsuperuser``: Django's own, but that the new operator is recorded."""

from typing import Any

from django.contrib.auth.management.commands import createsuperuser
from django.core.management.base import CommandError
from django.db import IntegrityError, transaction

from accounts.models import User
from audit import services as audit
from audit.events import Event
from authsvc.commands import SentenceCommand


class Operators:
    """The model of users as Django's command calls it, down to the one call that makes one: that is recorded here.

    The command asks at length in between, so that no transaction may lie around the whole of it.
    """

    def __init__(self) -> None:
        self._default_manager = self

    def __getattr__(self, name: str) -> Any:
        return getattr(User, name)

    def __call__(self, **fields: Any) -> User:
        return User(**fields)

    def db_manager(self, using: str) -> "Operators":
        """Return the manager of a database; there is one."""
        return self

    def get_by_natural_key(self, username: str) -> User:
        """Return the user of a name. Raises User.DoesNotExist."""
        return User.objects.get_by_natural_key(username)

    @transaction.atomic
    def create_superuser(self, **fields: Any) -> None:
        """Make an operator and record it. Raises CommandError for a name or address taken."""
        try:
            user = User.objects.create_superuser(**fields)
        except IntegrityError as error:
            raise CommandError("The username or the e-mail address is taken.") from error
        audit.record(Event.USER_CREATED, subject=user, reason="operator")


class Command(SentenceCommand, createsuperuser.Command):
    """Make an operator with every permission in the console."""

    help = "Make an operator: a user who may do everything in the console, and has no scopes but those of roles."
    username_is_unique = True  # by a constraint on its lower case, which Django's command does not see

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.UserModel = Operators()  # type: ignore[assignment]  # what Django's command calls of it is there
