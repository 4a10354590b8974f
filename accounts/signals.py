"""Signals to the apps that build on accounts, which accounts cannot import."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from django.dispatch import Signal

# Both are about the keys of ``user`` that were made before the time ``before``, or all where that is None.
# Sent with ``limit`` too: receivers return the OwnedKeys that could be used now, newest first.
list_keys = Signal()
# Sent with ``reason`` and ``actor`` too, in the transaction of a reset: receivers revoke the keys.
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
