"""What accounts asks of the apps that build on it and that it cannot import."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from django.dispatch import Signal

# Sent with ``user`` and ``limit``: receivers return the OwnedKeys that could be used now, newest first.
list_keys = Signal()
# Sent with ``user``, ``reason`` and ``actor``, in the transaction of a reset: receivers revoke all keys of the user.
revoke_keys = Signal()


class OwnedKey(NamedTuple):
    """A key as its owner recognises it."""

    name: str
    prefix: str
    created_at: datetime


class OwnedKeys(NamedTuple):
    """The newest keys of a user, and how many there are."""

    newest: list[OwnedKey]
    total: int
