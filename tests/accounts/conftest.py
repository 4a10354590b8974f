"""Tokens of our own and of forgers, hashing that is counted, and many requests at one moment."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import pytest
from django.conf import settings as django_settings
from django.db import connections

from accounts.models import User
from tests.accounts.hashers import CountingHasher

T = TypeVar("T")
SIGNUP = {"email": "carol@example.com", "username": "carol", "password": "correct-horse-battery"}


def encode(data: Any) -> str:
    """Return a part of a token: JSON, or bytes as they are, in base64url without padding."""
    raw = data if isinstance(data, bytes) else json.dumps(data).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def claims_of(token: str) -> dict[str, Any]:
    """Return the claims of a token, unverified."""
    part = token.split(".")[1]
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return found


def sign(claims: Any, header: Any = None, *, key: str | None = None, digest: str = "sha256") -> str:
    """Return a token signed as ours are, but for what is given: a PyJWT would refuse to make most of these."""
    refresh = isinstance(claims, dict) and claims.get("token_type") == "refresh"
    typ = "rt+jwt" if refresh else "at+jwt"
    body = f"{encode({'alg': 'HS256', 'typ': typ} if header is None else header)}.{encode(claims)}"
    secret = django_settings.SECRET_KEY if key is None else key
    return f"{body}.{encode(hmac.new(secret.encode(), body.encode(), getattr(hashlib, digest)).digest())}"


def at_once(calls: Sequence[Callable[[], T]]) -> list[T]:
    """Make calls in threads that start together, each with a database connection of its own."""
    start = threading.Barrier(len(calls), timeout=30)

    def make(call: Callable[[], T]) -> T:
        start.wait()
        try:
            return call()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(make, calls))


@pytest.fixture
def committed(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """A database whose writes are real, for threads.

    Its users go afterwards. The rows of the migrations stay, which the flush of ``transactional_db`` would take.
    """
    with django_db_blocker.unblock():
        yield
        User.objects.all().delete()


@pytest.fixture
def hashings(settings: Any) -> list[str]:
    """The cost of each bcrypt that is computed from here on."""
    settings.PASSWORD_HASHERS = ["tests.accounts.hashers.CountingHasher"]
    CountingHasher.costs = []
    return CountingHasher.costs
