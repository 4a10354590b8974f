"""/keys/{id}: read, change, revoke; and nobody else's."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine

from accounts.models import User
from apikeys import keys, last_use, services
from apikeys.models import APIKey
from apikeys.queries import key_by_digest
from authsvc.request.context import NONE
from tests.conftest import BAD_CREDENTIAL, NO_CREDENTIAL, NOT_FOUND, Api, errors_of
from tests.factories import make_key, token_of

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
REVOKED = {
    "type": "about:blank",
    "title": "Conflict",
    "status": 409,
    "detail": "The key is revoked and cannot be changed.",
}
METHODS = ["GET", "PATCH", "DELETE"]


@pytest.fixture
def key(alice: User) -> APIKey:
    return make_key(alice, "nightly export")[0]


@pytest.fixture
def path(key: APIKey) -> str:
    return f"/keys/{key.pk}"


def stored(key: APIKey) -> dict[str, Any]:
    """Return all columns of a key as they are now."""
    return APIKey.objects.values().get(pk=key.pk)


def test_a_key_reads_alike_alone_and_in_the_list(api: Api, alices_token: str, path: str) -> None:
    alone = api.get(path, token=alices_token)
    assert alone.status_code == 200
    assert [alone.json()] == api.get("/keys", token=alices_token).json()


@pytest.mark.parametrize("method", METHODS)
def test_a_key_of_somebody_else_is_as_absent_as_one_that_is_not_there(
    api: Api, key: APIKey, path: str, bobs_token: str, method: str
) -> None:
    before = stored(key)
    theirs = api.call(method, path, {"name": "mine"}, token=bobs_token)
    absent = api.call(method, f"/keys/{key.pk + 1}", {"name": "mine"}, token=bobs_token)
    assert (theirs.status_code, theirs.json(), theirs.headers["Content-Type"]) == (
        404,
        NOT_FOUND,
        "application/problem+json",
    )
    assert (absent.content, set(absent.headers)) == (theirs.content, set(theirs.headers))
    assert stored(key) == before


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "key_id",
    [
        "0",
        "00",
        str(2**63 - 1),
        str(2**63),
        "9" * 30,
        "9" * 5000,
        "-1",
        "abc",
        "1.0",
        "1_0",
        "%D9%A3",
        "%00",
        "1%0a",
        "",
    ],
    ids=lambda key_id: key_id[:25] or "none",
)
def test_an_id_that_no_key_has_is_the_same_not_found(
    api: Api, alices_token: str, path: str, method: str, key_id: str
) -> None:
    response = api.call(method, f"/keys/{key_id}", {"name": "x"}, token=alices_token)
    assert (response.status_code, response.json()) == (404, NOT_FOUND)


def test_a_bad_body_tells_nobody_whether_a_key_of_somebody_else_is_there(api: Api, path: str, bobs_token: str) -> None:
    answers = [api.patch(where, "{", token=bobs_token) for where in (path, "/keys/0")]
    assert [(answer.status_code, answer.json()) for answer in answers] == [(404, NOT_FOUND)] * 2


@pytest.mark.parametrize("method", METHODS)
def test_a_key_is_managed_with_a_token_and_not_with_itself(api: Api, alice: User, method: str) -> None:
    key, plaintext = make_key(alice)
    before = stored(key)
    path = f"/keys/{key.pk}"
    assert api.call(method, path, {"name": "x"}, key=plaintext).json() == NO_CREDENTIAL
    assert api.call(method, path, {"name": "x"}).json() == NO_CREDENTIAL
    assert api.call(method, path, {"name": "x"}, token=plaintext).json() == BAD_CREDENTIAL
    assert stored(key) == before


def test_a_new_name_is_there_at_once_and_changes_nothing_else(api: Api, alice: User, alices_token: str) -> None:
    key, plaintext = make_key(alice, "nightly export")
    path, before = f"/keys/{key.pk}", stored(key)
    shown = api.get(path, token=alices_token).json()
    response = api.patch(path, {"name": "  weekly export "}, token=alices_token)
    assert (response.status_code, response.json()) == (200, {**shown, "name": "weekly export"})
    assert stored(key) == {**before, "name": "weekly export"}
    assert api.get("/protected/service", key=plaintext).json()["service"] == "weekly export"


def test_a_change_of_nothing_changes_nothing(api: Api, alices_token: str, key: APIKey, path: str) -> None:
    before, shown = stored(key), api.get(path, token=alices_token).json()
    response = api.patch(path, {}, token=alices_token)
    assert (response.status_code, response.json()) == (200, shown)
    assert stored(key) == before


def test_scopes_are_replaced_and_can_be_given_up(api: Api, reader: User) -> None:
    key, _ = make_key(reader, scopes=["reports:read"])
    path, token = f"/keys/{key.pk}", token_of(reader)
    assert api.patch(path, {"scopes": ["reports:write"]}, token=token).json()["scopes"] == ["reports:write"]
    assert api.patch(path, {"name": "other"}, token=token).json()["scopes"] == ["reports:write"]
    assert api.patch(path, {"scopes": []}, token=token).json()["scopes"] == []
    assert stored(key)["scope"] == ""


@pytest.mark.parametrize(
    ("body", "errors"),
    [
        pytest.param({"expires_in_days": 3650}, [("expires_in_days", "unknown")], id="life"),
        pytest.param({"expires_at": "2099-01-01T00:00:00Z"}, [("expires_at", "unknown")], id="expiry"),
        pytest.param({"is_revoked": False}, [("is_revoked", "unknown")], id="revocation"),
        pytest.param({"owner": 1, "owner_id": 1}, [("owner", "unknown"), ("owner_id", "unknown")], id="owner"),
        pytest.param({"name": "x", "nam": "y"}, [("nam", "unknown")], id="misspelt"),
        pytest.param({"name": ""}, [("name", "blank")], id="empty name"),
        pytest.param({"name": None}, [("name", "null")], id="null name"),
        pytest.param({"name": "n" * 101}, [("name", "max_length")], id="long name"),
        pytest.param({"name": "a\nb"}, [("name", "control_character")], id="two lines"),
        pytest.param({"scopes": ["no:such"]}, [("scopes", "unknown_scope")], id="unknown scope"),
        pytest.param({"scopes": ["tokens:introspect"]}, [("scopes", "not_granted")], id="scope not granted"),
        pytest.param({"name": "x", "scopes": ["no:such"]}, [("scopes", "unknown_scope")], id="good name, bad scope"),
        pytest.param({"scopes": None}, [("scopes", "null")], id="null scopes"),
    ],
)
def test_a_change_that_is_refused_changes_nothing(
    api: Api, alices_token: str, key: APIKey, body: dict[str, Any], errors: list[tuple[str, str]]
) -> None:
    before = stored(key)
    assert errors_of(api.patch(f"/keys/{key.pk}", body, token=alices_token)) == errors
    assert stored(key) == before


@pytest.mark.parametrize("body", [{}, {"name": "x"}, {"scopes": []}], ids=["nothing", "name", "scopes"])
def test_a_revoked_key_cannot_be_changed(
    api: Api, alices_token: str, key: APIKey, path: str, body: dict[str, Any]
) -> None:
    services.revoke_key(key=key)
    before = stored(key)
    response = api.patch(path, body, token=alices_token)
    assert (response.status_code, response.json()) == (409, REVOKED)
    assert stored(key) == before


def test_an_expired_key_can_still_be_renamed_and_stays_expired(api: Api, alices_token: str, key: APIKey) -> None:
    APIKey.objects.filter(pk=key.pk).update(expires_at=NOON - timedelta(days=9999))
    response = api.patch(f"/keys/{key.pk}", {"name": "old"}, token=alices_token)
    assert (response.status_code, response.json()["name"], response.json()["status"]) == (200, "old", "expired")


def test_a_change_cannot_be_put(api: Api, alices_token: str, key: APIKey, path: str) -> None:
    before = stored(key)
    response = api.call("PUT", path, {"name": "x"}, token=alices_token)
    assert response.status_code == 405
    assert set(response["Allow"].split(", ")) == {"GET", "HEAD", "PATCH", "DELETE"}
    assert stored(key) == before


def test_a_revocation_answers_204_both_times_and_only_the_first_one_counts(api: Api, alice: User) -> None:
    with time_machine.travel(NOON, tick=False) as clock:
        key, _ = make_key(alice)
        token = token_of(alice)
        first = api.delete(f"/keys/{key.pk}", token=token)
        once = stored(key)
        clock.move_to(NOON + timedelta(minutes=5))
        second = api.delete(f"/keys/{key.pk}", token=token)
    assert [(answer.status_code, answer.content) for answer in (first, second)] == [(204, b"")] * 2
    assert once["revoked_at"] == NOON
    assert stored(key) == once


def test_a_revocation_holds_at_the_very_next_request_and_shows(api: Api, alice: User, alices_token: str) -> None:
    key, plaintext = make_key(alice)
    other = make_key(alice)[1]
    assert api.get("/protected/any", key=plaintext).status_code == 200
    assert api.delete(f"/keys/{key.pk}", token=alices_token).status_code == 204
    assert api.get("/protected/any", key=plaintext).json() == BAD_CREDENTIAL
    assert api.get("/protected/any", key=other).status_code == 200
    shown = api.get(f"/keys/{key.pk}", token=alices_token).json()
    assert (shown["status"], shown["is_revoked"], shown["revoked_at"][-1]) == ("revoked", True, "Z")


def test_the_service_says_which_call_revoked_and_keeps_the_first_reason(key: APIKey) -> None:
    assert [services.revoke_key(key=key, reason=f" reason {number} ") for number in range(3)] == [True, False, False]
    assert stored(key)["revoked_reason"] == "reason 0"


def test_a_stale_copy_of_a_key_neither_revives_nor_renames_it(alice: User) -> None:
    key, plaintext = make_key(alice, "nightly export")
    stale = key_by_digest(keys.digest(plaintext))
    assert stale is not None
    services.revoke_key(key=key)
    before = stored(key)
    last_use.update_last_use(key=stale, now=NOON, context=NONE)
    assert services.change_key(key=stale, owner=alice, name="other") is False
    assert stored(key) == {**before, "last_used_at": NOON}


def test_a_key_that_is_gone_is_neither_changed_nor_revoked(alice: User, key: APIKey) -> None:
    APIKey.objects.filter(pk=key.pk).delete()
    assert services.change_key(key=key, owner=alice, name="x") is False
    assert services.revoke_key(key=key) is False
    assert not APIKey.objects.filter(pk=key.pk).exists()
