"""x-api-key: what opens, what does not, what it costs, and what it leaves behind."""

from __future__ import annotations

import base64
import string
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.db import connection
from django.utils import timezone
from hypothesis import HealthCheck, example, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from accounts.models import User
from apikeys import keys, services
from apikeys.models import APIKey
from apikeys.queries import key_by_digest
from tests.conftest import BAD_CREDENTIAL, Api
from tests.factories import make_key, make_role

ROUTE = "/protected/service"
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
CHALLENGE = 'ApiKey realm="authsvc"'


def disable_owner(key: APIKey) -> None:
    User.objects.filter(pk=key.owner_id).update(is_active=False)


def revoke_and_expire(key: APIKey) -> None:
    services.revoke_key(key=key)
    APIKey.objects.filter(pk=key.pk).update(expires_at=timezone.now())


SPOIL: dict[str, Callable[[APIKey], Any]] = {
    "revoked": lambda key: services.revoke_key(key=key),
    "expired": lambda key: APIKey.objects.filter(pk=key.pk).update(expires_at=timezone.now()),
    "revoked and expired": revoke_and_expire,
    "owner disabled": disable_owner,
    "key deleted": lambda key: key.delete(),
    "secret deleted": lambda key: key.secrets.all().delete(),
    "owner deleted": lambda key: key.owner.delete(),
}


def test_a_key_opens_at_once_and_says_whose_name_it_bears(api: Api, alices_key: str) -> None:
    response = api.get(ROUTE, key=alices_key)
    assert response.status_code == 200
    assert response.json() == {
        "message": "Hello, service nightly export.",
        "service": "nightly export",
        "auth_method": "api_key",
    }


@pytest.mark.parametrize("spoil", SPOIL.values(), ids=SPOIL.keys())
def test_every_key_that_no_longer_counts_gets_the_same_answer_at_the_very_next_request(
    api: Api, alice: User, spoil: Callable[[APIKey], Any]
) -> None:
    key, plaintext = make_key(alice)
    assert api.get(ROUTE, key=plaintext).status_code == 200
    spoil(key)
    response = api.get(ROUTE, key=plaintext)
    assert (response.status_code, response["WWW-Authenticate"]) == (401, CHALLENGE)
    assert response.json() == BAD_CREDENTIAL


def test_an_unknown_key_of_good_form_costs_one_query_and_gets_the_same_answer(
    api: Api, db: None, django_assert_num_queries: Any
) -> None:
    unknown = keys.generate("sk").plaintext
    with django_assert_num_queries(1):
        response = api.get(ROUTE, key=unknown)
    assert (response.status_code, response["WWW-Authenticate"]) == (401, CHALLENGE)
    assert response.json() == BAD_CREDENTIAL


def test_a_typo_at_any_place_is_refused_without_a_query(
    api: Api, alices_key: str, django_assert_num_queries: Any
) -> None:
    typos = [
        alices_key[:at] + ("a" if alices_key[at] != "a" else "b") + alices_key[at + 1 :]
        for at in range(len(alices_key))
    ]
    with django_assert_num_queries(0):
        answers = [api.get(ROUTE, key=typo) for typo in typos]
    assert {answer.status_code for answer in answers} == {401}
    assert all(answer.json() == BAD_CREDENTIAL for answer in answers)


@pytest.mark.parametrize(
    "header",
    [
        pytest.param("", id="empty"),
        pytest.param("   ", id="spaces"),
        pytest.param("sk_", id="prefix alone"),
        pytest.param("sk_" + "a" * 49, id="wrong checksum"),
        pytest.param("sk_" + "a" * 102_400, id="100 kB"),
        pytest.param("_" * 102_400, id="100 kB of the separator"),
        pytest.param("sk_\u0661" * 13, id="digits of another script"),
        pytest.param("sk_é" + "a" * 48, id="not ASCII"),
        pytest.param("\ud800" * 52, id="lone surrogates"),
        pytest.param("\x00" * 52, id="NUL"),
        pytest.param("' OR 1=1 --", id="SQL"),
        pytest.param("%s%(x)s{}", id="format"),
    ],
)
def test_junk_is_refused_without_a_query(
    api: Api, alices_key: str, header: str, django_assert_num_queries: Any
) -> None:
    with django_assert_num_queries(0):
        response = api.get(ROUTE, key=header)
    assert (response.status_code, response["WWW-Authenticate"]) == (401, CHALLENGE)
    assert response.json() == BAD_CREDENTIAL


@examples(
    derandomize=True,
    deadline=None,
    database=None,
    max_examples=150,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.text() | st.text(string.printable) | st.from_regex(r"[a-z_]{1,25}_[0-9A-Za-z]{48,50}", fullmatch=True))
@example("sk_" + "é" * 49)
def test_no_header_whatever_breaks_the_service(db: None, text: str) -> None:
    response = Api().get(ROUTE, key=text)
    assert response.status_code == 401
    assert response.json() == BAD_CREDENTIAL


def test_two_keys_in_one_header_are_no_key(api: Api, alice: User, django_assert_num_queries: Any) -> None:
    both = ", ".join(make_key(alice)[1] for _ in range(2))
    with django_assert_num_queries(0):
        assert api.get(ROUTE, key=both).json() == BAD_CREDENTIAL


def test_a_key_in_another_place_is_no_credential(api: Api, alices_key: str) -> None:
    basic = base64.b64encode(f"{alices_key}:".encode()).decode()
    elsewhere = [
        api.get(f"{ROUTE}?x-api-key={alices_key}&api_key={alices_key}"),
        api.get(ROUTE, token=alices_key),
        api.get(ROUTE, headers={"Authorization": f"ApiKey {alices_key}"}),
        api.get(ROUTE, headers={"Authorization": f"Basic {basic}"}),
        api.get(ROUTE, headers={"Cookie": f"x-api-key={alices_key}"}),
    ]
    assert [response.status_code for response in elsewhere] == [401] * 5
    assert all(alices_key not in response.content.decode() for response in elsewhere)


def test_a_key_that_expires_this_moment_is_expired_and_the_one_before_it_is_not(api: Api, alice: User) -> None:
    with time_machine.travel(NOON, tick=False) as clock:
        _, plaintext = make_key(alice, expires_in_days=1)
        clock.move_to(NOON + timedelta(days=1, microseconds=-1))
        assert api.get(ROUTE, key=plaintext).status_code == 200
        clock.move_to(NOON + timedelta(days=1))
        assert api.get(ROUTE, key=plaintext).json() == BAD_CREDENTIAL


def test_an_owner_who_is_enabled_again_has_working_keys_again(api: Api, alice: User, alices_key: str) -> None:
    User.objects.filter(pk=alice.pk).update(is_active=False)
    assert api.get(ROUTE, key=alices_key).status_code == 401
    User.objects.filter(pk=alice.pk).update(is_active=True)
    assert api.get(ROUTE, key=alices_key).status_code == 200


def test_another_prefix_leaves_the_keys_of_before_at_work(api: Api, alice: User, settings: Any) -> None:
    _, before = make_key(alice)
    settings.API_KEY_PREFIX = "acme_live"
    key, after = make_key(alice)
    assert after.startswith("acme_live_")
    assert key.prefix == after[:18]
    assert [api.get(ROUTE, key=plaintext).status_code for plaintext in (before, after)] == [200, 200]


# What a note of a use costs: PostgreSQL writes both rows in one go, SQLite in two with a savepoint around them.
NOTE = {"postgresql": 1, "sqlite": 4}


def test_a_key_used_this_minute_costs_one_query_and_a_stale_one_the_note_of_its_use_more(
    api: Api, alices_key: str, django_assert_num_queries: Any
) -> None:
    with time_machine.travel(NOON, tick=False) as clock:
        with django_assert_num_queries(6):  # with the secret's use, the key's, the audit's row, and a savepoint's two
            assert api.get(ROUTE, key=alices_key).status_code == 200
        clock.move_to(NOON + timedelta(seconds=59, microseconds=999_999))
        with django_assert_num_queries(1):
            assert api.get(ROUTE, key=alices_key).status_code == 200
        clock.move_to(NOON + timedelta(seconds=60))
        with django_assert_num_queries(1 + NOTE[connection.vendor]):
            assert api.get(ROUTE, key=alices_key).status_code == 200


def test_scopes_come_with_the_same_one_query_and_roles_which_no_key_carries_do_not(
    reader: User, django_assert_num_queries: Any
) -> None:
    reader.groups.add(make_role("writer", "reports:write", "reports:delete"))
    _, plaintext = make_key(reader, scopes=["reports:read"])
    with django_assert_num_queries(1):
        found = key_by_digest(keys.digest(plaintext))
        assert found is not None
        assert found.owner.roles == ()
        assert found.owner.scopes == {"reports:read", "reports:write", "reports:delete"}
        assert found.effective_scopes == {"reports:read"}


def test_last_used_is_written_at_most_once_a_minute(api: Api, alice: User) -> None:
    key, plaintext = make_key(alice)
    seen = []
    with time_machine.travel(NOON, tick=False) as clock:
        for seconds in (0, 30, 59, 60, 90, 119, 121):
            clock.move_to(NOON + timedelta(seconds=seconds))
            assert api.get(ROUTE, key=plaintext).status_code == 200
            key.refresh_from_db()
            assert key.last_used_at is not None
            seen.append((key.last_used_at - NOON).total_seconds())
    assert seen == [0, 0, 0, 60, 60, 60, 121]


@pytest.mark.parametrize("back", [timedelta(seconds=1), timedelta(days=400)], ids=["a second", "a year"])
def test_a_clock_that_goes_backwards_does_not_take_last_used_along(api: Api, alice: User, back: timedelta) -> None:
    key, plaintext = make_key(alice, last_used_at=NOON, expires_in_days=3650)
    with time_machine.travel(NOON - back, tick=False):
        assert api.get(ROUTE, key=plaintext).status_code == 200
    key.refresh_from_db()
    assert key.last_used_at == NOON


def test_a_refused_key_leaves_no_trace_of_use(api: Api, alice: User) -> None:
    key, plaintext = make_key(alice)
    services.revoke_key(key=key)
    assert api.get(ROUTE, key=plaintext).status_code == 401
    key.refresh_from_db()
    assert key.last_used_at is None


def test_what_a_key_may_do_shrinks_and_grows_with_its_owner(reader: User) -> None:
    _, plaintext = make_key(reader, scopes=["reports:read", "reports:write"])

    def scopes() -> frozenset[str]:
        found = key_by_digest(keys.digest(plaintext))
        assert found is not None
        return found.effective_scopes

    assert scopes() == {"reports:read", "reports:write"}
    make_role("reader").scopes.remove(*make_role("reader").scopes.filter(name="reports:write"))
    assert scopes() == {"reports:read"}
    reader.groups.clear()
    assert scopes() == frozenset()
    reader.groups.add(make_role("reader"))
    assert scopes() == {"reports:read"}


def test_the_key_does_not_grow_when_its_owner_does(reader: User) -> None:
    _, plaintext = make_key(reader)
    reader.groups.add(make_role("root", "everything:all"))
    found = key_by_digest(keys.digest(plaintext))
    assert found is not None
    assert found.owner.scopes >= {"everything:all"}
    assert found.effective_scopes == frozenset()
