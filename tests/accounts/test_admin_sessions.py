"""The operator's console and sessions: who sees them, who ends them, and what ends them besides."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.contrib.auth.models import Permission
from django.test import Client
from django.utils import timezone

from accounts.models import RefreshToken, Session, SigningKey, User
from accounts.services import signing_keys
from tests.accounts.conftest import claims_of
from tests.apikeys.forms import form_with
from tests.audit.conftest import events
from tests.conftest import Api
from tests.factories import UserFactory, make_key, pair_of, token_of

SESSIONS, USERS, KEYS = "/admin/accounts/session/", "/admin/accounts/user/", "/admin/accounts/signingkey/"


@pytest.fixture
def operator(db: None) -> User:
    return UserFactory(username="operator", is_staff=True, is_superuser=True)


@pytest.fixture
def console(operator: User) -> Client:
    client = Client(raise_request_exception=False)
    client.force_login(operator)
    return client


def clerk_with(*codenames: str) -> Client:
    """Return the console of an operator with these permissions and no other."""
    clerk = UserFactory(username="clerk", is_staff=True)
    clerk.user_permissions.set(Permission.objects.filter(content_type__app_label="accounts", codename__in=codenames))
    client = Client(raise_request_exception=False)
    client.force_login(clerk)
    return client


def sid(token: str) -> int:
    return int(claims_of(token)["sid"])


def opens(api: Api, *tokens: str) -> list[bool]:
    """Say which tokens open anything."""
    return [api.get("/auth/me", token=token).status_code == 200 for token in tokens]


def act(client: Client, path: str, action: str, *ids: int) -> str:
    """Choose rows of a list, apply an action, and return the page that follows."""
    response = client.post(path, {"action": action, "_selected_action": ids}, follow=True)
    assert response.status_code == 200, response.content
    return str(response.content.decode())


def listed(console: Client, query: str = "") -> list[tuple[str, str]]:
    """Return (user, status) as the list of sessions shows them, in its order."""
    found = console.get(f"{SESSIONS}{query}").context["cl"]
    return [(str(row.user), found.model_admin.shown_status(row)) for row in found.result_list]


# --- The list of sessions -------------------------------------------------------------------------------------------


def test_the_list_shows_sessions_newest_first_with_their_status(console: Client, alice: User, bob: User) -> None:
    tokens = [token_of(alice), token_of(bob), token_of(alice)]
    Session.objects.filter(pk=sid(tokens[0])).update(ended_at=timezone.now())
    Session.objects.filter(pk=sid(tokens[1])).update(expires_at=timezone.now() - timedelta(seconds=1))
    assert listed(console) == [("Alice", "live"), ("bob", "expired"), ("Alice", "ended")]
    page = console.get(SESSIONS).content.decode()
    assert [label in page for label in ("live", "expired", "ended")] == [True] * 3


@pytest.mark.parametrize(
    ("query", "users"),
    [
        pytest.param("alice", ["Alice"], id="name"),
        pytest.param("ALICE@EXAMPLE", ["Alice"], id="e-mail address"),
        pytest.param("203.0.113", ["bob"], id="address"),
        pytest.param("nobody", [], id="nothing"),
        pytest.param("", ["bob", "Alice"], id="all"),
    ],
)
def test_sessions_are_searched_by_user_and_by_address(
    console: Client, alice: User, bob: User, query: str, users: list[str]
) -> None:
    token_of(alice)
    Session.objects.filter(pk=sid(token_of(bob))).update(address="203.0.113.9")
    assert [user for user, _ in listed(console, f"?q={query}")] == users


def test_an_operator_ends_the_chosen_sessions_and_no_other(console: Client, api: Api, alice: User) -> None:
    tokens = [token_of(alice) for _ in range(3)]
    before = len(events())
    page = act(console, SESSIONS, "end_selected", sid(tokens[0]), sid(tokens[1]))
    assert ("Ended 2 of 2 sessions." in page, opens(api, *tokens)) == (True, [False, False, True])
    assert sorted(events()[before:]) == [
        ("session:ended", "operator", f"Alice, session #{sid(token)}", "ended by an operator") for token in tokens[:2]
    ]


def test_a_session_that_has_ended_is_not_ended_again(console: Client, alice: User) -> None:
    number = sid(token_of(alice))
    act(console, SESSIONS, "end_selected", number)
    ended, before = Session.objects.values().get(), len(events())
    assert "Ended 0 of 1 sessions." in act(console, SESSIONS, "end_selected", number)
    assert (Session.objects.values().get(), len(events())) == (ended, before)


def test_the_page_of_a_session_is_there_to_be_read(console: Client, alice: User) -> None:
    number = sid(token_of(alice))
    before = Session.objects.values().get()
    path = f"{SESSIONS}{number}"
    body = {"device": "x", "ended_reason": "x", "post": "yes"}
    answers = [
        console.post(where, body).status_code for where in (f"{SESSIONS}add/", f"{path}/change/", f"{path}/delete/")
    ]
    assert (answers, console.get(f"{path}/change/").status_code) == ([403] * 3, 200)
    assert Session.objects.values().get() == before


def test_no_page_shows_anything_of_a_refresh_token(console: Client, alice: User) -> None:
    pair = pair_of(alice)
    digest, number = bytes(RefreshToken.objects.get().digest), sid(pair.access_token)
    pages = [console.get(path).content.decode() for path in (SESSIONS, f"{SESSIONS}{number}/change/")]
    secrets = [digest.hex(), repr(digest)[2:-1], claims_of(pair.refresh_token)["jti"]]
    assert not [secret for secret in secrets for page in pages if secret in page]
    assert console.get("/admin/accounts/refreshtoken/").status_code == 404


@pytest.mark.parametrize(
    ("permissions", "alive"),
    [
        pytest.param(["view_session"], True, id="may look"),
        pytest.param(
            ["view_session", "change_session", "delete_session"], True, id="may change what cannot be changed"
        ),
        pytest.param(["view_session", "change_user"], False, id="may change users"),
    ],
)
def test_who_may_change_users_ends_sessions(api: Api, alice: User, permissions: list[str], alive: bool) -> None:
    token = token_of(alice)
    clerk = clerk_with(*permissions)
    assert ("end_selected" in clerk.get(SESSIONS).content.decode()) is not alive
    act(clerk, SESSIONS, "end_selected", sid(token))
    assert opens(api, token) == [alive]


@pytest.mark.parametrize("path", [SESSIONS, KEYS, "/admin/accounts/lockout/"])
def test_who_may_nothing_sees_nothing(db: None, path: str) -> None:
    clerk = clerk_with("change_user")
    assert clerk.get(path).status_code == 403
    assert path not in clerk.get("/admin/").content.decode()


# --- From the list of users -----------------------------------------------------------------------------------------


def test_an_operator_ends_all_sessions_of_the_chosen_users_and_the_keys_stay(
    console: Client, api: Api, alice: User, bob: User
) -> None:
    hers, his, key = [token_of(alice), token_of(alice)], token_of(bob), make_key(alice)[1]
    before = len(events())
    page = act(console, USERS, "end_sessions", alice.pk)
    assert ("Sessions ended: 2." in page, opens(api, *hers, his)) == (True, [False, False, True])
    assert events()[before:] == [("session:ended", "operator", "Alice", "2 ended: ended by an operator")]
    assert api.get("/protected/service", key=key).status_code == 200


@pytest.mark.parametrize("action", ["end_sessions", "confirm_addresses"])
def test_who_may_only_look_at_users_does_nothing_to_them(api: Api, alice: User, action: str) -> None:
    token = token_of(alice)
    clerk = clerk_with("view_user", "view_session", "change_session")
    assert action not in clerk.get(USERS).content.decode()
    act(clerk, USERS, action, alice.pk)
    assert (opens(api, token), User.objects.get(pk=alice.pk).email_verified_at) == ([True], None)


def test_who_may_change_users_does_both(api: Api, alice: User) -> None:
    token, clerk = token_of(alice), clerk_with("view_user", "change_user")
    for action in ("end_sessions", "confirm_addresses"):
        act(clerk, USERS, action, alice.pk)
    assert (opens(api, token), User.objects.get(pk=alice.pk).email_verified_at is not None) == ([False], True)


def test_disabling_a_user_ends_the_sessions(console: Client, api: Api, alice: User) -> None:
    token, path = token_of(alice), f"{USERS}{alice.pk}/change/"
    form = form_with(console.get(path), "username")
    assert console.post(path, {name: form[name] for name in form if name != "is_active"}).status_code == 302
    assert opens(api, token) == [False]
    assert Session.objects.get().ended_reason == "user disabled"


# --- Signing keys ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", ["ES256", "RS256", "EdDSA"])
def test_signing_keys_are_shown_without_their_private_half(console: Client, settings: Any, algorithm: str) -> None:
    settings.JWT_ALGORITHM = algorithm
    key = signing_keys.rotate()
    pages = [console.get(path).content.decode() for path in (KEYS, f"{KEYS}{key.pk}/change/")]
    stored = bytes(SigningKey.objects.get().private_key)
    assert [key.kid in page for page in pages] == [True, True]
    assert not [
        text
        for text in (stored.decode(), repr(stored), stored.hex(), "private", "PRIVATE")
        for page in pages
        if text in page
    ]


def test_signing_keys_are_neither_made_nor_changed_nor_deleted_here(console: Client, settings: Any) -> None:
    settings.JWT_ALGORITHM = "ES256"
    with time_machine.travel("2027-01-31T12:00:00Z", tick=False):
        path = f"{KEYS}{signing_keys.rotate().pk}"
    before = list(SigningKey.objects.values())
    paths = (f"{KEYS}add/", f"{path}/change/", f"{path}/delete/")
    assert [console.post(where, {"kid": "x", "post": "yes"}).status_code for where in paths] == [403] * 3
    assert list(SigningKey.objects.values()) == before
