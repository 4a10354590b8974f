"""Somebody who takes a name in the moment between the look whether it is free and the write."""

from typing import Any

from accounts.models import User


class Rival:
    """A password validator, for these run just then; ``OPTIONS`` say what it takes."""

    def __init__(self, username: str, email: str) -> None:
        self.username, self.email = username, email

    def validate(self, password: str, user: Any = None) -> None:
        User.objects.create_user(self.username, self.email)
