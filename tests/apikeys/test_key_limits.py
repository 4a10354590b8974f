"""The rate limit of a key: exactly so many requests pass, and the rest are told when to come again."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import redis
import time_machine
from django.utils import timezone

from accounts.models import User
from apikeys.models import APIKey, Secret
from authsvc import ratelimit
from tests.apikeys.test_rotation_races import at_once, use
from tests.conftest import BAD_CREDENTIAL, Api, errors_of
from tests.factories import make_key, make_role, token_of
from tests.redis import EITHER

LIMITED = {
    "type": "about:blank",
    "title": "Too Many Requests",
    "status": 429,
    "detail": "The rate limit is used up; try again after the seconds in Retry-After.",
}


@pytest.fixture
def clock() -> Iterator[Any]:
    """A clock that only the test moves."""
    with time_machine.travel(datetime(2027, 1, 1, tzinfo=UTC), tick=False) as clock:
        yield clock


@pytest.fixture(params=EITHER)
def storage(request: pytest.FixtureRequest, settings: Any) -> Iterator[None]:
    """Count in memory, then in a Redis database of the tests' own."""
    settings.REDIS_URL = request.param
    if request.param:
        with redis.Redis.from_url(request.param) as database:
            database.flushdb()
    yield
    ratelimit._storage.cache_clear()


@pytest.fixture
def hasty() -> Iterator[None]:
    """Threads that take turns fifty times as often, so that a race shows that is rare otherwise."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-4)
    yield
    sys.setswitchinterval(before)


def call(api: Api, plaintext: str, path: str = "/protected/service") -> Any:
    return api.get(path, key=plaintext)


def limits_of(response: Any) -> tuple[Any, ...]:
    return response.get("RateLimit"), response.get("RateLimit-Policy"), response.get("Retry-After")


@pytest.mark.usefixtures("storage")
def test_as_many_requests_pass_as_the_limit_says_and_each_is_told_what_is_left(api: Api, alice: User) -> None:
    _, plaintext = make_key(alice, rate_limit="2/minute")
    first, second, third = (call(api, plaintext) for _ in range(3))
    assert limits_of(first) == ('"minute";r=1;t=60', '"minute";q=2;w=60', None)
    assert limits_of(second)[0] in {'"minute";r=0;t=60', '"minute";r=0;t=59'}
    assert (third.status_code, third["Content-Type"], third.json()) == (429, "application/problem+json", LIMITED)
    assert third["Retry-After"] in {"60", "59"}
    assert limits_of(third)[:2] == (f'"minute";r=0;t={third["Retry-After"]}', '"minute";q=2;w=60')


def test_a_refused_request_does_not_push_the_window_on(api: Api, clock: Any, alice: User) -> None:
    _, plaintext = make_key(alice, rate_limit="1/minute")
    assert call(api, plaintext).status_code == 200
    for past in (1, 29, 29):
        clock.shift(past)
        assert call(api, plaintext).status_code == 429
    assert call(api, plaintext)["Retry-After"] == "1"
    clock.shift(1)
    assert call(api, plaintext).status_code == 200


def test_of_two_limits_the_one_that_is_used_up_refuses_and_takes_nothing_from_the_other(
    api: Api, clock: Any, alice: User
) -> None:
    _, plaintext = make_key(alice, rate_limit="1/second; 3/minute")
    answers = []
    for _ in range(4):
        answers += [call(api, plaintext), call(api, plaintext)]
        clock.shift(1)
    assert [answer.status_code for answer in answers] == [200, 429] * 3 + [429, 429]
    policy = '"second";q=1;w=1, "minute";q=3;w=60'
    assert limits_of(answers[0]) == ('"second";r=0;t=1, "minute";r=2;t=60', policy, None)
    assert limits_of(answers[1]) == ('"second";r=0;t=1', policy, "1")
    assert limits_of(answers[7]) == ('"minute";r=0;t=57', policy, "57")


@pytest.mark.parametrize("nothing", [None, "", " "], ids=["null", "empty", "space"])
def test_an_owner_takes_the_limit_away(api: Api, alice: User, nothing: str | None) -> None:
    key, plaintext = make_key(alice, rate_limit="1/day")
    assert [call(api, plaintext).status_code, call(api, plaintext).status_code] == [200, 429]
    changed = api.patch(f"/keys/{key.pk}", {"rate_limit": nothing}, token=token_of(alice))
    assert (changed.status_code, changed.json()["rate_limit"]) == (200, None)
    after = call(api, plaintext)
    assert (after.status_code, limits_of(after)) == (200, (None, None, None))


def test_a_limit_is_the_keys_and_not_its_secrets_nor_another_keys(api: Api, alice: User) -> None:
    key, old = make_key(alice, rate_limit="2/hour")
    _, other = make_key(alice, rate_limit="2/hour")
    new = api.post(f"/keys/{key.pk}/rotate", {}, token=token_of(alice)).json()["key"]
    assert [call(api, text).status_code for text in (old, new, old, new)] == [200, 200, 429, 429]
    assert call(api, other).status_code == 200


def test_what_was_refused_for_another_reason_counts_against_no_limit(api: Api, alice: User) -> None:
    key, plaintext = make_key(alice, rate_limit="1/hour", is_enabled=False)
    assert [call(api, plaintext).json() for _ in range(3)] == [BAD_CREDENTIAL] * 3
    APIKey.objects.filter(pk=key.pk).update(is_enabled=True, allowed_ips="192.0.2.1")
    assert [call(api, plaintext).json() for _ in range(3)] == [BAD_CREDENTIAL] * 3
    APIKey.objects.filter(pk=key.pk).update(allowed_ips="")
    assert call(api, plaintext).status_code == 200


def test_a_request_beyond_the_scopes_counts_and_is_told_what_is_left(api: Api, alice: User) -> None:
    _, plaintext = make_key(alice, rate_limit="2/hour")
    beyond = call(api, plaintext, "/protected/reports")
    assert (beyond.status_code, limits_of(beyond)) == (403, ('"hour";r=1;t=3600', '"hour";q=2;w=3600', None))
    assert [call(api, plaintext).status_code, call(api, plaintext).status_code] == [200, 429]


def test_a_limited_key_that_is_revoked_reads_as_any_bad_key(api: Api, alice: User) -> None:
    key, plaintext = make_key(alice, rate_limit="1/hour")
    assert [call(api, plaintext).status_code, call(api, plaintext).status_code] == [200, 429]
    api.delete(f"/keys/{key.pk}", token=token_of(alice))
    assert call(api, plaintext).json() == BAD_CREDENTIAL
    assert limits_of(call(api, plaintext)) == (None, None, None)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        pytest.param("100/minute", "100/minute", id="plain"),
        pytest.param(" 10 / second ;1000/hour", "10/second; 1000/hour", id="spaces"),
        pytest.param("1/second; 2/minute; 3/hour; 4/day", "1/second; 2/minute; 3/hour; 4/day", id="every unit"),
        pytest.param("9999999/day", "9999999/day", id="most"),
    ],
)
def test_a_limit_is_kept_in_one_form(api: Api, alices_token: str, given: str, kept: str) -> None:
    made = api.post("/keys", {"name": "x", "rate_limit": given}, token=alices_token)
    assert (made.status_code, made.json()["rate_limit"]) == (201, kept)
    assert call(api, made.json()["key"]).status_code == 200


@pytest.mark.parametrize(
    ("given", "code"),
    [
        *(
            pytest.param(text, "invalid_rate_limit", id=text)
            for text in (
                *("0/minute", "-1/minute", "01/minute", "1.5/minute", "1e3/minute", "10000000/day", "100", "/minute"),
                *("1/fortnight", "1/month", "1/minutes", "1 per minute", "1/MINUTE", "1/minute;", "; 1/minute", ";"),
                *("1/minute, 2/hour", "1/minute; 2/minute", "1/second; 1/minute; 1/hour; 1/day; 2/day", "١/minute"),
                *("1/10/minute", "1//minute", "1/minute 2", "none"),
            )
        ),
        pytest.param("1/minute; " * 11, "max_length", id="too long"),
        pytest.param(100, "invalid", id="number"),
        pytest.param(["1/minute"], "invalid", id="array"),
        pytest.param(True, "invalid", id="truth"),
        pytest.param("1/minute\0", "null_characters_not_allowed", id="null character"),
    ],
)
def test_what_is_no_limit_is_refused_and_nothing_changes(api: Api, alice: User, given: Any, code: str) -> None:
    key, _ = make_key(alice, rate_limit="5/hour")
    assert errors_of(api.patch(f"/keys/{key.pk}", {"rate_limit": given}, token=token_of(alice))) == [
        ("rate_limit", code)
    ]
    assert errors_of(api.post("/keys", {"name": "x", "rate_limit": given}, token=token_of(alice))) == [
        ("rate_limit", code)
    ]
    assert [limit for (limit,) in APIKey.objects.values_list("rate_limit")] == ["5/hour"]


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("storage")
@pytest.mark.parametrize("limit", ["20/minute", "20/minute; 1000/hour"], ids=["one limit", "two limits"])
def test_of_fifty_parallel_clients_exactly_as_many_pass_as_the_limit_says(alice: User, limit: str) -> None:
    _, plaintext = make_key(alice, rate_limit=limit)
    # Used this minute, so that the fifty only read and the database's writers do not line them up.
    Secret.objects.update(last_used_at=timezone.now())
    assert Counter(at_once([lambda: use(plaintext)] * 50)) == {200: 20, 429: 30}
    assert use(plaintext) == 429


@pytest.mark.usefixtures("storage")
def test_in_window_after_window_exactly_as_many_pass_as_the_limit_says(db: None, hasty: None) -> None:
    ratelimit.hit("1/minute", "warm")  # a process that has counted before
    passed = [sum(at_once([lambda n=n: ratelimit.hit("20/minute", f"{n}").passes] * 50)) for n in range(10)]  # type: ignore[misc]
    assert passed == [20] * 10
    assert ratelimit.state.uncounted == 0


def test_a_redis_that_is_away_lets_requests_pass_uncounted(api: Api, settings: Any, alice: User) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/8"
    _, plaintext = make_key(alice, rate_limit="1/hour")
    answers = [call(api, plaintext) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200] * 3
    assert limits_of(answers[0]) == (None, None, None)
    assert ratelimit.state.uncounted == 3


def test_one_query_authenticates_however_much_a_key_is_limited(
    api: Api, alice: User, django_assert_num_queries: Any
) -> None:
    alice.groups.add(make_role("analyst", "reports:read"))
    limits = {"rate_limit": "10/second; 99/day", "allowed_ips": ["10.0.0.0/8", "127.0.0.1"]}
    key, plaintext = make_key(alice, scopes=["reports:read"], **limits)
    assert call(api, plaintext, "/protected/reports").status_code == 200
    with django_assert_num_queries(1):
        fresh = call(api, plaintext, "/protected/reports")
    assert fresh.status_code == 200
    new = api.post(f"/keys/{key.pk}/rotate", {"retire_old": "on_first_use"}, token=token_of(alice)).json()["key"]
    assert call(api, new).status_code == 200
    with django_assert_num_queries(1):
        after_rotation = call(api, new)
    assert after_rotation.status_code == 200
