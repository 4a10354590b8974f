"""The operator's console over a key's life: switch, rotate, revoke, and the panels that show its use and its record."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.models import User
from apikeys import keys
from apikeys.models import APIKey, Secret
from audit.models import AuditEvent
from tests.conftest import Api
from tests.factories import UserFactory, make_key, token_of

ACTIONS = ("toggle_enabled", "rotate_one", "revoke_one")
LIST = "/admin/apikeys/apikey/"


@pytest.fixture
def operator(db: None) -> Client:
    """A browser in which an operator with every permission is logged in."""
    client = Client(raise_request_exception=False)
    client.force_login(UserFactory(username="operator", is_staff=True, is_superuser=True))
    return client


def page_of(key: APIKey, name: str = "change") -> str:
    return reverse(f"admin:apikeys_apikey_{name}", args=[key.pk])


def opens(api: Api, plaintext: str) -> bool:
    return bool(api.get("/protected/service", key=plaintext).status_code == 200)


@pytest.fixture
def robot(db: None) -> User:
    """A service account, whose keys operators may rotate."""
    return UserFactory(username="robot", email=None, is_service=True)


def rotation(client: Client, key: APIKey, overlap: str = "0") -> dict[str, str]:
    """Return what the form of a rotation sends: the secret that it is about, and an overlap."""
    page = client.get(page_of(key, "rotate_one")).content.decode()
    found = re.search(r'name="in_force" value="(\d+)"', page)
    return {"overlap": overlap, **({"in_force": found[1]} if found else {})}


def history() -> list[str]:
    return [entry.change_message for entry in LogEntry.objects.order_by("id")]


def clerk(*permissions: str) -> Client:
    """Return a browser of an operator with these permissions alone."""
    user = UserFactory(is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = Client(raise_request_exception=False)
    client.force_login(user)
    return client


def test_an_operator_disables_a_key_and_enables_it_again(api: Api, operator: Client, alice: User) -> None:
    key, plaintext = make_key(alice)
    asked = operator.get(page_of(key, "toggle_enabled"))
    assert (asked.status_code, "no-store" in asked["Cache-Control"], opens(api, plaintext)) == (200, True, True)
    assert 'name="enable" value="no"' in asked.content.decode()
    done = operator.post(page_of(key, "toggle_enabled"), {"enable": "no"})
    assert (done.status_code, done["Location"], opens(api, plaintext)) == (302, page_of(key), False)
    assert 'name="enable" value="yes"' in operator.get(page_of(key, "toggle_enabled")).content.decode()
    operator.post(page_of(key, "toggle_enabled"), {"enable": "yes"})
    assert (opens(api, plaintext), history()) == (True, ["Disabled.", "Enabled."])
    events = AuditEvent.objects.filter(actor_name="operator", subject_id=key.pk).order_by("id")
    assert [event.event for event in events] == ["api_key:disabled", "api_key:enabled"]


def test_a_revoked_key_is_neither_switched_nor_rotated(operator: Client, alice: User, robot: User) -> None:
    key, _ = make_key(alice, is_enabled=False, revoked_at=timezone.now())
    switched = operator.post(page_of(key, "toggle_enabled"), {"enable": "yes"}, follow=True)
    assert "The key is revoked and cannot be changed." in switched.content.decode()
    robots, _ = make_key(robot, revoked_at=timezone.now())
    rotated = operator.post(page_of(robots, "rotate_one"), rotation(operator, robots))
    assert (rotated.status_code, "The key is revoked and cannot be rotated." in rotated.content.decode()) == (400, True)
    assert (APIKey.objects.get(pk=key.pk).is_enabled, Secret.objects.count(), history()) == (False, 2, [])


def test_a_rotation_shows_the_new_secret_once_and_keeps_it_nowhere(api: Api, operator: Client, robot: User) -> None:
    key, old = make_key(robot, "export")
    asked = operator.get(page_of(key, "rotate_one"))
    assert (asked.status_code, 'value="86400"' in asked.content.decode()) == (200, True)
    shown = operator.post(page_of(key, "rotate_one"), rotation(operator, key), follow=True)
    (new,) = re.findall(r'id="new-secret">(sk_\w{49})<', shown.content.decode())
    assert (shown.status_code, "no-store" in shown["Cache-Control"]) == (200, True)
    assert (opens(api, new), opens(api, old)) == (True, False)
    later = [operator.get(path).content.decode() for path in (page_of(key), page_of(key, "history"), LIST)]
    kept = [*later, str(LogEntry.objects.values_list()), str(AuditEvent.objects.values_list())]
    assert not any(secret in text for text in kept for secret in (new, old, new[11:], keys.digest(new).hex()))
    assert history() == ["Rotated."]
    assert AuditEvent.objects.get(event="api_key:rotated").actor_name == "operator"


@pytest.mark.parametrize(
    "overlap",
    ["", "x", "-1", "1.5", "2592001", "9" * 400, "٣", "²", "1 0", "0x10"],
    ids=["nothing", "word", "negative", "fraction", "long", "endless", "digit", "power", "two", "hex"],
)
def test_an_overlap_that_cannot_be_is_asked_for_again(api: Api, operator: Client, robot: User, overlap: str) -> None:
    key, plaintext = make_key(robot)
    response = operator.post(page_of(key, "rotate_one"), rotation(operator, key, overlap))
    sentence = "An outgoing secret lives on for 0 to 2592000 seconds."
    assert (response.status_code, sentence in response.content.decode()) == (400, True)
    assert (opens(api, plaintext), Secret.objects.count(), history()) == (True, 1, [])


def test_a_revocation_keeps_its_reason(api: Api, operator: Client, alice: User) -> None:
    key, plaintext = make_key(alice)
    asked = operator.get(page_of(key, "revoke_one"))
    assert (asked.status_code, opens(api, plaintext)) == (200, True)
    done = operator.post(page_of(key, "revoke_one"), {"confirm": "yes", "reason": "<b>left</b> "}, follow=True)
    row = APIKey.objects.get()
    assert (opens(api, plaintext), row.revoked_reason, history()) == (False, "<b>left</b>", ["Revoked. <b>left</b>"])
    assert "<b>left</b>" not in done.content.decode()
    assert "Revoked 1 of 1 API keys." in done.content.decode()
    again = operator.post(page_of(key, "revoke_one"), {"confirm": "yes", "reason": "other"}, follow=True)
    assert "1 had been revoked before." in again.content.decode()
    assert (APIKey.objects.get().revoked_at, len(history())) == (row.revoked_at, 1)


@pytest.mark.parametrize("reason", ["a\nb", "\x1b[31m", "\u202e", "x" * 201], ids=["lines", "colour", "turn", "long"])
def test_a_reason_that_is_not_one_short_line_revokes_nothing(
    api: Api, operator: Client, alice: User, reason: str
) -> None:
    key, plaintext = make_key(alice)
    response = operator.post(page_of(key, "revoke_one"), {"confirm": "yes", "reason": reason})
    assert (response.status_code, opens(api, plaintext), history()) == (400, True, [])
    assert "A reason is one line of at most 200 characters." in response.content.decode()


def test_many_are_revoked_together_after_a_question(api: Api, operator: Client, alice: User, bob: User) -> None:
    made = [make_key(alice, "one"), make_key(bob, "two"), make_key(bob, "three", revoked_at=timezone.now())]
    _, spared = make_key(bob, "four")
    chosen: dict[str, Any] = {"action": "revoke_selected", "_selected_action": [key.pk for key, _ in made]}
    asked = operator.post(LIST, chosen)
    assert (asked.status_code, opens(api, made[0][1]), opens(api, made[1][1])) == (200, True, True)
    assert "Revoke 3 API keys?" in asked.content.decode()
    done = operator.post(LIST, {**chosen, "confirm": "yes", "reason": "leaver"}, follow=True)
    assert "Revoked 2 of 3 API keys." in done.content.decode()
    assert [opens(api, text) for _, text in made] == [False] * 3
    assert (opens(api, spared), history()) == (True, ["Revoked. leaver"] * 2)


@pytest.mark.parametrize("action", ACTIONS)
def test_looking_at_an_action_changes_nothing(api: Api, operator: Client, robot: User, action: str) -> None:
    key, plaintext = make_key(robot)
    before = APIKey.objects.values().get()
    query = "?confirm=yes&enable=no&overlap=0&reason=x"
    assert operator.get(page_of(key, action) + query).status_code == 200
    assert operator.head(page_of(key, action) + query).status_code == 200
    assert (APIKey.objects.values().get(), Secret.objects.count(), opens(api, plaintext)) == (before, 1, True)


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize(
    "permissions", [(), ("view_apikey",), ("view_apikey", "change_apikey", "delete_apikey", "add_apikey")]
)
def test_without_the_permission_no_action_is_to_be_had(
    api: Api, robot: User, action: str, permissions: tuple[str, ...]
) -> None:
    key, plaintext = make_key(robot)
    client = clerk(*permissions)
    assert client.get(page_of(key, action)).status_code == 403
    posted = client.post(page_of(key, action), {"confirm": "yes", "enable": "no", "overlap": "0"})
    assert (posted.status_code, opens(api, plaintext), Secret.objects.count()) == (403, True, 1)
    selected = {"action": "revoke_selected", "_selected_action": [key.pk], "confirm": "yes"}
    assert client.post(LIST, selected).status_code in {200, 302, 403}
    assert opens(api, plaintext)


@pytest.mark.parametrize("action", ACTIONS)
def test_the_permission_is_enough_and_who_is_not_logged_in_is_sent_away(api: Api, robot: User, action: str) -> None:
    key, plaintext = make_key(robot)
    body = {"confirm": "yes", "enable": "no", "overlap": "0"}
    assert Client().post(page_of(key, action), body)["Location"].startswith("/admin/login/")
    assert opens(api, plaintext)
    client = clerk("view_apikey", "revoke_apikey")
    sent = {**body, **(rotation(client, key) if action == "rotate_one" else {})}
    assert client.post(page_of(key, action), sent).status_code in {200, 302, 303}
    assert not opens(api, plaintext)


@pytest.mark.parametrize("action", ACTIONS)
def test_a_forged_form_does_nothing(api: Api, operator: Client, robot: User, action: str) -> None:
    key, plaintext = make_key(robot)
    forged = Client(enforce_csrf_checks=True)
    forged.cookies = operator.cookies
    body = {"confirm": "yes", "enable": "no", "overlap": "0"}
    assert (forged.post(page_of(key, action), body).status_code, opens(api, plaintext)) == (403, True)
    page = forged.get(page_of(key, action)).content.decode()
    (token,) = set(re.findall(r'<form method="post".*?name="csrfmiddlewaretoken" value="(\w+)"', page, re.DOTALL))
    sent = {**body, **(rotation(forged, key) if action == "rotate_one" else {}), "csrfmiddlewaretoken": token}
    assert forged.post(page_of(key, action), sent).status_code in {200, 302, 303}


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("object_id", ["999999999", "x", "9" * 30])
def test_an_action_on_no_key_is_not_found(operator: Client, action: str, object_id: str) -> None:
    path = reverse(f"admin:apikeys_apikey_{action}", args=[object_id])
    assert operator.get(path).status_code == 404
    assert operator.post(path, {"confirm": "yes"}).status_code == 404


def test_a_key_is_shown_with_its_secrets_its_use_and_its_record_and_no_digest(
    api: Api, operator: Client, alice: User
) -> None:
    key, old = make_key(alice, "export", allowed_ips=["127.0.0.0/8"], rate_limit="9/hour", metadata={"team": "data"})
    new = api.post(f"/keys/{key.pk}/rotate", {}, token=token_of(alice)).json()["key"]
    assert [opens(api, old), opens(api, new), opens(api, new)] == [True] * 3
    shown = operator.get(page_of(key)).content.decode()
    text = " ".join(re.sub(r"<[^>]*>", " ", shown).split())
    for part in (old[:11], new[:11], "127.0.0.0/8", "9/hour", "team", "api_key:rotated", "api_key:first_used"):
        assert part in text
    assert f"{timezone.now():%Y-%m-%d} 3 0 0 0 0 0 0" in text
    digests = [bytes(digest).hex() for (digest,) in Secret.objects.values_list("digest")]
    assert not any(secret in shown for secret in (old, new, *digests))
    assert "csrfmiddlewaretoken" not in shown or 'name="_save"' not in shown


def test_a_key_that_was_never_used_says_so(operator: Client, alice: User) -> None:
    key, _ = make_key(alice)
    shown = operator.get(page_of(key)).content.decode()
    assert "Not used in the last 30 days." in shown
    assert "api_key:issued" in shown


@pytest.mark.parametrize("field", ["revoked_at", "is_enabled", "scope", "allowed_ips", "rate_limit", "name"])
def test_a_key_is_changed_by_its_actions_and_by_no_form(operator: Client, alice: User, field: str) -> None:
    key, _ = make_key(alice, revoked_at=timezone.now())
    before = APIKey.objects.values().get()
    assert operator.post(page_of(key), {field: ""}).status_code == 403
    assert operator.post(reverse("admin:apikeys_apikey_delete", args=[key.pk]), {"post": "yes"}).status_code == 403
    assert operator.get(f"{LIST}add/").status_code == 403
    assert APIKey.objects.values().get() == before


@pytest.mark.parametrize(
    ("query", "names"),
    [
        pytest.param("", {"active", "off", "soon", "expired", "revoked"}, id="all"),
        pytest.param("?status=active", {"active", "off", "soon"}, id="active"),
        pytest.param("?status=expired", {"expired"}, id="expired"),
        pytest.param("?status=revoked", {"revoked"}, id="revoked"),
        pytest.param("?status=lost", {"active", "off", "soon", "expired", "revoked"}, id="unknown status"),
        pytest.param("?expires_within=7", {"soon"}, id="within a week"),
        pytest.param("?expires_within=8", {"active", "off", "soon", "expired", "revoked"}, id="unknown span"),
        pytest.param("?is_enabled__exact=0", {"off"}, id="disabled"),
        pytest.param("?q=alice", {"active", "off", "soon", "expired", "revoked"}, id="owner"),
        pytest.param("?q=sk_", {"active", "off", "soon", "expired", "revoked"}, id="beginning"),
        pytest.param("?q=nobody", set(), id="nobody"),
    ],
)
def test_the_list_is_filtered_and_searched(operator: Client, alice: User, query: str, names: set[str]) -> None:
    now = timezone.now()
    make_key(alice, "active")
    make_key(alice, "off", is_enabled=False)
    make_key(alice, "soon", expires_at=now + timedelta(days=6))
    make_key(alice, "expired", expires_at=now - timedelta(days=1))
    make_key(alice, "revoked", revoked_at=now)
    response = operator.get(LIST + query)
    assert response.status_code == 200
    assert {key.name for key in response.context["cl"].result_list} == names


def test_a_rotated_key_is_found_by_either_secret_and_listed_once(api: Api, operator: Client, alice: User) -> None:
    key, old = make_key(alice)
    new = api.post(f"/keys/{key.pk}/rotate", {}, token=token_of(alice)).json()["key"]
    for query in (old[:11], new[:11], "sk_"):
        found = operator.get(LIST, {"q": query}).context["cl"].result_list
        assert [(row.pk, row.prefix) for row in found] == [(key.pk, new[:11])]
