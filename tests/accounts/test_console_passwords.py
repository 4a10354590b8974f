"""A password set in the console or by Django's command: every session ends, and nothing else changes."""

from __future__ import annotations

import getpass
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import OperationalError, connection
from django.test import Client

from accounts.models import Session, User
from tests.audit.conftest import events
from tests.conftest import Api
from tests.factories import PASSWORD, UserFactory, pair_of, token_of

USERS, OWN = "/admin/accounts/user/", "/admin/password_change/"
NEW = "another-horse-battery"


@pytest.fixture
def operator(db: None) -> User:
    return UserFactory(username="operator", is_staff=True, is_superuser=True)


@pytest.fixture
def console(operator: User) -> Client:
    client = Client(raise_request_exception=False)
    client.force_login(operator)
    return client


def opens(api: Api, *tokens: str) -> list[bool]:
    """Say which tokens open anything."""
    return [api.get("/auth/me", token=token).status_code == 200 for token in tokens]


def test_a_new_password_by_an_operator_ends_every_session(console: Client, api: Api, alice: User) -> None:
    pair, before = pair_of(alice), len(events())
    body = {"password1": NEW, "password2": NEW}
    assert console.post(f"{USERS}{alice.pk}/password/", body).status_code == 302
    assert opens(api, pair.access_token) == [False]
    assert api.post("/auth/refresh", {"refresh_token": pair.refresh_token}).status_code == 401
    assert events()[before:] == [
        ("user:changed", "operator", "Alice", "password"),
        ("session:ended", "operator", "Alice", "1 ended: password changed"),
    ]


def test_taking_a_password_away_ends_every_session_too(console: Client, api: Api, alice: User) -> None:
    token = token_of(alice)
    body = {"password1": "", "password2": "", "usable_password": "false", "unset-password": "1"}
    assert console.post(f"{USERS}{alice.pk}/password/", body).status_code == 302
    assert not User.objects.get(pk=alice.pk).has_usable_password()
    assert opens(api, token) == [False]


def test_an_operators_own_new_password_ends_the_own_sessions(console: Client, api: Api, operator: User) -> None:
    token = token_of(operator)
    body = {"old_password": PASSWORD, "new_password1": NEW, "new_password2": NEW}
    assert console.post(OWN, body).status_code == 302
    assert (opens(api, token), console.get("/admin/").status_code) == ([False], 200)


def test_a_new_password_by_the_command_ends_every_session(
    api: Api, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    token, before = token_of(alice), len(events())
    monkeypatch.setattr(getpass, "getpass", lambda prompt: NEW)
    call_command("changepassword", "Alice", verbosity=0)
    assert opens(api, token) == [False]
    assert events()[before:] == [
        ("user:changed", "manage.py", "Alice", "password"),
        ("session:ended", "manage.py", "Alice", "1 ended: password changed"),
    ]


def disable(prompt: str) -> str:
    """Disable everybody, as somebody else may do while a password is being typed, and type it."""
    User.objects.update(is_active=False)
    return NEW


class Disabler:
    """A password validator, for these run between the look at a user and the write."""

    def validate(self, password: str, user: Any = None) -> None:
        User.objects.update(is_active=False)

    def get_help_text(self) -> str:
        return ""


def test_a_new_password_by_the_command_enables_nobody_who_was_disabled_meanwhile(
    alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(getpass, "getpass", disable)
    call_command("changepassword", "Alice", verbosity=0)
    assert User.objects.get(pk=alice.pk).is_active is False


def test_an_operators_own_new_password_enables_nobody_who_was_disabled_meanwhile(
    console: Client, operator: User, settings: Any
) -> None:
    settings.AUTH_PASSWORD_VALIDATORS = [{"NAME": f"{__name__}.Disabler"}]
    console.post(OWN, {"old_password": PASSWORD, "new_password1": NEW, "new_password2": NEW})
    assert User.objects.get(pk=operator.pk).is_active is False


def failing(execute: Any, sql: str, parameters: Any, many: bool, context: Any) -> Any:
    """A database that goes away when sessions are to be ended."""
    if sql.startswith('UPDATE "accounts_session"'):
        raise OperationalError("away")
    return execute(sql, parameters, many, context)


def state() -> list[Any]:
    """Return the passwords, the sessions and the record."""
    return [list(User.objects.order_by("id").values("id", "password")), list(Session.objects.values()), events()]


def test_where_the_sessions_cannot_be_ended_the_console_sets_no_password(console: Client, alice: User) -> None:
    token_of(alice)
    before = state()
    with connection.execute_wrapper(failing):
        response = console.post(f"{USERS}{alice.pk}/password/", {"password1": NEW, "password2": NEW})
    assert response.status_code >= 500
    assert state() == before


def test_where_the_sessions_cannot_be_ended_the_command_sets_no_password(
    alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    token_of(alice)
    before = state()
    monkeypatch.setattr(getpass, "getpass", lambda prompt: NEW)
    with connection.execute_wrapper(failing), pytest.raises((OperationalError, CommandError)):
        call_command("changepassword", "Alice", verbosity=0)
    assert state() == before
