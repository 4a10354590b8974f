"""The reasons to reject a key, which only the operator reads."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.test import Client

from accounts.models import Scope, User
from apikeys import keys
from apikeys.models import APIKey, Secret
from audit.models import AuditEvent
from tests.conftest import BAD_CREDENTIAL, NO_CREDENTIAL, Api
from tests.factories import make_key, make_role, token_of

NOW = datetime(2028, 2, 29, 12, tzinfo=UTC)
PAST = NOW - timedelta(seconds=1)


@pytest.fixture
def clock() -> Iterator[Any]:
    """A clock that only the test moves."""
    with time_machine.travel(NOW, tick=False) as clock:
        yield clock


def refusals() -> list[tuple[str, str | None]]:
    return list(AuditEvent.objects.filter(event="api_key:refused").order_by("id").values_list("reason", "address"))


def call(api: Api, plaintext: str, path: str = "/protected/service") -> Any:
    return api.get(path, key=plaintext)


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        pytest.param({"revoked_at": PAST}, "revoked", id="revoked"),
        pytest.param({"retires_at": PAST}, "secret retired", id="retired"),
        pytest.param({"expires_at": PAST}, "expired", id="expired"),
        pytest.param({"is_enabled": False}, "disabled", id="disabled"),
        pytest.param({"is_active": False}, "owner disabled", id="owner disabled"),
        pytest.param({"allowed_ips": "192.0.2.1"}, "address not allowed", id="address"),
        pytest.param({"revoked_at": PAST, "expires_at": PAST}, "revoked", id="revoked and expired"),
        pytest.param({"is_enabled": False, "is_active": False}, "disabled", id="disabled and owner disabled"),
        pytest.param({"expires_at": PAST, "allowed_ips": "192.0.2.1"}, "expired", id="expired and elsewhere"),
    ],
)
@pytest.mark.usefixtures("clock")
def test_every_bad_key_reads_the_same_and_the_operator_learns_why(
    api: Api, alice: User, django_assert_num_queries: Any, state: dict[str, Any], reason: str
) -> None:
    _, plaintext = make_key(alice)
    for table in (APIKey, Secret, User):
        columns = {field: value for field, value in state.items() if field in vars(table)}
        table.objects.update(**columns or {"id": table.objects.get().pk})
    response = call(api, plaintext)
    assert (response.status_code, response.json()) == (401, BAD_CREDENTIAL)
    assert response["WWW-Authenticate"] == 'ApiKey realm="authsvc"'
    assert refusals() == [(reason, "127.0.0.1")]
    with django_assert_num_queries(1):  # told already: a client that goes on costs one query, as a good one does
        assert call(api, plaintext).status_code == 401
    assert APIKey.objects.get().last_used_at is None


def test_junk_costs_no_query_and_what_is_unknown_costs_one_and_neither_is_recorded(
    api: Api, db: None, django_assert_num_queries: Any
) -> None:
    good = keys.generate("sk").plaintext
    junk = ["", " ", "junk", good[:-1], good + "0", f" x{good}", good.swapcase(), f"{good}é", "sk_" + "0" * 49]
    with django_assert_num_queries(0):
        answers = [call(api, text).json() for text in junk]
    with django_assert_num_queries(1):
        answers.append(call(api, good).json())
    assert answers == [BAD_CREDENTIAL] * (len(junk) + 1)
    assert refusals() == []
    assert api.get("/protected/service").json() == NO_CREDENTIAL


@pytest.mark.parametrize("days", [1, 366, 3650], ids=["a day", "past a leap day", "longest"])
def test_a_key_expires_at_the_very_second(api: Api, clock: Any, alice: User, days: int) -> None:
    key, plaintext = make_key(alice, expires_in_days=days)
    end = NOW + timedelta(days=days)
    assert api.get(f"/keys/{key.pk}", token=token_of(alice)).json()["expires_at"] == f"{end:%Y-%m-%dT%H:%M:%SZ}"
    clock.move_to(end - timedelta(microseconds=1))
    assert call(api, plaintext).status_code == 200
    clock.move_to(end)
    assert (call(api, plaintext).json(), refusals()) == (BAD_CREDENTIAL, [("expired", "127.0.0.1")])


def test_a_refusal_is_told_once_a_minute_for_each_key_reason_and_address(api: Api, clock: Any, alice: User) -> None:
    _, one = make_key(alice, "one", is_enabled=False)
    _, two = make_key(alice, "two", is_enabled=False)
    for plaintext in (one, one, two, two, one):
        assert call(api, plaintext).status_code == 401
    Client(REMOTE_ADDR="192.0.2.1").get("/protected/service", headers={"X-API-Key": one})
    APIKey.objects.update(expires_at=PAST)
    assert call(api, one).status_code == 401
    clock.shift(60)
    assert call(api, one).status_code == 401
    expected = [("disabled", "127.0.0.1")] * 2 + [("disabled", "192.0.2.1")] + [("expired", "127.0.0.1")] * 2
    assert refusals() == expected


def test_a_limit_that_is_used_up_is_told_too(api: Api, clock: Any, alice: User) -> None:
    _, plaintext = make_key(alice, rate_limit="1/hour")
    assert [call(api, plaintext).status_code for _ in range(3)] == [200, 429, 429]
    assert refusals() == [("rate limit", "127.0.0.1")]


def test_the_first_use_is_an_event_and_later_ones_are_not(api: Api, clock: Any, alice: User) -> None:
    key, plaintext = make_key(alice, "export")
    for _ in range(3):
        assert call(api, plaintext).status_code == 200
        clock.shift(120)
    event = AuditEvent.objects.get(event="api_key:first_used")
    assert (event.at, event.actor_name, event.subject_id, event.subject_name) == (NOW, "Alice", key.pk, "export")
    assert event.address == "127.0.0.1"


def test_a_key_may_what_its_scopes_and_its_owner_both_may_at_this_moment(api: Api, alice: User) -> None:
    role = make_role("analyst", "reports:read")
    alice.groups.add(role)
    _, can = make_key(alice, scopes=["reports:read"])
    _, cannot = make_key(alice)
    path = "/protected/reports"
    assert [call(api, can, path).status_code, call(api, cannot, path).status_code] == [200, 403]
    alice.groups.remove(role)
    assert [call(api, can, path).status_code, call(api, can).status_code] == [403, 200]
    alice.groups.add(role)
    assert call(api, can, path).status_code == 200
    Scope.objects.get(name="reports:read").roles.remove(role)
    assert call(api, can, path).status_code == 403


def test_a_key_does_not_carry_its_owners_roles_into_the_admins_route(api: Api, alice: User) -> None:
    alice.groups.add(make_role("admin"))
    _, plaintext = make_key(alice)
    assert call(api, plaintext, "/protected/admin").json() == NO_CREDENTIAL
    assert api.get("/protected/admin", token=token_of(alice)).status_code == 200


def test_an_owner_who_is_enabled_again_finds_the_keys_at_work(api: Api, alice: User) -> None:
    _, plaintext = make_key(alice)
    User.objects.update(is_active=False)
    assert call(api, plaintext).json() == BAD_CREDENTIAL
    User.objects.update(is_active=True)
    assert call(api, plaintext).status_code == 200


def test_a_superusers_key_has_no_more_than_its_roles_grant(api: Api, alice: User) -> None:
    User.objects.update(is_superuser=True, is_staff=True)
    _, plaintext = make_key(alice)
    assert call(api, plaintext, "/protected/reports").status_code == 403
    made = api.post("/keys", {"name": "x", "scopes": ["reports:read"]}, token=token_of(alice))
    assert made.json()["errors"][0]["code"] == "not_granted"
