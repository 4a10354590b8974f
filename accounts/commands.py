"""What the commands of several apps share."""

from django.core.management.base import CommandError

from accounts.models import User


def find_user(name: str) -> User:
    """Return the user with a username or address, grants loaded. Raises CommandError."""
    user: User | None = User.objects.known_as(name).first_with_grants()
    if user is None:
        raise CommandError(f"There is no user {name!r}.")
    return user
