"""Rotation in place: the key stays what it is, its secret changes, and the old one ends when it was said to."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine

from accounts.models import User
from apikeys import keys
from apikeys.models import APIKey, Secret
from audit.models import AuditEvent
from tests.conftest import BAD_CREDENTIAL, NO_CREDENTIAL, NOT_FOUND, Api, errors_of
from tests.factories import make_key, make_role, token_of

NOW = datetime(2028, 2, 28, 12, tzinfo=UTC)  # the day before a leap day
DAY, INSTANT = timedelta(days=1), timedelta(microseconds=1)


@pytest.fixture
def clock() -> Iterator[Any]:
    """A clock that only the test moves."""
    with time_machine.travel(NOW, tick=False) as clock:
        yield clock


def rotate(api: Api, key: APIKey, body: Any = None) -> Any:
    return api.post(f"/keys/{key.pk}/rotate", body, token=token_of(key.owner))


def rotated(api: Api, key: APIKey, **body: Any) -> str:
    response = rotate(api, key, body)
    assert response.status_code == 201, response.json()
    return str(response.json()["key"])


def opens(api: Api, plaintext: str) -> bool:
    return bool(api.get("/protected/service", key=plaintext).status_code == 200)


def iso(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def test_a_rotated_key_is_the_same_key_with_a_new_secret_and_a_new_expiry(api: Api, clock: Any, alice: User) -> None:
    alice.groups.add(make_role("analyst", "reports:read"))
    limits = {"scopes": ["reports:read"], "allowed_ips": ["127.0.0.0/8"], "rate_limit": "9/hour"}
    key, old = make_key(alice, "export", expires_in_days=10, metadata={"team": "data"}, **limits)
    assert opens(api, old)
    clock.shift(3 * DAY)
    before = api.get(f"/keys/{key.pk}", token=token_of(alice)).json()
    response = rotate(api, key)
    body = response.json()
    assert (response.status_code, response["Cache-Control"]) == (201, "no-store")
    assert keys.is_well_formed(body["key"])
    new = {"key": body["key"], "prefix": body["key"][:11], "expires_at": iso(NOW + 13 * DAY)}
    assert body == {**before, **new}
    assert before["last_used_at"] == iso(NOW)


def test_the_new_plaintext_is_shown_this_once_and_the_old_prefix_is_gone(api: Api, alice: User) -> None:
    key, old = make_key(alice)
    new = rotated(api, key)
    shown = api.get(f"/keys/{key.pk}", token=token_of(alice))
    assert shown.json()["prefix"] == new[:11]
    assert new not in shown.content.decode()
    assert old[:11] not in shown.content.decode()


def test_the_life_asked_for_at_a_rotation_is_the_one_that_later_rotations_give(
    api: Api, clock: Any, alice: User
) -> None:
    key, _ = make_key(alice, expires_in_days=10)
    rotated(api, key, expires_in_days=5)
    clock.shift(2 * DAY)
    assert rotate(api, key).json()["expires_at"] == iso(NOW + 7 * DAY)
    clock.shift(DAY)
    assert rotate(api, key, {"expires_in_days": 1}).json()["expires_at"] == iso(NOW + 4 * DAY)


@pytest.mark.parametrize(
    ("body", "overlap"),
    [
        pytest.param(None, DAY, id="nothing sent"),
        pytest.param({}, DAY, id="default"),
        pytest.param({"overlap_seconds": 1}, timedelta(seconds=1), id="a second"),
        pytest.param({"overlap_seconds": 2_592_000}, 30 * DAY, id="30 days"),
        pytest.param({"overlap_seconds": 60, "retire_old": "after_overlap"}, timedelta(minutes=1), id="said in full"),
        pytest.param({"overlap_seconds": 60, "retire_old": "on_first_use"}, timedelta(minutes=1), id="not used"),
    ],
)
def test_the_old_secret_lives_through_the_overlap_and_ends_with_it(
    api: Api, clock: Any, alice: User, body: Any, overlap: timedelta
) -> None:
    key, old = make_key(alice)
    new = rotate(api, key, body).json()["key"]
    clock.move_to(NOW + overlap - INSTANT)
    assert opens(api, old)
    clock.move_to(NOW + overlap)
    assert api.get("/protected/service", key=old).json() == BAD_CREDENTIAL
    assert opens(api, new)


def test_without_an_overlap_the_old_secret_ends_at_once(api: Api, alice: User) -> None:
    key, old = make_key(alice)
    new = rotated(api, key, overlap_seconds=0)
    assert (opens(api, old), opens(api, new)) == (False, True)
    assert not Secret.objects.exclude(retires_at=None).filter(retires_at__gt=datetime.now(UTC)).exists()


def test_the_first_use_of_the_new_secret_ends_the_old_one_where_that_was_asked_for(api: Api, alice: User) -> None:
    key, old = make_key(alice)
    new = rotated(api, key, retire_old="on_first_use")
    assert [opens(api, old), opens(api, old), opens(api, new), opens(api, old), opens(api, new)] == [
        *(True, True, True),
        *(False, True),
    ]
    events = AuditEvent.objects.filter(event="api_key:outgoing_secret_retired")
    assert [(event.subject_id, event.reason) for event in events] == [(key.pk, "the new secret was used")]


def test_the_first_use_ends_nothing_where_it_was_not_asked_for_or_the_overlap_is_over(
    api: Api, clock: Any, alice: User
) -> None:
    key, old = make_key(alice)
    new = rotated(api, key)
    assert [opens(api, new), opens(api, old)] == [True, True]
    newest = rotated(api, key, retire_old="on_first_use", overlap_seconds=5)
    clock.shift(5)
    assert [opens(api, new), opens(api, newest)] == [False, True]
    assert not AuditEvent.objects.filter(event="api_key:outgoing_secret_retired").exists()


def test_a_second_rotation_ends_the_oldest_secret_at_once(api: Api, alice: User) -> None:
    key, first = make_key(alice)
    second, third = rotated(api, key), rotated(api, key)
    assert [opens(api, first), opens(api, second), opens(api, third)] == [False, True, True]
    assert AuditEvent.objects.filter(event="api_key:rotated", subject_id=key.pk).count() == 2


def test_a_later_rotation_decides_how_the_old_secret_ends(api: Api, alice: User) -> None:
    key, _ = make_key(alice)
    second = rotated(api, key, retire_old="on_first_use")
    third = rotated(api, key, retire_old="after_overlap")
    assert [opens(api, third), opens(api, second)] == [True, True]
    fourth = rotated(api, key, retire_old="on_first_use")
    assert [opens(api, second), opens(api, third), opens(api, fourth), opens(api, third)] == [False, True, True, False]


@pytest.mark.parametrize(
    ("body", "errors"),
    [
        pytest.param({"overlap_seconds": 2_592_001}, [("overlap_seconds", "out_of_range")], id="over 30 days"),
        pytest.param({"overlap_seconds": -1}, [("overlap_seconds", "out_of_range")], id="negative"),
        pytest.param({"overlap_seconds": 10**30}, [("overlap_seconds", "out_of_range")], id="an age"),
        pytest.param({"overlap_seconds": "1"}, [("overlap_seconds", "invalid")], id="text"),
        pytest.param({"overlap_seconds": True}, [("overlap_seconds", "invalid")], id="truth"),
        pytest.param({"overlap_seconds": 1.0}, [("overlap_seconds", "invalid")], id="fraction"),
        pytest.param({"overlap_seconds": None}, [("overlap_seconds", "null")], id="null"),
        pytest.param({"retire_old": "sometimes"}, [("retire_old", "invalid_choice")], id="unknown word"),
        pytest.param({"retire_old": "ON_FIRST_USE"}, [("retire_old", "invalid_choice")], id="capitals"),
        pytest.param({"retire_old": None}, [("retire_old", "null")], id="null word"),
        pytest.param({"retire_old": {"a": 1}}, [("retire_old", "invalid_choice")], id="object for a word"),
        pytest.param({"retire_old": "\ud800"}, [("retire_old", "invalid_choice")], id="half a character"),
        pytest.param({"expires_in_days": 0}, [("expires_in_days", "out_of_range")], id="no life"),
        pytest.param({"expires_in_days": 3651}, [("expires_in_days", "out_of_range")], id="too long a life"),
        pytest.param({"expires_in_days": 10**30}, [("expires_in_days", "out_of_range")], id="life without end"),
        pytest.param({"expires_in_days": "5"}, [("expires_in_days", "invalid")], id="life in words"),
        pytest.param({"overlap": 5}, [("overlap", "unknown")], id="misspelt field"),
        pytest.param({"\ud800": 5}, [("\ufffd", "unknown")], id="half a character for a field"),
        pytest.param({"name": "other"}, [("name", "unknown")], id="field of another route"),
        pytest.param([], [("body", "invalid")], id="array"),
        pytest.param("null", [("body", "null")], id="null body"),
        pytest.param("7", [("body", "invalid")], id="number"),
        pytest.param('"rotate"', [("body", "invalid")], id="string"),
    ],
)
def test_a_wrong_body_is_named_and_rotates_nothing(api: Api, alice: User, body: Any, errors: list[Any]) -> None:
    key, old = make_key(alice)
    before = APIKey.objects.filter(pk=key.pk).values().get()
    assert [code for _, code in errors_of(rotate(api, key, body))] == [code for _, code in errors]
    assert APIKey.objects.filter(pk=key.pk).values().get() == before
    assert Secret.objects.filter(api_key=key, retires_at=None).count() == Secret.objects.count() == 1
    assert opens(api, old)
    assert not AuditEvent.objects.filter(event="api_key:rotated").exists()


def test_a_wrong_body_names_its_field(api: Api, alice: User) -> None:
    key, _ = make_key(alice)
    wrong = {"overlap_seconds": "1", "retire_old": "x", "expires_in_days": "1"}
    assert [field for field, _ in errors_of(rotate(api, key, wrong))] == [
        *("overlap_seconds", "retire_old", "expires_in_days"),
    ]
    assert errors_of(rotate(api, key, {"overlap_seconds": -1})) == [("overlap_seconds", "out_of_range")]


def test_a_key_rotates_itself_and_its_outgoing_secret_does_not(api: Api, alice: User) -> None:
    key, old = make_key(alice)
    response = api.post(f"/keys/{key.pk}/rotate", {}, key=old)
    new = response.json()["key"]
    assert (response.status_code, response.json()["id"], opens(api, new)) == (201, key.pk, True)
    refused = api.post(f"/keys/{key.pk}/rotate", {}, key=old)
    assert refused.json() == {
        "type": "about:blank",
        "title": "Forbidden",
        "status": 403,
        "detail": "An outgoing secret cannot rotate its key.",
    }
    assert Secret.objects.filter(api_key=key).count() == 2
    assert AuditEvent.objects.filter(event="api_key:rotated", actor_id=alice.pk).count() == 1


def test_a_key_rotates_no_other_key_even_of_the_same_owner(api: Api, alice: User, bob: User) -> None:
    (mine, _), (theirs, _) = make_key(alice, "mine"), make_key(bob, "theirs")
    _, used = make_key(alice, "used")
    for key_id in (mine.pk, theirs.pk, 999_999_999):
        response = api.post(f"/keys/{key_id}/rotate", {}, key=used)
        assert (response.status_code, response.json()) == (404, NOT_FOUND)
    assert Secret.objects.count() == 3


@pytest.mark.parametrize("key_id", ["1" * 30, "9223372036854775808", "999999999", "0"])
def test_a_key_that_cannot_be_there_is_not_found(api: Api, alices_token: str, key_id: str) -> None:
    response = api.post(f"/keys/{key_id}/rotate", {}, token=alices_token)
    assert (response.status_code, response.json()) == (404, NOT_FOUND)


def test_somebody_elses_key_is_not_found_and_not_rotated(api: Api, alice: User, bobs_token: str) -> None:
    key, old = make_key(alice)
    response = api.post(f"/keys/{key.pk}/rotate", {"overlap_seconds": 0}, token=bobs_token)
    assert (response.status_code, response.json()) == (404, NOT_FOUND)
    assert opens(api, old)


def test_a_revoked_key_cannot_be_rotated_and_both_its_secrets_are_dead(api: Api, alice: User) -> None:
    key, old = make_key(alice)
    new = rotated(api, key)
    assert api.delete(f"/keys/{key.pk}", token=token_of(alice)).status_code == 204
    response = rotate(api, key, {})
    assert (response.status_code, response.json()["detail"]) == (409, "The key is revoked and cannot be changed.")
    assert [opens(api, old), opens(api, new)] == [False, False]
    assert Secret.objects.filter(api_key=key).count() == 2


def test_rotating_needs_a_credential_and_says_which(api: Api, alice: User) -> None:
    key, _ = make_key(alice)
    response = api.post(f"/keys/{key.pk}/rotate", {})
    assert (response.status_code, response.json()) == (401, NO_CREDENTIAL)
    assert response["WWW-Authenticate"] == 'Bearer realm="authsvc", ApiKey realm="authsvc"'
    assert api.get(f"/keys/{key.pk}/rotate", token=token_of(alice)).status_code == 405


def test_an_expired_key_is_rotated_by_its_owner_and_not_by_itself(api: Api, clock: Any, alice: User) -> None:
    key, old = make_key(alice, expires_in_days=2)
    clock.shift(2 * DAY)
    assert api.post(f"/keys/{key.pk}/rotate", {}, key=old).json() == BAD_CREDENTIAL
    response = rotate(api, key, {})
    assert (response.status_code, response.json()["expires_at"]) == (201, iso(NOW + 4 * DAY))
    assert opens(api, response.json()["key"])


@pytest.mark.parametrize("left", [timedelta(0), timedelta(hours=1)], ids=["expired", "an hour before"])
def test_an_outgoing_secret_lives_no_longer_for_the_new_life_of_its_key(
    api: Api, clock: Any, alice: User, left: timedelta
) -> None:
    key, old = make_key(alice, expires_in_days=2)
    clock.shift(2 * DAY - left)
    new = rotated(api, key)
    clock.shift(left)
    assert (opens(api, old), opens(api, new)) == (False, True)


def test_a_disabled_key_stays_disabled_through_a_rotation(api: Api, alice: User) -> None:
    key, _ = make_key(alice, is_enabled=False)
    response = rotate(api, key, {})
    assert (response.status_code, response.json()["is_enabled"]) == (201, False)
    assert not opens(api, response.json()["key"])


def test_the_record_of_a_rotation_names_the_secrets_by_their_first_characters(api: Api, alice: User) -> None:
    key, old = make_key(alice, "export")
    new = rotated(api, key)
    event = AuditEvent.objects.get(event="api_key:rotated")
    assert (event.actor_name, event.subject_name, event.reason) == ("Alice", "export", f"{old[:11]} to {new[:11]}")
    assert not any(text in str(AuditEvent.objects.values_list()) for text in (old, new))


def test_a_new_prefix_in_the_settings_comes_with_the_next_secret(api: Api, settings: Any, alice: User) -> None:
    key, old = make_key(alice)
    settings.API_KEY_PREFIX = "acme_live"
    response = rotate(api, key, {}).json()
    assert response["key"].startswith("acme_live_")
    assert response["prefix"] == response["key"][:18]
    assert [opens(api, old), opens(api, response["key"])] == [True, True]
