"""Whether the database can serve requests, asked once for all who ask at the same time."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Any

import pytest
from django.db import connection

from authsvc.database import readiness
from authsvc.database.breaker import breaker
from authsvc.database.deadlines import budget
from authsvc.database.readiness import SingleFlight
from tests.conftest import Api
from tests.flows.conftest import eventually


def test_callers_at_the_same_time_share_one_run() -> None:
    flight, go, ran = SingleFlight[int](), Event(), []

    def work() -> int:
        ran.append(True)
        assert go.wait(10)
        return len(ran)

    with ThreadPoolExecutor(8) as pool:
        calls = [pool.submit(flight.run, work, 10) for _ in range(8)]
        eventually(lambda: sum(call.running() for call in calls) == 8)
        go.set()
        assert [call.result(timeout=10) for call in calls] == [1] * 8
    assert flight.run(lambda: 7, 1) == 7


def test_whoever_shares_a_run_waits_no_longer_than_told_and_gets_its_error() -> None:
    flight, go = SingleFlight[int](), Event()

    def work() -> int:
        assert go.wait(10)
        raise KeyError("x")

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(flight.run, work, 10)
        eventually(lambda: flight.running is not None)
        with pytest.raises(TimeoutError):
            flight.run(work, 0.01)
        second = pool.submit(flight.run, work, 10)
        eventually(second.running)
        go.set()
        for call in (first, second):
            with pytest.raises(KeyError):
                call.result(timeout=10)


@pytest.mark.usefixtures("db")
def test_while_the_database_is_known_to_be_silent_nobody_asks_it(
    api: Api, monkeypatch: pytest.MonkeyPatch, django_assert_num_queries: Any
) -> None:
    with monkeypatch.context() as patch, django_assert_num_queries(0):
        patch.setattr(breaker, "is_open", True)
        response = api.get("/readyz")
    assert (response.status_code, response.json()["detail"]) == (503, "The database cannot be reached.")


@pytest.mark.usefixtures("db")
def test_a_database_that_cannot_be_written_is_not_ready(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION READ ONLY")
        before = breaker.generation
    else:
        file = str(connection.settings_dict["NAME"])
        monkeypatch.setattr(os, "access", lambda path, *mode, **how: str(path) != file)
        before = breaker.generation - 1
    monkeypatch.setattr(breaker, "replaced_at", float("-inf"))
    response = api.get("/readyz")
    assert (response.status_code, response.json()["detail"]) == (503, "The database is read-only.")
    assert breaker.generation == before + 1


@pytest.mark.usefixtures("db")
def test_a_check_has_a_budget_of_its_own(settings: Any) -> None:
    with readiness.asking():
        assert readiness.is_writable()
        assert 0 < budget.left <= readiness.ASK_SECONDS
    settings.DATABASE_TIMEOUT = 1
    with readiness.asking():
        assert budget.left <= 1
