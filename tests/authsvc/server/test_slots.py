"""Which core and which slot each worker process has, and how many connections."""

from __future__ import annotations

import os
import resource
from types import SimpleNamespace
from typing import Any

import pytest

from authsvc.server.slots import SLOTS, assign, max_connections, pin_to_core


def cores_of(available: set[int] | None, processes: int, living: list[int | None], monkeypatch: Any) -> int | None:
    """Return the core that the next process of so many gets, beside siblings that have theirs."""
    if available is None:
        monkeypatch.delattr(os, "sched_getaffinity")
    else:
        monkeypatch.setattr(os, "sched_getaffinity", lambda pid: available)
    siblings = {number: SimpleNamespace(core=core, seat=number) for number, core in enumerate(living)}
    new = SimpleNamespace()
    assign(SimpleNamespace(WORKERS=siblings, num_workers=processes), new)
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
    pin_to_core(SimpleNamespace(core=core))
    assert calls == kept


def test_a_process_that_may_not_choose_its_core_serves_all_the_same(monkeypatch: Any) -> None:
    asked: list[Any] = []

    def forbid(*arguments: Any) -> None:
        asked.append(arguments)
        raise PermissionError

    monkeypatch.setattr(os, "sched_setaffinity", forbid)
    pin_to_core(SimpleNamespace(core=1))
    assert asked == [(0, {1})]


@pytest.mark.parametrize(
    ("taken", "slot"),
    [
        pytest.param([], 0, id="the first"),
        pytest.param([0, 1], 2, id="beside two"),
        pytest.param([0, 2], 1, id="in the place of one that has died"),
        pytest.param([None, 0], 1, id="beside one that has none"),
        pytest.param(range(SLOTS), None, id="none is left"),
    ],
)
def test_a_new_process_takes_the_first_free_slot(taken: Any, slot: int | None) -> None:
    siblings = {number: SimpleNamespace(core=None, seat=taken) for number, taken in enumerate(taken)}
    new = SimpleNamespace()
    assign(SimpleNamespace(WORKERS=siblings, num_workers=1), new)
    assert new.seat == slot


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
    assert (max_connections(), limits) == (connections, asked)
