"""Guessing passwords: five failures of a user from an address, a hundred of an address, and no more for a while."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import time_machine
from django.contrib.auth.hashers import make_password
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.hashers import BCryptSHA256Hasher
from accounts.models import Lockout, User
from tests.accounts.conftest import at_once
from tests.accounts.mails import api_from
from tests.audit.conftest import events
from tests.conftest import BAD_CREDENTIAL, Api
from tests.factories import PASSWORD, UserFactory

LOCKED_OUT = {
    "type": "about:blank",
    "title": "Too Many Requests",
    "status": 429,
    "detail": "Too many failed attempts; try again after the seconds in Retry-After.",
}
START = "2027-01-31T12:00:00Z"


@pytest.fixture
def clock() -> Iterator[Any]:
    """A clock that stands."""
    with time_machine.travel(START, tick=False) as standing:
        yield standing


def login(api: Api, name: str = "alice", word: str = PASSWORD, **headers: str) -> Any:
    return api.post("/auth/login", {"username": name, "password": word}, headers=headers)


def guess(api: Api, name: str = "alice", times: int = 1, **headers: str) -> list[int]:
    """Return the statuses of so many wrong guesses."""
    return [login(api, name, "wrong", **headers).status_code for _ in range(times)]


def recorded(event: str) -> list[tuple[str, str]]:
    """Return (subject, reason) of the events of a kind."""
    return [(subject, reason) for found, _, subject, reason in events() if found == event]


@pytest.mark.usefixtures("alice")
def test_after_five_failures_even_the_right_password_is_refused_until_the_window_ends(api: Api, clock: Any) -> None:
    assert guess(api, times=5) == [401] * 5
    for response in (login(api), login(api, word="wrong")):
        assert (response.status_code, response.json(), response["Retry-After"]) == (429, LOCKED_OUT, "900")
        assert response["Content-Type"] == "application/problem+json"


@pytest.mark.usefixtures("alice")
def test_the_fifth_wrong_password_reads_like_the_first(api: Api) -> None:
    answers = [login(api, word="wrong") for _ in range(5)]
    assert {(answer.status_code, answer.content) for answer in answers} == {(401, answers[0].content)}
    assert answers[-1].json() == BAD_CREDENTIAL
    assert "Retry-After" not in answers[-1]


@pytest.mark.usefixtures("alice")
@pytest.mark.parametrize(
    ("passed", "status", "wait"),
    [(0, 429, "900"), (0.5, 429, "900"), (60, 429, "840"), (899, 429, "1"), (899.5, 429, "1"), (900, 200, None)],
    ids=str,
)
def test_the_window_lasts_fifteen_minutes_and_retry_after_is_its_rest(
    api: Api, clock: Any, passed: float, status: int, wait: str | None
) -> None:
    guess(api, times=5)
    clock.shift(passed)
    response = login(api)
    assert (response.status_code, response.headers.get("Retry-After")) == (status, wait)


@pytest.mark.usefixtures("alice")
def test_the_window_begins_with_the_first_failure_and_refused_attempts_do_not_prolong_it(api: Api, clock: Any) -> None:
    for _ in range(5):
        assert guess(api) == [401]
        clock.shift(120)
    assert login(api)["Retry-After"] == "300"
    clock.shift(290)
    assert guess(api, times=20) == [429] * 20
    clock.shift(10)
    assert login(api).status_code == 200


@pytest.mark.usefixtures("alice")
def test_a_window_that_is_over_begins_anew_with_all_its_attempts(api: Api, clock: Any) -> None:
    assert guess(api, times=6) == [401] * 5 + [429]
    clock.shift(900)
    assert guess(api, times=6) == [401] * 5 + [429]
    assert login(api)["Retry-After"] == "900"
    assert recorded("user:locked_out") == [("Alice", "5 failures from 127.0.0.1")] * 2


@pytest.mark.usefixtures("alice")
def test_failures_over_more_than_fifteen_minutes_lock_nobody_out(api: Api, clock: Any) -> None:
    assert guess(api, times=4) == [401] * 4
    clock.shift(900)
    assert guess(api, times=4) == [401] * 4
    assert login(api).status_code == 200


def test_what_others_do_elsewhere_does_not_lock_a_user_out(alice: User) -> None:
    home, mallory = api_from("198.51.100.7"), api_from("203.0.113.9")
    assert guess(mallory, times=6) == [401] * 5 + [429]
    assert [login(home).status_code, login(mallory).status_code] == [200, 429]
    assert guess(home, times=5) == [401] * 5


def test_behind_a_proxy_the_address_is_the_one_that_the_proxy_saw(api: Api, alice: User, settings: Any) -> None:
    settings.TRUSTED_PROXIES = 1
    mallory = [{"X-Forwarded-For": f"192.0.2.{number}, 203.0.113.9"} for number in range(6)]
    assert [guess(api, **headers) for headers in mallory] == [[401]] * 5 + [[429]]
    assert login(api, **{"X-Forwarded-For": "203.0.113.9"}).status_code == 429
    assert login(api, **{"X-Forwarded-For": "203.0.113.9, 198.51.100.7"}).status_code == 200


def test_without_a_proxy_the_header_is_nobodys_word(api: Api, alice: User) -> None:
    answers = [guess(api, **{"X-Forwarded-For": f"192.0.2.{number}"}) for number in range(6)]
    assert answers == [[401]] * 5 + [[429]]
    assert [row.address for row in Lockout.objects.order_by("limit")] == ["127.0.0.1"] * 2


@pytest.mark.parametrize("stranger", ["nobody", "nobody@example.com"])
def test_unknown_names_are_counted_alike(api: Api, alice: User, clock: Any, stranger: str) -> None:
    unknown, known = ([login(api, name, "wrong") for _ in range(6)] for name in (stranger, "alice"))
    assert [answer.status_code for answer in unknown] == [401] * 5 + [429]
    assert [(a.status_code, a.content) for a in unknown] == [(a.status_code, a.content) for a in known]
    assert [a["Retry-After"] for a in (unknown[-1], known[-1])] == ["900", "900"]


def test_disabled_users_and_those_without_a_password_are_counted_alike(api: Api, alice: User) -> None:
    UserFactory(username="disabled", is_active=False)
    UserFactory(username="robot", password=make_password(None), is_service=True)
    for name in ("disabled", "robot"):
        assert [login(api, name).status_code for _ in range(6)] == [401] * 5 + [429]
    assert login(api).status_code == 200


@pytest.mark.parametrize(
    "names",
    [
        pytest.param(["alice", "ALICE", "Alice", " alice ", "ａｌｉｃｅ"], id="the name's forms"),
        pytest.param(["alice", "alice@example.com", "ALICE@EXAMPLE.COM", "Alice", "alice@example.com "], id="address"),
        pytest.param(["nobody", "NOBODY", " nobody", "Nobody", "ｎｏｂｏｄｙ"], id="a stranger's forms"),
    ],
)
def test_all_that_a_user_is_called_shares_one_count(api: Api, alice: User, names: list[str]) -> None:
    assert [login(api, name, "wrong").status_code for name in names] == [401] * 5
    assert [login(api, name).status_code for name in names] == [429] * 5
    assert Lockout.objects.filter(limit=5).count() == 1


def test_a_success_resets_the_users_count_and_not_the_addresss(api: Api, alice: User, bob: User) -> None:
    assert guess(api, times=4) + guess(api, "bob") == [401] * 5
    assert login(api).status_code == 200
    rows = Lockout.objects.order_by("limit").values_list("user__username", "failures", "limit")
    assert sorted(rows, key=str) == [("Alice", 0, 5), ("bob", 1, 5), (None, 5, 100)]
    assert guess(api, times=6) == [401] * 5 + [429]


def test_an_address_has_a_hundred_failures_whatever_the_users(alice: User, bob: User, settings: Any) -> None:
    settings.LOGIN_RATE = ""
    mallory = api_from("203.0.113.9")
    assert {guess(mallory, f"nobody{number}")[0] for number in range(100)} == {401}
    response = login(mallory)
    assert (response.status_code, response.json()) == (429, LOCKED_OUT)
    assert (guess(mallory, "bob"), login(api_from("203.0.113.10")).status_code) == ([429], 200)
    assert recorded("user:locked_out") == [("", "100 failures from 203.0.113.9")]


def test_who_has_an_account_does_not_guess_the_others_for_ever(alice: User, settings: Any) -> None:
    settings.LOGIN_RATE = ""
    mallory = api_from("203.0.113.9")
    statuses = [[*guess(mallory, f"nobody{number}"), login(mallory).status_code] for number in range(99)]
    assert statuses == [[401, 200]] * 99
    assert [*guess(mallory, "nobody99"), login(mallory).status_code] == [401, 429]


def test_an_ipv6_client_is_its_whole_network(alice: User) -> None:
    assert [guess(api_from(f"2001:db8::{n:x}"))[0] for n in range(6)] == [401] * 5 + [429]
    assert login(api_from("2001:db8:0:1::1")).status_code == 200
    assert {row.address for row in Lockout.objects.filter(failures__gt=0)} == {"2001:db8::/64"}


def test_an_ipv4_address_in_ipv6_form_is_itself_and_no_network(alice: User) -> None:
    assert guess(api_from("::ffff:203.0.113.9"), times=3) + guess(api_from("203.0.113.9"), times=3) == [401] * 5 + [429]
    assert login(api_from("::ffff:203.0.113.10")).status_code == 200


def test_the_record_tells_once_who_was_locked_out_from_where(api: Api, alice: User) -> None:
    guess(api, times=9)
    assert recorded("user:locked_out") == [("Alice", "5 failures from 127.0.0.1")]
    assert recorded("user:login_failed") == [("Alice", "password wrong")] * 5


def test_nothing_that_was_typed_as_an_unknown_name_is_stored(api: Api, alice: User) -> None:
    guess(api, "Hunter2Secret", times=6)
    with connection.cursor() as cursor:
        stored = ""
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")
            stored += repr(cursor.fetchall()).lower()
    assert "5 failures from 127.0.0.1" in stored
    assert "hunter2secret" not in stored


@pytest.mark.django_db
def test_what_was_typed_as_an_unknown_name_cannot_be_guessed_from_what_is_stored(api: Api, settings: Any) -> None:
    found = []
    for secret in ("x" * 40, "y" * 40):  # who has the database alone has no key to try names with
        settings.SECRET_KEY = secret
        guess(api, "Hunter2Secret")
        found.append(set(Lockout.objects.filter(limit=5).values_list("key", flat=True)))
        Lockout.objects.all().delete()
    assert not found[0] & found[1]


@pytest.mark.parametrize("failures", [0, 1, 4, 5], ids=["first", "second", "fifth", "refused"])
def test_it_costs_the_same_queries_and_hashes_whoever_is_guessed(
    api: Api, alice: User, hashings: list[str], failures: int
) -> None:
    UserFactory(username="disabled", is_active=False)
    work = []
    for name in ("alice", "disabled", "nobody", "nobody@example.com"):
        guess(api, name, times=failures)
        hashings.clear()
        with CaptureQueriesContext(connection) as queries:
            guess(api, name)
        work.append(([query["sql"].split()[0] for query in queries], list(hashings)))
    assert work == [work[0]] * 4
    assert work[0][1] == ([] if failures == 5 else ["04"])


@pytest.mark.parametrize(
    "name", ["", " ", "\ud800", "a\x00b", "'; --", "％"], ids=["empty", "space", "half", "NUL", "SQL", "sign"]
)
def test_names_that_are_none_fail_nothing(api: Api, db: None, name: str) -> None:
    answers = {login(api, name, "wrong").status_code for _ in range(7)}
    assert answers <= {400, 401, 429}


class BusyHasher(BCryptSHA256Hasher):
    """Lets something else happen while bcrypt runs, once."""

    meanwhile: list[Callable[[], Any]] = []

    def verify(self, password: str, encoded: str) -> bool:
        if self.meanwhile:
            self.meanwhile.pop()()
        return super().verify(password, encoded)


@pytest.mark.parametrize("word", [PASSWORD, "wrong"], ids=["right", "wrong"])
def test_a_guess_that_was_in_flight_when_the_limit_was_reached_is_told_nothing(
    api: Api, alice: User, settings: Any, word: str
) -> None:
    settings.PASSWORD_HASHERS = [f"{__name__}.BusyHasher"]
    told: list[int] = []
    BusyHasher.meanwhile = [lambda: told.extend(guess(Api(), times=5))]
    response = login(api, word=word)
    assert (told, response.status_code, response.json()) == ([401] * 5, 429, LOCKED_OUT)
    assert recorded("user:logged_in") == []
    assert Lockout.objects.get(limit=5).failures == 5


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("name", ["alice", "nobody"])
def test_of_thirty_parallel_guesses_five_are_answered(alice: User, name: str) -> None:
    answers = at_once([lambda: guess(Api(), name)[0]] * 30)
    assert Counter(answers) == {401: 5, 429: 25}
    assert (login(Api(), name).status_code, Lockout.objects.get(limit=5).failures) == (429, 5)
    assert recorded("user:locked_out") == [("Alice" if name == "alice" else "", "5 failures from 127.0.0.1")]


@pytest.mark.django_db(transaction=True)
def test_parallel_guesses_of_many_names_are_all_counted_for_their_address(alice: User) -> None:
    answers = at_once([lambda number=number: guess(Api(), f"nobody{number}")[0] for number in range(30)])  # type: ignore[misc]
    assert answers == [401] * 30
    assert Lockout.objects.get(limit=100).failures == 30
