"""Which core and which seat each process of a gunicorn has, and what the others know of its connections."""

from __future__ import annotations

import os
import resource
from array import array
from multiprocessing import get_context
from types import SimpleNamespace
from typing import Any

import pytest

from authsvc.server import balance
from authsvc.server.balance import SEATS, another_has_fewer, keep_core, leave_seat, take_place, tell


def cores_of(available: set[int] | None, processes: int, living: list[int | None], monkeypatch: Any) -> int | None:
    """Return the core that the next process of so many gets, beside siblings that have theirs."""
    if available is None:
        monkeypatch.delattr(os, "sched_getaffinity")
    else:
        monkeypatch.setattr(os, "sched_getaffinity", lambda pid: available)
    siblings = {number: SimpleNamespace(core=core, seat=number) for number, core in enumerate(living)}
    new = SimpleNamespace()
    take_place(SimpleNamespace(WORKERS=siblings, num_workers=processes), new)
    core: int | None = new.core
    return core


@pytest.mark.parametrize(
    ("available", "processes", "living", "core"),
    [
        pytest.param({0, 1}, 2, [], 0, id="the first"),
        pytest.param({0, 1}, 2, [0], 1, id="the second"),
        pytest.param({0, 1}, 2, [1], 0, id="in the place of one that has died"),
        pytest.param({0, 1}, 2, [0, 1], 0, id="beside two that a reload replaces"),
        pytest.param({0, 1}, 2, [0, 1, 0], 1, id="the second beside them"),
        pytest.param({4, 7}, 2, [4], 7, id="whichever cores there are"),
        pytest.param({0, 1}, 5, [0, 1, 0, 1], 0, id="more processes than cores"),
        pytest.param({0, 1, 2}, 2, [], None, id="fewer processes than cores"),
        pytest.param({0}, 1, [], 0, id="one core"),
        pytest.param(None, 2, [None], None, id="a system that cannot"),
    ],
)
def test_processes_share_the_cores_evenly_where_none_would_be_idle(
    available: set[int] | None, processes: int, living: list[int | None], core: int | None, monkeypatch: Any
) -> None:
    assert cores_of(available, processes, living, monkeypatch) == core


@pytest.mark.parametrize(("core", "kept"), [(1, [(0, {1})]), (None, [])])
def test_a_process_keeps_the_core_that_it_was_given(core: int | None, kept: list[Any], monkeypatch: Any) -> None:
    calls: list[Any] = []
    monkeypatch.setattr(os, "sched_setaffinity", lambda *arguments: calls.append(arguments))
    keep_core(SimpleNamespace(core=core))
    assert calls == kept


def test_a_process_that_may_not_choose_its_core_serves_all_the_same(monkeypatch: Any) -> None:
    asked: list[Any] = []

    def forbid(*arguments: Any) -> None:
        asked.append(arguments)
        raise PermissionError

    monkeypatch.setattr(os, "sched_setaffinity", forbid)
    keep_core(SimpleNamespace(core=1))
    assert asked == [(0, {1})]


@pytest.fixture
def seats(monkeypatch: pytest.MonkeyPatch) -> memoryview:
    """Seats of this test's own."""
    made = memoryview(array("I", [0] * SEATS))
    monkeypatch.setattr(balance, "seats", made)
    return made


@pytest.mark.parametrize(
    ("taken", "seat"),
    [
        pytest.param([], 0, id="the first"),
        pytest.param([0, 1], 2, id="beside two"),
        pytest.param([0, 2], 1, id="in the place of one that has died"),
        pytest.param([None, 0], 1, id="beside one that has none"),
        pytest.param(range(SEATS), None, id="none is left"),
    ],
)
def test_a_new_process_takes_the_first_free_seat(taken: Any, seat: int | None, seats: memoryview) -> None:
    seats[:] = array("I", [3] * SEATS)
    siblings = {number: SimpleNamespace(core=None, seat=taken) for number, taken in enumerate(taken)}
    new = SimpleNamespace()
    take_place(SimpleNamespace(WORKERS=siblings, num_workers=1), new)
    assert new.seat == seat
    assert seats.tolist() == [0 if number == seat else 3 for number in range(SEATS)]  # what a dead one left is gone


@pytest.mark.parametrize(
    ("alive", "connections", "told"), [(True, 0, 1), (True, 16, 17), (False, 16, 0)], ids=["none", "some", "stops"]
)
def test_a_process_tells_what_it_has_as_long_as_it_takes_more(
    alive: bool, connections: int, told: int, seats: memoryview
) -> None:
    tell(SimpleNamespace(seat=2, nr_conns=connections, alive=alive))
    assert seats.tolist()[:4] == [0, 0, told, 0]


def test_a_process_without_a_seat_tells_nothing(seats: memoryview) -> None:
    seats[:] = array("I", [3] * SEATS)
    tell(SimpleNamespace(seat=None, nr_conns=8, alive=True))
    leave_seat(SimpleNamespace(seat=None))
    assert set(seats) == {3}


@pytest.mark.parametrize(
    ("mine", "told", "waits"),
    [
        pytest.param(0, [], False, id="nobody has told yet"),
        pytest.param(0, [1, 1], False, id="nobody has any"),
        pytest.param(1, [2, 1], True, id="another has none"),
        pytest.param(3, [4, 3], True, id="one fewer of three"),
        pytest.param(8, [9, 7], True, id="two fewer of eight"),
        pytest.param(8, [9, 8], False, id="one fewer of eight is as good as even"),
        pytest.param(8, [9, 0, 17], False, id="one that takes no more does not count"),
        pytest.param(8, [9, 17, 0, 2], True, id="the one that has fewest counts"),
    ],
)
def test_a_process_waits_for_one_that_has_fewer(mine: int, told: list[int], waits: bool, seats: memoryview) -> None:
    seats[: len(told)] = array("I", told)
    assert another_has_fewer(SimpleNamespace(nr_conns=mine)) is waits


def test_all_processes_see_the_same_seats() -> None:
    balance.seats[SEATS - 1] = 0
    child = get_context("fork").Process(target=balance.seats.__setitem__, args=(SEATS - 1, 5))
    child.start()
    child.join(60)
    assert balance.seats[SEATS - 1] == 5
    balance.seats[SEATS - 1] = 0


@pytest.mark.parametrize(
    ("soft", "hard", "asked", "connections"),
    [
        pytest.param(1024, 1_048_576, [(1128, 1_048_576)], 1000, id="as most systems have it"),
        pytest.param(1024, resource.RLIM_INFINITY, [(1128, resource.RLIM_INFINITY)], 1000, id="no hard limit"),
        pytest.param(65_536, 65_536, [], 1000, id="more than enough"),
        pytest.param(256, 512, [(512, 512)], 384, id="a low hard limit"),
        pytest.param(resource.RLIM_INFINITY, resource.RLIM_INFINITY, [], 1000, id="no limit"),
        pytest.param(64, 64, [], 16, id="hardly any"),
    ],
)
def test_a_process_has_as_many_connections_as_it_has_descriptors_for(
    soft: int, hard: int, asked: list[tuple[int, int]], connections: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (soft, hard))
    monkeypatch.setattr(resource, "setrlimit", lambda kind, pair: limits.append(pair))
    assert (balance.connections(), limits) == (connections, asked)
