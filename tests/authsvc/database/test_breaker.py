"""The circuit breaker: open after a time-out, closed by a probe."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from threading import Event

import pytest

from authsvc.database import breaker as module
from authsvc.database.breaker import Breaker, answers
from tests.flows.conftest import eventually


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(module, "PROBE_INTERVAL", 0.01)
    return


def test_it_is_open_until_a_probe_succeeds_and_each_change_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    up, asked = Event(), []
    breaker = Breaker(lambda: asked.append(True) or up.is_set())  # type: ignore[func-returns-value]  # list.append
    breaker.start()
    breaker.start()
    with caplog.at_level(logging.WARNING, "authsvc.database.breaker"):
        breaker.trip()
        breaker.trip()
        eventually(lambda: len(asked) > 3)
        assert (breaker.is_open, breaker.generation) == (True, 1)
        up.set()
        eventually(lambda: not breaker.is_open)
        up.clear()
        breaker.trip()
        assert (breaker.is_open, breaker.generation) == (True, 2)
        up.set()
        eventually(lambda: not breaker.is_open)
        eventually(lambda: len(caplog.records) == 4)
    assert [record.getMessage() for record in caplog.records] == [
        "the database does not answer; requests get 503 until it does",
        "the database answers again",
    ] * 2


def test_a_process_that_does_not_probe_never_opens_it() -> None:
    breaker = Breaker(lambda: True)
    breaker.trip()
    assert (breaker.is_open, breaker.generation) == (False, 0)


def test_connections_are_replaced_once_a_second_at_most() -> None:
    breaker = Breaker(lambda: True)
    for _ in range(3):
        breaker.replace_connections()
    assert breaker.generation == 1
    breaker.replaced_at = time.monotonic() - module.PATIENCE
    breaker.replace_connections()
    assert breaker.generation == 2


@pytest.mark.usefixtures("committed")
def test_a_probe_asks_the_database() -> None:
    assert answers()


@pytest.mark.usefixtures("database_away")
def test_a_probe_notices_a_database_that_is_away() -> None:
    assert not answers()
