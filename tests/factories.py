"""What tests are made of: users, roles, keys. Every user's password is PASSWORD."""

from __future__ import annotations

from typing import Any

import factory
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import Group

from accounts.jwt.tokens import TokenPair
from accounts.models import Scope, User
from accounts.services import sessions
from apikeys import services
from apikeys.models import APIKey

ISSUED_WITH = ("scopes", "expires_in_days", "allowed_ips", "rate_limit", "metadata")
PASSWORD = "correct-horse-battery"


class UserFactory(factory.django.DjangoModelFactory):
    """Somebody with PASSWORD and no role."""

    class Meta:
        model = User

    username = factory.Sequence(lambda n: f"user{n}")
    email = factory.LazyAttribute(lambda user: f"{user.username}@example.com")
    password = factory.LazyFunction(lambda: make_password(PASSWORD))


def make_role(name: str, *scopes: str) -> Group:
    """Return a role that grants scopes, making what is missing of both."""
    role, _ = Group.objects.get_or_create(name=name)
    for scope in scopes:
        Scope.objects.get_or_create(name=scope, defaults={"description": scope})[0].roles.add(role)
    return role


def make_key(owner: User, name: str = "a key", **fields: Any) -> tuple[APIKey, str]:
    """Return a key and its plaintext; ``fields`` other than the service's own are written to the row as they are."""
    arguments = {field: fields.pop(field) for field in ISSUED_WITH if field in fields}
    key, plaintext = services.issue_key(owner=granted(owner), name=name, **arguments)
    if fields:
        APIKey.objects.filter(pk=key.pk).update(**fields)
        key.refresh_from_db()
    return key, plaintext


def token_of(user: User) -> str:
    """Return a good access token of a user."""
    return pair_of(user).access_token


def pair_of(user: User) -> TokenPair:
    """Return the tokens of a new session of a user."""
    pair = sessions.start(user=granted(user))
    assert pair is not None
    return pair


def granted(user: User) -> User:
    """Return a user as the database has it now, with grants read."""
    found: User | None = User.objects.filter(pk=user.pk).first_with_grants()
    assert found is not None
    return found
