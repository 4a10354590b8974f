"""What threads with connections of their own do to one session at the same moment."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from django.contrib.auth.hashers import make_password

from accounts.jwt.tokens import TokenPair
from accounts.models import Lockout, RefreshToken, Session, User
from accounts.services import users
from audit.models import AuditEvent
from tests.accounts.conftest import at_once
from tests.conftest import Api
from tests.factories import PASSWORD, UserFactory, pair_of

pytestmark = pytest.mark.django_db(transaction=True)
NEW = "battery-staple-correct"
ROUNDS = int(os.environ.get("ROUNDS", "10"))  # of each race
LOGIN = {"username": "alice", "password": PASSWORD}


@pytest.fixture
def alice(transactional_db: None) -> User:
    return UserFactory(username="alice", email="alice@example.com")


def post(path: str, body: dict[str, str], token: str | None = None) -> Any:
    return Api().post(path, body, token=token)


def refresh(token: str) -> Any:
    return post("/auth/refresh", {"refresh_token": token})


def opens(token: str) -> bool:
    return bool(Api().get("/auth/me", token=token).status_code == 200)


def of_session(pair: TokenPair, *answers: Any) -> list[str]:
    """Return every access token that a session has given out: the first, and what refreshes answered."""
    return [pair.access_token, *(a.json()["access_token"] for a in answers if a.status_code == 200)]


def set_password(password: str) -> None:
    """Write a password past everything that watches for it."""
    User.objects.update(password=make_password(password))


def rounds(race: Callable[[], None]) -> None:
    """Run a race a few times, since who wins is a matter of luck."""
    for _ in range(ROUNDS):
        Lockout.objects.all().delete()
        race()


def test_of_many_parallel_refreshes_with_one_token_one_wins(alice: User) -> None:
    pair = pair_of(alice)
    answers = at_once([partial(refresh, pair.refresh_token)] * 40)
    assert Counter(answer.status_code for answer in answers) == {200: 1, 401: 39}
    (won,) = (answer.json() for answer in answers if answer.status_code == 200)
    assert (RefreshToken.objects.filter(spent_at=None).count(), Session.objects.filter(ended_at=None).count()) == (1, 1)
    assert refresh(won["refresh_token"]).status_code == 200


def test_a_logout_beside_a_refresh_leaves_nothing_that_opens(alice: User) -> None:
    def race() -> None:
        pair = pair_of(alice)
        body = {"refresh_token": pair.refresh_token}
        renewed, left = at_once([partial(refresh, pair.refresh_token), partial(post, "/auth/logout", body)])
        assert (renewed.status_code in {200, 401}, left.status_code) == (True, 204)
        assert [opens(token) for token in of_session(pair, renewed)].count(True) == 0

    rounds(race)


def test_ending_all_sessions_beside_a_refresh_leaves_nothing_that_opens(alice: User) -> None:
    def race() -> None:
        pair = pair_of(alice)
        end = partial(Api().delete, "/auth/sessions", token=pair_of(alice).access_token)
        renewed, ended = at_once([partial(refresh, pair.refresh_token), end])
        assert ended.status_code == 204
        assert [opens(token) for token in of_session(pair, renewed)].count(True) == 0

    rounds(race)


def test_a_password_change_beside_a_refresh_ends_the_other_session(alice: User) -> None:
    def race() -> None:
        set_password(PASSWORD)
        here, other = pair_of(alice), pair_of(alice)
        body = {"current_password": PASSWORD, "new_password": NEW}
        renewed, changed = at_once(
            [partial(refresh, other.refresh_token), partial(post, "/auth/password", body, here.access_token)]
        )
        assert changed.status_code == 204
        assert [opens(token) for token in of_session(other, renewed)].count(True) == 0
        assert opens(here.access_token)

    rounds(race)


def test_a_login_with_the_old_password_beside_its_change_leaves_no_session(alice: User) -> None:
    def race() -> None:
        set_password(PASSWORD)
        here = pair_of(alice)
        body = {"current_password": PASSWORD, "new_password": NEW}
        logged_in, changed = at_once(
            [partial(post, "/auth/login", LOGIN), partial(post, "/auth/password", body, here.access_token)]
        )
        assert (changed.status_code, logged_in.status_code in {200, 401}) == (204, True)
        assert not opens(logged_in.json().get("access_token", "none was given"))
        assert User.objects.get().check_password(NEW)

    rounds(race)


def test_of_two_password_changes_at_once_one_wins(alice: User) -> None:
    def race() -> None:
        set_password(PASSWORD)
        tokens, words = [pair_of(alice).access_token for _ in range(2)], [NEW, f"{NEW}-2"]
        bodies = [{"current_password": PASSWORD, "new_password": word} for word in words]
        answers = at_once(
            [partial(post, "/auth/password", body, token) for body, token in zip(bodies, tokens, strict=True)]
        )
        statuses = [answer.status_code for answer in answers]
        assert sorted(statuses) in ([204, 400], [204, 401])
        assert User.objects.get().check_password(words[statuses.index(204)])

    rounds(race)


def test_a_login_beside_disabling_its_user_leaves_no_session_for_when_it_is_enabled_again(alice: User) -> None:
    def race() -> None:
        users.set_active(user=alice, active=True)
        logged_in, _ = at_once(
            [partial(post, "/auth/login", LOGIN), partial(users.set_active, user=alice, active=False)]
        )
        users.set_active(user=alice, active=True)
        assert logged_in.status_code in {200, 401}
        assert not opens(logged_in.json().get("access_token", "none was given"))
        assert not Session.objects.filter(ended_at=None).exists()

    rounds(race)


def test_of_parallel_reuses_one_is_recorded(alice: User) -> None:
    pair = pair_of(alice)
    assert refresh(pair.refresh_token).status_code == 200
    RefreshToken.objects.exclude(spent_at=None).update(spent_at="2020-01-01T00:00:00Z")
    answers = at_once([partial(refresh, pair.refresh_token)] * 10)
    assert {answer.status_code for answer in answers} == {401}
    assert AuditEvent.objects.filter(event="session:refresh_reused").count() == 1


def test_a_login_that_renews_its_hash_does_not_bring_an_old_password_back(alice: User, settings: Any) -> None:
    stale = User.objects.get()
    set_password(NEW)
    settings.BCRYPT_ROUNDS = 5
    assert stale.check_password(PASSWORD)
    current = User.objects.get()
    assert (current.check_password(NEW), current.check_password(PASSWORD)) == (True, False)
