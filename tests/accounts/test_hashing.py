"""How many passwords are hashed at once, who waits, and who is refused."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.test import Client

from accounts import hashers, hashing
from accounts.hashing import QUEUE, Hashing, HashingBusy, yield_to_others
from accounts.models import User
from tests.conftest import Api
from tests.factories import PASSWORD, UserFactory
from tests.flows.conftest import eventually

SECONDS = 20  # that a test waits for anything


@pytest.fixture
def pool() -> Iterator[Hashing]:
    made = Hashing(1)
    yield made
    made.executor.shutdown()


def has_a_place(pool: Hashing) -> bool:
    """Return whether another caller may wait."""
    return pool.places.acquire(blocking=False) and not pool.places.release()


class Slow:
    """A call that goes on until it is told to end."""

    def __init__(self) -> None:
        self.running, self.ending = threading.Semaphore(0), threading.Event()

    def __call__(self) -> int:
        self.running.release()
        assert self.ending.wait(SECONDS)
        return threading.get_native_id()


def test_as_many_run_at_once_as_there_are_threads_and_the_rest_waits(pool: Hashing) -> None:
    slow = Slow()
    with ThreadPoolExecutor(3) as callers:
        results = [callers.submit(pool.run, slow) for _ in range(3)]
        assert slow.running.acquire(timeout=SECONDS)
        assert not slow.running.acquire(timeout=0.1)
        slow.ending.set()
        assert len({result.result(SECONDS) for result in results}) == 1


def test_a_caller_beyond_the_queue_is_refused_immediately(pool: Hashing) -> None:
    slow = Slow()
    with ThreadPoolExecutor(QUEUE + 1) as callers:
        results = [callers.submit(pool.run, slow) for _ in range(QUEUE + 1)]
        assert slow.running.acquire(timeout=SECONDS)
        eventually(lambda: not has_a_place(pool))  # until all callers have theirs
        with pytest.raises(HashingBusy):
            pool.run(slow)
        slow.ending.set()
        assert all(result.result(SECONDS) for result in results)
    assert pool.run(lambda: 5) == 5


def test_a_caller_that_waits_too_long_is_refused(pool: Hashing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hashing, "WAIT", 0.05)
    slow = Slow()
    with ThreadPoolExecutor(1) as callers:
        running = callers.submit(pool.run, slow)
        assert slow.running.acquire(timeout=SECONDS)
        with pytest.raises(HashingBusy):
            pool.run(slow)
        slow.ending.set()
        assert running.result(SECONDS)


def test_a_call_that_fails_gives_its_place_back(pool: Hashing) -> None:
    for _ in range(QUEUE + 5):
        with pytest.raises(ZeroDivisionError):
            pool.run(lambda: 1 // 0)
    assert pool.run(lambda: 5) == 5


def test_a_hashing_thread_yields_to_others_and_keeps_no_core(pool: Hashing) -> None:
    def look() -> tuple[int, int]:
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id()), len(os.sched_getaffinity(0))

    priority, cores = pool.run(look)
    own = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    assert priority == min(19, own + hashing.NICENESS)
    assert cores >= len(os.sched_getaffinity(0))


def test_where_a_priority_cannot_be_set_passwords_are_hashed_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*values: int) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "setpriority", refuse)
    assert yield_to_others() is None  # type: ignore[func-returns-value]


def refuse(call: object) -> None:
    """Run nothing."""
    raise HashingBusy


BUSY = {
    "type": "about:blank",
    "title": "Service Unavailable",
    "status": 503,
    "detail": "Too many passwords are being checked; try again shortly.",
}


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/auth/login", {"username": "alice", "password": PASSWORD}),
        ("/auth/login", {"username": "nobody", "password": PASSWORD}),
        ("/auth/signup", {"username": "carol", "email": "carol@example.com", "password": PASSWORD}),
    ],
    ids=["login", "login of nobody", "sign-up"],
)
def test_a_password_that_cannot_be_hashed_now_is_answered_with_503(
    alice: User, api: Api, path: str, body: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hashers.hashing, "run", refuse)
    response = api.post(path, body)
    assert (response.status_code, response.json(), response["Retry-After"]) == (503, BUSY, "5")
    assert User.objects.count() == 1


@pytest.mark.django_db
def test_the_consoles_login_says_so_too(monkeypatch: pytest.MonkeyPatch) -> None:
    UserFactory(username="operator", is_staff=True)
    monkeypatch.setattr(hashers.hashing, "run", refuse)
    form: dict[str, Any] = {"username": "operator", "password": PASSWORD}
    response = Client(raise_request_exception=False).post("/admin/login/?next=/admin/", form)
    assert (response.status_code, response["Retry-After"]) == (503, "5")
