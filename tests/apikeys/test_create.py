"""POST /keys/create and POST /keys: what comes back, and every way to ask wrongly."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import pytest
import time_machine

from accounts.models import User
from apikeys.models import APIKey
from tests.conftest import BAD_CREDENTIAL, NO_CREDENTIAL, Api, errors_of
from tests.factories import UserFactory, token_of

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
ROUTE = "/keys/create"


@pytest.mark.parametrize("route", ["/keys/create", "/keys"])
def test_a_key_is_shown_whole_this_once_and_must_not_be_stored_by_anyone_between(
    api: Api, alice: User, route: str
) -> None:
    with time_machine.travel(NOON, tick=False):
        response = api.post(route, {"name": "nightly export"}, token=token_of(alice))
    body = response.json()
    assert (response.status_code, response["Cache-Control"]) == (201, "no-store")
    assert re.fullmatch(r"sk_[0-9A-Za-z]{49}", body["key"])
    assert body == {
        "id": APIKey.objects.get().pk,
        "name": "nightly export",
        "prefix": body["key"][:11],
        "scopes": [],
        "status": "active",
        "is_enabled": True,
        "is_revoked": False,
        "allowed_ips": [],
        "rate_limit": None,
        "metadata": {},
        "created_at": "2026-03-01T12:00:00Z",
        "expires_at": "2027-03-01T12:00:00Z",
        "revoked_at": None,
        "last_used_at": None,
        "key": body["key"],
    }


def test_the_new_key_opens_and_the_list_shows_it_without_the_secret(api: Api, alices_token: str) -> None:
    made = api.post(ROUTE, {"name": "nightly export"}, token=alices_token).json()
    (listed,) = api.get("/keys", token=alices_token).json()
    assert listed == {name: value for name, value in made.items() if name != "key"}
    assert api.get("/protected/service", key=made["key"]).status_code == 200


@pytest.mark.parametrize("days", [1, 2, 365, 3650])
def test_a_key_lives_as_many_days_as_asked(api: Api, alice: User, days: int) -> None:
    with time_machine.travel(NOON, tick=False):
        made = api.post(ROUTE, {"name": "x", "expires_in_days": days}, token=token_of(alice))
    life = datetime.fromisoformat(made.json()["expires_at"]) - NOON
    assert (made.status_code, life.days, life.seconds) == (201, days, 0)


def test_the_default_and_the_longest_life_are_the_settings(api: Api, alice: User, settings: Any) -> None:
    settings.API_KEY_EXPIRE_DAYS, settings.API_KEY_MAX_EXPIRE_DAYS = 7, 10
    with time_machine.travel(NOON, tick=False):
        token = token_of(alice)
        assert api.post(ROUTE, {"name": "x"}, token=token).json()["expires_at"] == "2026-03-08T12:00:00Z"
        longest = api.post(ROUTE, {"name": "x", "expires_in_days": 10}, token=token)
    assert longest.json()["expires_at"] == "2026-03-11T12:00:00Z"
    too_long = api.post(ROUTE, {"name": "x", "expires_in_days": 11}, token=token_of(alice))
    assert errors_of(too_long) == [("expires_in_days", "out_of_range")]


@pytest.mark.parametrize(
    ("days", "code"),
    [
        pytest.param(0, "out_of_range", id="zero"),
        pytest.param(-1, "out_of_range", id="negative"),
        pytest.param(3651, "out_of_range", id="one too many"),
        pytest.param(2**63, "out_of_range", id="beyond a bigint"),
        pytest.param(10**400, "out_of_range", id="400 digits"),
        pytest.param(True, "invalid", id="true"),
        pytest.param(False, "invalid", id="false"),
        pytest.param(30.0, "invalid", id="float"),
        pytest.param(1.5, "invalid", id="fraction"),
        pytest.param("30", "invalid", id="string"),
        pytest.param("", "invalid", id="empty string"),
        pytest.param([30], "invalid", id="list"),
        pytest.param({"days": 30}, "invalid", id="object"),
        pytest.param(None, "null", id="null"),
    ],
)
def test_a_life_that_is_no_number_of_days_is_refused_by_its_field(
    api: Api, alices_token: str, days: Any, code: str
) -> None:
    response = api.post(ROUTE, {"name": "x", "expires_in_days": days}, token=alices_token)
    assert errors_of(response) == [("expires_in_days", code)]
    assert not APIKey.objects.exists()


@pytest.mark.parametrize(
    "body",
    [
        pytest.param('{"name": "x", "expires_in_days": NaN}', id="NaN"),
        pytest.param('{"name": "x", "expires_in_days": 1e999, "name": Infinity}', id="Infinity"),
        pytest.param('{"name": "x", "expires_in_days": 1' + "0" * 5000 + "}", id="5,000 digits"),
        pytest.param('{"name": ' + "[" * 100_000, id="bottomless"),
        pytest.param('{"name": "x"', id="cut short"),
        pytest.param(b'{"name": "\xff"}', id="not UTF-8"),
        pytest.param(b"", id="nothing"),
    ],
)
def test_what_is_not_json_is_a_bad_request(api: Api, alices_token: str, body: str | bytes) -> None:
    response = api.post(ROUTE, body, token=alices_token)
    assert response.status_code == 400
    assert response["Content-Type"] == "application/problem+json"
    assert not APIKey.objects.exists()


def test_a_number_that_overflows_to_infinity_is_no_number_of_days(api: Api, alices_token: str) -> None:
    response = api.post(ROUTE, '{"name": "x", "expires_in_days": 1e999}', token=alices_token)
    assert errors_of(response) == [("expires_in_days", "invalid")]
    assert not APIKey.objects.exists()


@pytest.mark.parametrize("body", ["[]", '[{"name": "x"}]', '"x"', "7", "true", "null"])
def test_a_body_that_is_no_object_is_refused_as_a_whole(api: Api, alices_token: str, body: str) -> None:
    response = api.post(ROUTE, body, token=alices_token)
    assert [field for field, _ in errors_of(response)] == ["body"]
    assert not APIKey.objects.exists()


@pytest.mark.parametrize("route", ["/keys/create", "/keys"])
def test_nobody_makes_a_key_without_a_token(api: Api, alices_key: str, route: str) -> None:
    assert api.post(route, {"name": "x"}).json() == NO_CREDENTIAL
    assert api.post(route, {"name": "x"}, key=alices_key).json() == NO_CREDENTIAL
    assert api.post(route, {"name": "x"}, token="junk").json() == BAD_CREDENTIAL
    assert APIKey.objects.count() == 1


def test_a_bad_body_tells_nothing_to_somebody_without_a_token(api: Api, db: None) -> None:
    response = api.post(ROUTE, "{")
    assert (response.status_code, response.json()) == (401, NO_CREDENTIAL)


def test_two_keys_of_one_name_are_two_keys(api: Api, alices_token: str) -> None:
    first, second = (api.post(ROUTE, {"name": "x"}, token=alices_token).json() for _ in range(2))
    assert first["id"] != second["id"]
    assert first["key"] != second["key"]


def test_a_key_belongs_to_whoever_asked_for_it(api: Api, alice: User, alices_token: str) -> None:
    UserFactory()
    made = api.post(ROUTE, {"name": "x"}, token=alices_token).json()
    assert APIKey.objects.get(pk=made["id"]).owner == alice


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "BREW"])
def test_a_route_says_which_methods_it_has_and_no_other(api: Api, alices_token: str, method: str) -> None:
    refused = [api.call(method, route, token=alices_token) for route in ("/keys", ROUTE)]
    assert [response.status_code for response in refused] == [405, 405]
    assert [set(response["Allow"].split(", ")) for response in refused] == [{"GET", "HEAD", "POST"}, {"POST"}]


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
def test_what_is_not_sent_as_json_is_refused(api: Api, alices_token: str, content_type: str) -> None:
    response = api.post(ROUTE, "name=x", token=alices_token, content_type=content_type)
    assert (response.status_code, response["Accept"]) == (415, "application/json")
    assert not APIKey.objects.exists()


def test_a_body_beyond_the_limit_is_too_large(api: Api, alices_token: str) -> None:
    response = api.post(ROUTE, {"name": "x" * 1024 * 1024}, token=alices_token)
    assert response.status_code == 413
    assert not APIKey.objects.exists()
