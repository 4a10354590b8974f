"""The time of an answer tells nobody who has an account: the same work for everybody, shown by statistics."""

from __future__ import annotations

import gc
import random
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import User
from accounts.services import mail_links
from tests.accounts.mails import sent
from tests.conftest import Api
from tests.factories import UserFactory

pytestmark = pytest.mark.django_db
# Samples of each kind. 0.5 is chance, with a standard error of 0.026. Building a user from the row found takes a few
# microseconds, 0.54 here, where nothing but the CPU is measured; a millisecond was 0.57 to 0.65 over HTTP.
SAMPLES, ATTEMPTS, FAIR = 250, 5, (0.42, 0.58)
# Seconds by which logins may differ beside the bcrypt, which takes 0.2 s in a thread of its own, give or take 0.005.
BESIDE_BCRYPT = 0.0005
RESET, VERIFY = "/auth/password/reset", "/auth/email/verify"


def auc(first: list[float], second: list[float]) -> float:
    """Return the chance that one of the second takes longer than one of the first (Mann and Whitney's U)."""
    ranked = sorted([(value, 0) for value in first] + [(value, 1) for value in second])
    ranks = sum(rank for rank, (_, kind) in enumerate(ranked, 1) if kind)
    return (ranks - len(second) * (len(second) + 1) / 2) / (len(first) * len(second))


def measure(one: Callable[[], Any], other: Callable[[], Any]) -> tuple[list[float], list[float]]:
    """Return the seconds of CPU that two calls took in this thread, made by turns in random order."""
    taken: tuple[list[float], list[float]] = ([], [])
    gc.collect()
    for _ in range(SAMPLES):
        for kind in random.sample((0, 1), 2):
            began = time.thread_time()
            (one, other)[kind]()
            taken[kind].append(time.thread_time() - began)
    return taken


def is_even(one: Callable[[], Any], other: Callable[[], Any]) -> bool:
    """Say whether nobody can tell two calls apart by their time, in one of the attempts, and print what each found."""
    found: list[float] = []
    while len(found) < ATTEMPTS and not any(FAIR[0] < each < FAIR[1] for each in found):
        found.append(auc(*measure(one, other)))
    print(found)
    return FAIR[0] < found[-1] < FAIR[1]


@pytest.fixture(autouse=True)
def one_address(settings: Any) -> None:
    """No limit on what comes from one address, as all of this does."""
    settings.LOGIN_RATE = settings.MAIL_RATE = ""


@pytest.fixture
def unlimited(monkeypatch: pytest.MonkeyPatch) -> None:
    """No limit on mails to one address."""
    monkeypatch.setattr(mail_links, "MAILS", "1000000/hour")


def asking(api: Api, route: str, users: list[User]) -> Callable[[], Any]:
    """Return a call that asks for a mail to one of these."""
    return lambda: api.post(route, {"email": random.choice(users).email})


def absent(api: Api, route: str) -> Callable[[], Any]:
    """Return a call that asks for a mail to an address that nobody has."""
    return lambda: api.post(route, {"email": f"user{random.randrange(10**5, 10**6)}@example.com"})


def test_statistics_tell_what_differs() -> None:
    assert auc([1.0, 2.0, 3.0], [4.0, 5.0]) == 1
    assert auc([1.0, 4.0], [2.0, 3.0]) == 0.5
    assert not is_even(lambda: None, lambda: sum(range(1000)))


@pytest.mark.parametrize("route", [RESET, VERIFY])
@pytest.mark.usefixtures("unlimited")
def test_a_mail_takes_the_same_time_whether_the_address_exists(api: Api, route: str) -> None:
    assert is_even(absent(api, route), asking(api, route, [UserFactory() for _ in range(20)]))


@pytest.mark.usefixtures("unlimited")
def test_a_confirmation_takes_the_same_time_where_there_is_nothing_to_confirm(api: Api) -> None:
    confirmed = [UserFactory(email_verified_at=timezone.now()) for _ in range(20)]
    assert is_even(asking(api, VERIFY, confirmed), asking(api, VERIFY, [UserFactory() for _ in range(20)]))


def test_who_has_had_the_mails_takes_the_same_time(api: Api) -> None:
    had, others = [UserFactory() for _ in range(20)], [UserFactory() for _ in range(200)]
    for user in had * 6:
        api.post(RESET, {"email": user.email})
    assert len(sent()) == 20 * 5
    assert is_even(asking(api, RESET, had), asking(api, RESET, others))


def test_each_case_takes_the_same_steps(
    api: Api, django_assert_num_queries: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    handed: list[str | None] = []
    monkeypatch.setattr(mail_links.mail, "send", lambda subject, text, recipient, on_failure: handed.append(recipient))
    UserFactory(email="alice@example.com")
    UserFactory(email="off@example.com", is_active=False)
    for email in ("alice@example.com", "ALICE@example.com", "off@example.com", "nobody@example.com"):
        with django_assert_num_queries(4):
            assert api.post(RESET, {"email": email}).status_code == 202
        with django_assert_num_queries(1):
            assert api.post(VERIFY, {"email": email}).status_code == 202
    assert handed == ["alice@example.com"] * 4 + [None] * 4


@pytest.mark.parametrize("kind", ["unconfirmed", "service account", "disabled"])
def test_a_login_takes_the_same_time_for_an_unknown_name(
    settings: Any, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    settings.REQUIRE_VERIFIED_EMAIL = True
    monkeypatch.setattr("accounts.services.lockout.USER_FAILURES", 10**6)
    monkeypatch.setattr("accounts.services.lockout.ADDRESS_FAILURES", 10**6)
    state = {"service account": {"is_service": True}, "disabled": {"is_active": False}}.get(kind, {})
    names, api = [UserFactory(**state).username for _ in range(20)], Api()
    body = {"password": "not-the-password"}
    unknown, known = measure(
        lambda: api.post("/auth/login", {**body, "username": f"user{random.randrange(20)}-x"}),
        lambda: api.post("/auth/login", {**body, "username": random.choice(names)}),
    )
    assert abs(median(unknown) - median(known)) < BESIDE_BCRYPT
