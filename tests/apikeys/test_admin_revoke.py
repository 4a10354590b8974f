"""Revoking keys in the console: what a browser sends, what is written down, and what must not get through."""

from __future__ import annotations

import re
from functools import partial
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission
from django.test import Client

from accounts.models import User
from apikeys import services
from apikeys.models import APIKey
from audit.models import AuditEvent
from tests.apikeys.conftest import CarolsKey, in_parallel
from tests.apikeys.forms import form_with
from tests.conftest import BAD_CREDENTIAL, Api
from tests.factories import UserFactory, make_key

LIST = "/admin/apikeys/apikey/"
Made = tuple[APIKey, str]


@pytest.fixture
def made(alice: User) -> Made:
    return make_key(alice, "nightly export")


def revoked(*keys: APIKey) -> list[bool]:
    """Say of each key whether it is revoked by now."""
    ended = set(APIKey.objects.filter(revoked_at__isnull=False).values_list("pk", flat=True))
    return [key.pk in ended for key in keys]


def messages(response: Any) -> list[str]:
    """Return what a page tells the operator about what was just done."""
    return [str(message) for message in response.context["messages"]]


def test_one_key_is_revoked_by_the_form_that_asks_for_it_and_the_very_next_request_is_refused(
    console: Client, operator: User, api: Api, made: Made
) -> None:
    (key, plaintext), path = made, f"{LIST}{made[0].pk}/revoke/"
    asked = console.get(path)
    assert (asked.status_code, revoked(key)) == (200, [False])
    done = console.post(path, {**form_with(asked, "reason"), "reason": " left & gone ", "confirm": "yes"})
    assert api.get("/protected/service", key=plaintext).json() == BAD_CREDENTIAL
    assert (done.status_code, done["Location"]) == (302, f"{LIST}{key.pk}/change/")
    key.refresh_from_db()
    assert key.revoked_reason == "left & gone"
    entry, event = LogEntry.objects.get(), AuditEvent.objects.get(event="api_key:revoked")
    assert (entry.user, entry.object_id, entry.object_repr) == (operator, str(key.pk), str(key))
    assert (event.actor_name, event.subject_id, event.reason) == ("operator", key.pk, "left & gone")
    assert "left &amp; gone" in console.get(f"{LIST}{key.pk}/history/").content.decode()


def test_asking_without_the_word_that_confirms_revokes_nothing(console: Client, made: Made) -> None:
    response = console.post(f"{LIST}{made[0].pk}/revoke/", {"reason": "a reason"})
    assert (response.status_code, revoked(made[0])) == (200, [False])
    assert 'value="a reason"' in response.content.decode()


def test_a_second_revocation_changes_nothing_and_says_so(console: Client, made: Made) -> None:
    key, _ = made
    services.revoke_key(key=key, reason="the first")
    before = APIKey.objects.values().get()
    response = console.post(f"{LIST}{key.pk}/revoke/", {"reason": "the second", "confirm": "yes"}, follow=True)
    assert messages(response) == ["Revoked 0 of 1 API keys.", "1 had been revoked before."]
    assert APIKey.objects.values().get() == before
    assert not LogEntry.objects.exists()


BAD_REASONS = [
    pytest.param("r" * 201, id="201 characters"),
    pytest.param("two\nlines", id="newline"),
    pytest.param("a\x00b", id="NUL"),
    pytest.param("a\x1b[0mb", id="escape"),
    pytest.param("a\u202eb", id="bidi override"),
]


@pytest.mark.parametrize("reason", BAD_REASONS)
def test_a_reason_that_cannot_be_kept_is_a_400_and_revokes_none_of_many(
    console: Client, alice: User, made: Made, reason: str
) -> None:
    keys = [made[0], make_key(alice)[0]]
    body = {"action": "revoke_selected", "_selected_action": [key.pk for key in keys], "confirm": "yes"}
    response = console.post(LIST, {**body, "reason": reason})
    assert response.status_code == 400
    assert 'role="alert">A reason is one line of at most 200 characters.' in response.content.decode()
    assert revoked(*keys) == [False, False]
    assert not LogEntry.objects.exists()


def test_after_a_bad_reason_the_same_form_can_be_sent_again(console: Client, made: Made) -> None:
    path = f"{LIST}{made[0].pk}/revoke/"
    refused = console.post(path, {"reason": "<b>\x00", "confirm": "yes"})
    again = console.post(path, {**form_with(refused, "reason"), "reason": "better", "confirm": "yes"})
    assert "<b>" not in re.sub(r"<svg.*?</svg>", "", refused.content.decode())
    assert (again.status_code, revoked(made[0])) == (302, [True])


def test_many_are_revoked_by_the_form_and_the_filtered_list_comes_back(
    console: Client, alice: User, bob: User, made: Made
) -> None:
    keys = [made[0], make_key(bob)[0]]
    spared, before = make_key(alice)[0], make_key(bob)[0]
    services.revoke_key(key=before)
    chosen = [key.pk for key in (*keys, before)]
    asked = console.post(f"{LIST}?q=example", {"action": "revoke_selected", "_selected_action": chosen})
    done = console.post(f"{LIST}?q=example", {**form_with(asked, "reason"), "confirm": "yes"}, follow=True)
    assert done.redirect_chain == [(f"{LIST}?q=example", 302)]
    assert messages(done) == ["Revoked 2 of 3 API keys.", "1 had been revoked before."]
    assert revoked(*keys, spared) == [True, True, False]
    assert sorted(LogEntry.objects.values_list("object_id", flat=True)) == sorted(str(key.pk) for key in keys)


def test_a_choice_outside_the_filter_of_the_list_is_not_revoked(console: Client, alice: User, bob: User) -> None:
    alices, bobs = make_key(alice)[0], make_key(bob)[0]
    body = {"action": "revoke_selected", "_selected_action": [alices.pk, bobs.pk], "confirm": "yes"}
    assert console.post(f"{LIST}?q=alice", body).status_code == 302
    assert revoked(alices, bobs) == [True, False]


def test_all_the_keys_of_a_leak_are_revoked_in_one_go_however_many(console: Client, alice: User) -> None:
    keys = [make_key(alice, f"key {number}")[0] for number in range(1001)]
    everything = {"action": "revoke_selected", "_selected_action": [keys[0].pk], "select_across": "1"}
    asked = console.post(LIST, everything)
    assert "Revoke 1001 API keys?" in asked.content.decode()
    done = console.post(LIST, {**form_with(asked, "reason"), "confirm": "yes"})
    assert (done.status_code, revoked(*keys)) == (302, [True] * 1001)


@pytest.mark.parametrize("chosen", ["abc", "", "0", "-1", "9" * 19, "9" * 30, "1.5", "\x00", "%"], ids=repr)
def test_a_choice_that_is_no_key_revokes_nothing_and_breaks_nothing(console: Client, made: Made, chosen: str) -> None:
    response = console.post(LIST, {"action": "revoke_selected", "_selected_action": [chosen], "confirm": "yes"})
    assert response.status_code in {200, 302, 400, 404}
    assert revoked(made[0]) == [False]


def test_no_choice_at_all_revokes_nothing(console: Client, made: Made) -> None:
    response = console.post(LIST, {"action": "revoke_selected", "confirm": "yes"}, follow=True)
    assert response.status_code == 200
    assert revoked(made[0]) == [False]


def test_an_operator_who_may_look_cannot_revoke_by_any_address(viewer: Client, made: Made) -> None:
    body = {"reason": "x", "confirm": "yes", "action": "revoke_selected", "_selected_action": [made[0].pk]}
    assert viewer.post(f"{LIST}{made[0].pk}/revoke/", body).status_code == 403
    assert viewer.post(LIST, body).status_code in {200, 302, 403}
    assert revoked(made[0]) == [False]
    assert not LogEntry.objects.exists()


def test_an_operator_with_the_one_permission_can(db: None, made: Made) -> None:
    clerk = UserFactory(is_staff=True)
    clerk.user_permissions.set(Permission.objects.filter(codename__in=["view_apikey", "revoke_apikey"]))
    console = Client()
    console.force_login(clerk)
    assert f"{LIST}{made[0].pk}/revoke/" in console.get(f"{LIST}{made[0].pk}/change/").content.decode()
    assert console.post(f"{LIST}{made[0].pk}/revoke/", {"confirm": "yes"}).status_code == 302
    assert revoked(made[0]) == [True]


@pytest.mark.parametrize("owner", [False, True], ids=["stranger", "the owner"])
def test_whoever_is_no_operator_is_sent_to_the_login_and_revokes_nothing(alice: User, made: Made, owner: bool) -> None:
    client = Client()
    for user in [alice] * owner:
        client.force_login(user)
    answers = [client.post(path, {"confirm": "yes"}) for path in (LIST, f"{LIST}{made[0].pk}/revoke/")]
    assert [answer["Location"].split("?")[0] for answer in answers] == ["/admin/login/"] * 2
    assert revoked(made[0]) == [False]


@pytest.mark.parametrize("path", [LIST, f"{LIST}{{id}}/revoke/"], ids=["many", "one"])
def test_a_form_from_elsewhere_revokes_nothing(operator: User, made: Made, path: str) -> None:
    console = Client(enforce_csrf_checks=True)
    console.force_login(operator)
    body = {"confirm": "yes", "action": "revoke_selected", "_selected_action": [made[0].pk]}
    forged = [
        console.post(path.format(id=made[0].pk), {**body, "csrfmiddlewaretoken": token}) for token in ("", "x" * 64)
    ]
    assert [response.status_code for response in forged] == [403, 403]
    assert revoked(made[0]) == [False]


def test_the_form_of_the_page_itself_passes_the_check(operator: User, made: Made) -> None:
    console, path = Client(enforce_csrf_checks=True), f"{LIST}{made[0].pk}/revoke/"
    console.force_login(operator)
    done = console.post(path, {**form_with(console.get(path), "reason"), "confirm": "yes"})
    assert (done.status_code, revoked(made[0])) == (302, [True])


def test_an_operator_who_is_disabled_is_out_at_once(console: Client, operator: User, made: Made) -> None:
    User.objects.filter(pk=operator.pk).update(is_active=False)
    response = console.post(f"{LIST}{made[0].pk}/revoke/", {"confirm": "yes"})
    assert (response.status_code, revoked(made[0])) == (302, [False])
    assert response["Location"].startswith("/admin/login/")


def test_of_operators_who_revoke_at_once_one_does_and_the_history_says_so_once(carols_key: CarolsKey) -> None:
    key, consoles = carols_key[0], []
    for operator in UserFactory.create_batch(5, is_staff=True, is_superuser=True):
        consoles.append(Client(raise_request_exception=False))
        consoles[-1].force_login(operator)
    path = f"{LIST}{key.pk}/revoke/"
    answers = in_parallel([partial(console.post, path, {"confirm": "yes"}) for console in consoles])
    assert [answer.status_code for answer in answers] == [302] * 5
    assert LogEntry.objects.filter(object_id=str(key.pk)).count() == 1
    assert AuditEvent.objects.filter(event="api_key:revoked", subject_id=key.pk).count() == 1
