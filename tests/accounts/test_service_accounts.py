"""Service accounts: they own keys, and nobody can log in as one."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from io import StringIO
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connections

from accounts.models import User
from accounts.services import registration
from apikeys.models import APIKey
from tests.audit.conftest import events
from tests.conftest import BAD_CREDENTIAL, Api
from tests.factories import PASSWORD, UserFactory, make_role

pytestmark = pytest.mark.django_db


def issue(service: str, *arguments: str) -> str:
    """Issue a key for a service account and return it."""
    out = StringIO()
    call_command("issue_api_key", "--service", service, "--name", "a key", *arguments, stdout=out, stderr=StringIO())
    return out.getvalue().strip()


def test_a_service_account_has_no_password_no_address_and_no_role() -> None:
    made = registration.get_or_create_service_account(name="Deploy")
    stored = User.objects.get()
    assert (stored.username, stored.email, stored.is_service, stored.is_active) == ("Deploy", None, True, True)
    assert (stored.has_usable_password(), stored.is_staff, stored.is_superuser) == (False, False, False)
    assert (made.pk, made.roles, made.scopes) == (stored.pk, (), frozenset())


def test_making_it_is_recorded_once_and_it_is_found_again_in_any_case() -> None:
    made = [registration.get_or_create_service_account(name=name).pk for name in ("Deploy", "deploy", "ＤＥＰＬＯＹ")]
    assert len(set(made)) == 1
    assert events() == [("user:created", "manage.py", "Deploy (service account)", "service account")]


def test_two_service_accounts_without_an_address_do_not_collide() -> None:
    names = [registration.get_or_create_service_account(name=name).username for name in ("one", "two")]
    assert names == ["one", "two"]
    assert User.objects.filter(email__isnull=True).count() == 2


def test_what_it_may_do_is_read_along_when_it_is_found_again() -> None:
    make_role("auditor", "reports:read").user_set.add(registration.get_or_create_service_account(name="deploy"))
    again = registration.get_or_create_service_account(name="deploy")
    assert (again.roles, again.scopes) == (("auditor",), {"reports:read"})


def test_a_persons_account_is_not_taken_for_a_service(alice: User) -> None:
    with pytest.raises(ValidationError) as refusal:
        registration.get_or_create_service_account(name="alice")
    assert refusal.value.message_dict == {"service": ["Alice is a person's account; give it with --user."]}
    assert User.objects.get().is_service is False
    assert events() == []


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("", id="empty"),
        pytest.param("   ", id="blank"),
        pytest.param("deploy@example.com", id="an address"),
        pytest.param("two words", id="a space"),
        pytest.param("a\nb", id="a line break"),
        pytest.param("x" * 151, id="too long"),
    ],
)
def test_a_name_that_is_none_is_one_sentence_and_makes_nothing(name: str) -> None:
    with pytest.raises(CommandError) as refusal:
        issue(name)
    assert "\n" not in str(refusal.value)
    assert str(refusal.value).endswith(".")
    assert (User.objects.count(), APIKey.objects.count(), events()) == (0, 0, [])


def test_a_key_that_cannot_be_issued_leaves_no_account_and_no_event_behind() -> None:
    with pytest.raises(CommandError, match="scope"):
        issue("deploy", "--scope", "reports:read")
    assert (User.objects.count(), APIKey.objects.count(), events()) == (0, 0, [])


@pytest.mark.django_db(transaction=True)
def test_of_parallel_calls_one_makes_it_and_all_have_it() -> None:
    def make(number: int) -> int:
        try:
            return int(registration.get_or_create_service_account(name=f"deploy{number // 8}").pk)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(make, range(64)))
    assert len(set(made)) == User.objects.count() == 8
    assert [event for event, *_ in events()] == ["user:created"] * 8


def test_its_key_works_and_says_whose_it_is(api: Api) -> None:
    key = issue("deploy")
    assert api.get("/protected/service", key=key).json() == {
        "message": "Hello, service a key.",
        "service": "a key",
        "auth_method": "api_key",
    }
    assert api.get("/protected/user", key=key).status_code == 401


@pytest.mark.parametrize("password", ["", "!", PASSWORD, "None"])
def test_nobody_logs_in_as_one(api: Api, password: str) -> None:
    registration.get_or_create_service_account(name="deploy")
    response = api.post("/auth/login", {"username": "deploy", "password": password})
    assert response.status_code == (401 if password else 400)
    assert "access_token" not in response.json()


def test_nobody_logs_in_as_one_that_was_given_a_password_later(api: Api) -> None:
    UserFactory(username="deploy", email=None, is_service=True)
    response = api.post("/auth/login", {"username": "deploy", "password": PASSWORD})
    assert response.json() == BAD_CREDENTIAL
    assert events() == [("user:login_failed", "", "deploy (service account)", "service account")]


def test_nobody_logs_in_to_the_console_as_one(api: Api) -> None:
    UserFactory(username="deploy", email=None, is_service=True, is_staff=True, is_superuser=True)
    api.client.post("/admin/login/?next=/admin/", {"username": "deploy", "password": PASSWORD})
    assert "_auth_user_id" not in api.client.session
    assert api.client.get("/admin/").status_code == 302


def test_a_disabled_service_account_gets_no_key_and_its_keys_fail(api: Api) -> None:
    key = issue("deploy")
    User.objects.update(is_active=False)
    with pytest.raises(CommandError, match="disabled"):
        issue("deploy")
    assert api.get("/protected/service", key=key).json() == BAD_CREDENTIAL
    assert APIKey.objects.count() == 1


def test_a_sign_up_cannot_take_its_name(api: Api) -> None:
    registration.get_or_create_service_account(name="deploy")
    body: dict[str, Any] = {"username": "DEPLOY", "email": "mallory@example.com", "password": PASSWORD}
    response = api.post("/auth/signup", body)
    assert [(error["field"], error["code"]) for error in response.json()["errors"]] == [("username", "unique")]
    assert User.objects.get().is_service is True


def test_nobody_is_made_a_service_account_by_signing_up(api: Api) -> None:
    body = {"username": "eve", "email": "eve@example.com", "password": PASSWORD, "is_service": True}
    assert api.post("/auth/signup", body).status_code == 400
    assert not User.objects.exists()
