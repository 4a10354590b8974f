"""Django's database sessions, stored under the SHA-256 of the cookie: a copy of the database logs nobody in."""

from __future__ import annotations

import hashlib
import re
from typing import Any, NoReturn

from django.contrib.sessions.backends import db
from django.contrib.sessions.backends.base import UpdateError
from django.db import transaction
from django.utils import timezone

KEY = re.compile(r"[0-9a-z]{32}", re.ASCII)  # as Django makes them
STORED_LENGTH = 40  # characters of the column; 160 bits, as many as a key has


def stored(key: str | None) -> str:
    """Return what stands in the database for a cookie's value."""
    return hashlib.sha256((key or "").encode()).hexdigest()[:STORED_LENGTH]


class SessionStore(db.SessionStore):
    """Django's, for cookies whose value has the form of a session key."""

    def __init__(self, session_key: str | None = None) -> None:
        super().__init__(session_key if session_key and KEY.fullmatch(session_key) else None)

    def load(self) -> dict[str, Any]:
        """Return the session's data. An unknown key is dropped, so that a client cannot choose its own."""
        rows = self.model.objects.filter(session_key=stored(self.session_key), expire_date__gt=timezone.now())
        row = rows.first()
        if row is None:
            super().__init__()
            self.accessed = True
            return {}
        data: dict[str, Any] = self.decode(row.session_data)
        return data

    def exists(self, session_key: str) -> bool:
        return self.model.objects.filter(session_key=stored(session_key)).exists()

    def create_model_instance(self, data: dict[str, Any]) -> Any:
        row = super().create_model_instance(data)
        row.session_key = stored(row.session_key)
        return row

    def delete(self, session_key: str | None = None) -> None:
        key = session_key or self.session_key
        if key is not None:
            self.model.objects.filter(session_key=stored(key)).delete()

    async def asave(self, must_create: bool = False) -> NoReturn:
        """Refuse: Django's own would store the key itself, and nothing here is asynchronous."""
        raise UpdateError("console sessions are saved by save()")

    @transaction.atomic
    def take(self, name: str) -> Any:
        """Return a value and remove it from the stored session; of parallel calls one gets it, the others None."""
        rows = self.model.objects.select_for_update().filter(session_key=stored(self.session_key))
        row = rows.first()
        data = {} if row is None else self.decode(row.session_data)
        value = data.pop(name, None)
        if value is not None:
            rows.update(session_data=self.encode(data))
        self.pop(name, None)  # what this request may save later must not bring it back
        return value
