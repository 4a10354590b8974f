"""Rotation in the console: whose key, a secret that is shown once after a redirect, and reloads that rotate nothing."""

from __future__ import annotations

import re
from typing import Any

import pytest
import time_machine
from django.contrib.auth.models import Permission
from django.contrib.sessions.models import Session
from django.core.exceptions import PermissionDenied
from django.test import Client
from django.urls import reverse

from accounts.models import User
from apikeys import services
from apikeys.models import APIKey, Secret
from authsvc.web.one_time import COOKIE
from tests.accounts.mails import sent
from tests.apikeys.conftest import opens
from tests.audit.conftest import events
from tests.factories import UserFactory, make_key, make_role


@pytest.fixture
def robot(db: None) -> User:
    """A service account with a scope."""
    user = UserFactory(username="robot", email=None, is_service=True)
    user.groups.add(make_role("reader", "reports:read"))
    return user


@pytest.fixture
def key(robot: User) -> APIKey:
    return make_key(robot, "export", scopes=["reports:read"])[0]


def page_of(key: APIKey, name: str) -> str:
    return reverse(f"admin:apikeys_apikey_{name}", args=[key.pk])


def clerk(*roles: str) -> Client:
    """Return the console of an operator who may revoke keys, with these roles."""
    user = UserFactory(username="clerk", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=("view_apikey", "revoke_apikey")))
    user.groups.set([make_role(role) for role in roles])
    client = Client(raise_request_exception=False)
    client.force_login(user)
    return client


def form(client: Client, key: APIKey) -> dict[str, str]:
    """Return what the open form of a rotation sends."""
    (in_force,) = re.findall(r'name="in_force" value="(\d+)"', client.get(page_of(key, "rotate_one")).content.decode())
    return {"in_force": in_force, "overlap": "86400"}


def rotate(client: Client, key: APIKey) -> Any:
    return client.post(page_of(key, "rotate_one"), form(client, key))


def secret_in(response: Any) -> list[str]:
    return re.findall(r"sk_\w{49}", response.content.decode())


# --- Shown once -----------------------------------------------------------------------------------------------------


def test_a_secret_is_shown_after_a_redirect_once(console: Client, key: APIKey) -> None:
    response = rotate(console, key)
    assert (response.status_code, response["Location"], secret_in(response)) == (303, page_of(key, "secret"), [])
    morsel = response.cookies[COOKIE]
    assert (morsel["path"], morsel["max-age"], morsel["httponly"], morsel["samesite"]) == (
        page_of(key, "secret"),
        60,
        True,
        "Strict",
    )
    shown = console.get(page_of(key, "secret"))
    (secret,) = secret_in(shown)
    assert ("no-store" in shown["Cache-Control"], shown["Referrer-Policy"], opens(secret)) == (
        True,
        "no-referrer",
        True,
    )
    console.cookies[COOKIE] = morsel.value
    again = console.get(page_of(key, "secret"))
    assert (again.status_code, secret_in(again), "There is no secret" in again.content.decode()) == (200, [], True)
    assert Secret.objects.count() == 2


@pytest.mark.parametrize("secure", [False, True])
def test_the_cookie_is_as_secure_as_the_session_and_holds_no_readable_secret(
    console: Client, key: APIKey, settings: Any, secure: bool
) -> None:
    settings.SESSION_COOKIE_SECURE = secure
    morsel = rotate(console, key).cookies[COOKIE]
    assert bool(morsel["secure"]) is secure
    assert "sk_" not in morsel.value
    stored = str([session.get_decoded() for session in Session.objects.all()])
    assert (morsel.value in stored, "sk_" in stored) == (False, False)


def test_a_reload_of_the_posted_form_rotates_nothing(console: Client, robot: User) -> None:
    key, original = make_key(robot, "production")
    body = form(console, key)
    assert console.post(page_of(key, "rotate_one"), body).status_code == 303
    (new,) = secret_in(console.get(page_of(key, "secret")))
    for _ in range(2):
        again = console.post(page_of(key, "rotate_one"), body)
        assert (again.status_code, "rotated meanwhile" in again.content.decode(), secret_in(again)) == (400, True, [])
    assert (Secret.objects.count(), opens(original), opens(new)) == (2, True, True)
    assert [event for event, *_ in events() if event == "api_key:rotated"] == ["api_key:rotated"]


@pytest.mark.parametrize("in_force", ["", "0", "abc", "9" * 30, "-1"])
def test_a_form_that_names_another_secret_rotates_nothing(console: Client, key: APIKey, in_force: str) -> None:
    response = console.post(page_of(key, "rotate_one"), {"overlap": "0", "in_force": in_force})
    assert (response.status_code, Secret.objects.count()) == (400, 1)


def test_a_browser_that_asks_ahead_or_for_the_head_uses_nothing_up(console: Client, key: APIKey) -> None:
    rotate(console, key)
    path = page_of(key, "secret")
    ahead = [console.get(path, headers={name: "prefetch"}) for name in ("sec-purpose", "purpose")]
    assert [(answer.status_code, answer.content) for answer in (*ahead, console.head(path))] == [(204, b"")] * 3
    assert len(secret_in(console.get(path))) == 1


def test_a_secret_is_shown_to_the_operator_who_made_it_and_for_a_minute(console: Client, key: APIKey) -> None:
    with time_machine.travel("2027-01-31T12:00:00Z", tick=False) as clock:
        console.force_login(User.objects.get(username="operator"))
        value = rotate(console, key).cookies[COOKIE].value
        other = clerk("reader")
        other.cookies[COOKIE] = value
        assert secret_in(other.get(page_of(key, "secret"))) == []
        clock.shift(61)
        console.cookies[COOKIE] = value
        assert secret_in(console.get(page_of(key, "secret"))) == []


@pytest.mark.parametrize("value", ["", "x", "gAAAAA" + "A" * 100, "é"])
def test_a_cookie_that_is_none_shows_nothing(console: Client, key: APIKey, value: str) -> None:
    response = console.generic("GET", page_of(key, "secret"), headers={"cookie": ""})
    assert response.status_code == 302
    console.cookies[COOKIE] = value
    assert secret_in(console.get(page_of(key, "secret"))) == []


def test_a_cookie_shows_nothing_on_another_keys_page(console: Client, robot: User, key: APIKey) -> None:
    other, _ = make_key(robot, "other")
    value = rotate(console, key).cookies[COOKIE].value
    console.cookies.clear()
    console.force_login(User.objects.get(username="operator"))
    console.cookies[COOKIE] = value
    assert secret_in(console.get(page_of(other, "secret"))) == []


# --- Whose key ------------------------------------------------------------------------------------------------------


def test_a_persons_key_is_rotated_by_no_operator(console: Client, alice: User) -> None:
    key, plaintext = make_key(alice)
    page = console.get(page_of(key, "change")).content.decode()
    assert (page_of(key, "rotate_one") in page, page_of(key, "ask_one") in page) == (False, True)
    body = {"overlap": "0", "in_force": str(Secret.objects.get().pk)}
    statuses = [console.get(page_of(key, "rotate_one")).status_code]
    statuses += [
        console.post(page_of(key, "rotate_one"), body).status_code,
        console.get(page_of(key, "secret")).status_code,
    ]
    assert (statuses, Secret.objects.count(), opens(plaintext)) == ([403] * 3, 1, True)
    with pytest.raises(PermissionDenied):
        services.rotate_key(key=key, actor=User.objects.get(username="operator"))


@pytest.mark.parametrize(("roles", "status"), [([], 403), (["reader"], 303)])
def test_a_service_accounts_key_is_rotated_with_scopes_that_the_operator_has(
    key: APIKey, roles: list[str], status: int
) -> None:
    client, body = clerk(*roles), {"overlap": "0", "in_force": str(Secret.objects.get().pk)}
    page = client.get(page_of(key, "change")).content.decode()
    assert (page_of(key, "rotate_one") in page, page_of(key, "ask_one") in page) == (status == 303, False)
    assert client.post(page_of(key, "rotate_one"), body).status_code == status
    assert len(secret_in(client.get(page_of(key, "secret")))) == (status == 303)


def test_an_owner_is_asked_to_rotate_and_no_more_than_three_times_a_day(console: Client, alice: User) -> None:
    key, plaintext = make_key(alice, "nightly")
    before = len(sent())
    assert "Ask Alice by mail" in console.get(page_of(key, "ask_one")).content.decode()
    pages = [console.post(page_of(key, "ask_one"), follow=True).content.decode() for _ in range(4)]
    mails = sent()[before:]
    assert ["asked by mail" in page for page in pages] == [True, True, True, False]
    assert "No mail was sent" in pages[3]
    assert [mail.to for mail in mails] == [["alice@example.com"]] * 3
    assert (plaintext[:11] in mails[0].body, plaintext in mails[0].body) == (True, False)
    asked = [event for event in events() if event[0] == "api_key:rotation_asked"]
    assert asked == [("api_key:rotation_asked", "operator", "nightly", "")] * 3


def test_who_may_not_revoke_keys_asks_nobody(viewer: Client, alice: User, key: APIKey) -> None:
    persons, _ = make_key(alice)
    before = len(sent())
    statuses = [viewer.post(page_of(row, "ask_one")).status_code for row in (persons, key)]
    assert (statuses, viewer.get(page_of(key, "secret")).status_code, len(sent())) == ([403, 403], 403, before)
