"""Deadlines: what waits too long is shut down, what is in time is left alone, and nobody else's socket is touched."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from math import inf
from threading import Event, Lock, Thread

import pytest
from django.db import OperationalError

from authsvc.database import deadlines
from authsvc.database.deadlines import Line, budget


@pytest.fixture(autouse=True)
def unlimited() -> Iterator[None]:
    """This thread's budget as it was before."""
    before = budget.left
    yield
    budget.left = before


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two ends of a connection."""
    near, far = socket.socketpair()
    with near, far:
        near.settimeout(10)
        far.settimeout(10)
        yield near, far


def test_a_blocking_read_ends_when_its_line_is_shut(pair: tuple[socket.socket, socket.socket]) -> None:
    near, _ = pair
    near.settimeout(None)
    line, told = Line(near.fileno()), []
    line.on_timeout = lambda: told.append(True)
    line.until = 0.0
    with ThreadPoolExecutor() as pool:
        reading = pool.submit(near.recv, 1)
        deadlines.end_late_waits(time.monotonic())
        assert reading.result(timeout=10) == b""
    assert (line.is_shut, told) == (True, [True])
    deadlines.end_late_waits(time.monotonic())
    assert told == [True]
    line.close()


@pytest.mark.parametrize("until", [inf, 1e12], ids=["nobody waits", "in time"])
def test_what_is_in_time_is_left_alone(pair: tuple[socket.socket, socket.socket], until: float) -> None:
    near, far = pair
    line = Line(near.fileno())
    line.until = until
    deadlines.end_late_waits(time.monotonic())
    far.sendall(b"x")
    assert (near.recv(1), line.is_shut) == (b"x", False)
    line.close()


def test_a_wait_of_a_probe_is_ended_and_not_reported(pair: tuple[socket.socket, socket.socket]) -> None:
    line, told = Line(pair[0].fileno()), []
    line.on_timeout = lambda: told.append(True)
    line.until, line.exempt = 0.0, True
    deadlines.end_late_waits(time.monotonic())
    assert (line.is_shut, told) == (True, [])
    line.close()


def test_a_descriptor_that_was_closed_and_given_out_again_is_not_shut() -> None:
    near, far = socket.socketpair()
    number, line = near.fileno(), Line(near.fileno())
    near.close()  # as libpq does by itself when it loses a connection
    other, end = socket.socketpair()
    assert number in {other.fileno(), end.fileno()}  # the kernel gives out the lowest number that is free
    line.until = 0.0
    deadlines.end_late_waits(time.monotonic())
    assert line.is_shut
    other.sendall(b"x")
    assert end.recv(1) == b"x"
    line.close()
    for one in (far, other, end):
        one.close()


def test_lines_that_open_close_and_are_shut_at_the_same_time_hit_nobody_else() -> None:
    stop, received = Event(), list[bytes]()

    def shut_everything() -> None:
        while not stop.is_set():
            deadlines.end_late_waits(time.monotonic())

    def open_and_close() -> None:
        for _ in range(300):
            near, far = socket.socketpair()
            line = Line(near.fileno())
            line.until = 0.0
            near.close()
            line.close()
            far.close()
            innocent, end = socket.socketpair()
            innocent.sendall(b"x")
            received.append(end.recv(1))
            innocent.close()
            end.close()

    watching = Thread(target=shut_everything)
    watching.start()
    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(open_and_close) for _ in range(4)]:
            done.result(timeout=60)
    stop.set()
    watching.join(10)
    assert received == [b"x"] * 1200


def test_a_line_is_closed_once() -> None:
    near, far = socket.socketpair()
    line = Line(near.fileno())
    number = line.fileno
    line.close()
    near.close()
    far.close()
    taken = os.open(os.devnull, os.O_RDONLY)
    line.close()
    assert os.fstat(taken)
    os.close(taken)
    assert (line.fileno, line in deadlines.lines, number >= 0) == (-1, False, True)
    assert not line.shut_if_late(inf)


def test_a_request_has_what_is_left_after_it_waited_for_a_thread(settings: object) -> None:
    deadlines.start_request({})
    assert budget.left == 10
    deadlines.start_request({deadlines.ARRIVED: time.monotonic() - 4})
    assert 5 < budget.left <= 6
    deadlines.start_request(None)
    assert budget.left == 10


def test_a_block_has_its_own_budget() -> None:
    budget.left = 7.0
    with deadlines.within(2.0, exempt=True):
        assert (budget.left, budget.exempt) == (2.0, True)
    assert (budget.left, budget.exempt) == (7.0, False)


def test_a_lock_that_another_holds_during_a_query_is_waited_for_within_the_budget() -> None:
    lock = Lock()
    with deadlines.within(0.05):
        with deadlines.holding(lock):
            assert lock.locked()
            with pytest.raises(OperationalError):
                deadlines.holding(lock).__enter__()  # held by this thread already
        assert (lock.locked(), budget.left <= 0) == (False, True)


def test_there_is_one_watchdog(pair: tuple[socket.socket, socket.socket]) -> None:
    deadlines.start_watchdog()
    first = deadlines._watchdog
    deadlines.start_watchdog()
    assert deadlines._watchdog is first
    line = Line(pair[0].fileno())
    line.until = time.monotonic()
    assert pair[0].recv(1) == b""
    line.close()
