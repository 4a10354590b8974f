"""Clients that are slow to send and slow to take: what they hold, for how long, and that nobody waits for them."""

from __future__ import annotations

import errno
import json
import selectors
import socket
import time
from collections.abc import Callable
from typing import Any

import pytest

from authsvc.server import slow_clients
from authsvc.server.connection import PENDING_LIMIT
from tests.authsvc.server.loop import Loop, get, looping, post

ENDS = b"\r\n0123456789"


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


def problem(answer: bytes) -> tuple[int, str]:
    """Return the status and detail of a refusal, after checking that it is one of the API's."""
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"Connection: close\r\n" in head
    assert b"Content-Type: application/problem+json\r\n" in head
    assert b"Cache-Control: no-store" in head
    document = json.loads(body)
    assert document["status"] == status(answer)
    return document["status"], document["detail"]


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Deadlines of a fraction of a second."""
    monkeypatch.setattr(slow_clients, "RECEIVE_SECONDS", 0.3)
    monkeypatch.setattr(slow_clients, "LINGER_SECONDS", 0.2)
    monkeypatch.setattr(slow_clients, "SWEEP_SECONDS", 0.05)


def test_a_request_that_arrives_in_pieces_is_answered_when_it_is_whole(loop: Loop) -> None:
    loop.body = lambda environ: environ["wsgi.input"].read()
    whole = post("/x", 10, b"0123456789")
    client = loop.connect(whole[:30])
    for piece in (whole[30:80], whole[80:]):
        loop.turn(lambda: loop.worker.watched)
        client.sendall(piece)
    answer = loop.received(client, ENDS)
    assert (status(answer), answer[-10:]) == (200, b"0123456789")


def test_no_thread_waits_for_a_client(loop: Loop) -> None:
    half = [get("/x")[:20], post("/x", 10, b"01"), b"", b"POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n"]
    slow = [loop.connect(data) for data in half * 3]
    answer = loop.received(loop.connect(get("/in-time")), b"/in-time")
    assert status(answer) == 200
    loop.turn(lambda: len(loop.worker.watched) == len(slow) + 1)


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize("data", [get("/x")[:20], post("/x", 10, b"01")], ids=["half a head", "half a body"])
def test_a_request_that_does_not_arrive_in_time_is_answered_with_408(loop: Loop, data: bytes) -> None:
    assert problem(loop.received(loop.connect(data))) == (408, "The request did not arrive in time.")
    loop.turn(lambda: loop.worker.nr_conns == 0)


@pytest.mark.usefixtures("hurried")
def test_bytes_that_drip_prolong_nothing(loop: Loop) -> None:
    client, began = loop.connect(b"GET /x HTTP/1.1\r\nX-Drip: "), time.monotonic()

    def is_closed() -> bool:
        try:
            client.sendall(b"x")
        except OSError:
            return True
        return False

    loop.turn(is_closed, seconds=5)
    assert time.monotonic() - began > 0.3
    loop.turn(lambda: loop.worker.nr_conns == 0)


@pytest.mark.usefixtures("hurried")
def test_a_client_that_is_silent_is_hung_up_on_without_a_word(loop: Loop) -> None:
    assert loop.received(loop.connect()) == b""
    assert (loop.worker.nr_conns, loop.worker.watched) == (0, {})


@pytest.mark.usefixtures("hurried")
def test_a_client_between_two_requests_has_the_time_of_keepalive_and_its_next_request_its_own(loop: Loop) -> None:
    client = loop.connect(get("/one"))
    assert loop.received(client, b"/one").endswith(b"/one")
    end = time.monotonic() + 0.6
    loop.turn(lambda: time.monotonic() > end)
    client.sendall(get("/two")[:20])
    assert problem(loop.received(client))[0] == 408


def test_a_body_that_is_too_large_is_not_waited_for_and_ends_the_connection(loop: Loop) -> None:
    seen: list[Any] = []
    loop.body = lambda environ: seen.append(environ["gunicorn.socket"].cut_short) or b"answered"  # type: ignore[func-returns-value]
    client = loop.connect(post("/x", 50_000_000, b"x" * 1000))
    answer = loop.received(client)
    assert b"Connection: close\r\n" in answer
    assert answer.endswith(b"answered")
    assert seen == [True]


@pytest.mark.parametrize("path", ["/auth/verify?scope=a", "/auth/verify-prefix/x"])
def test_forward_auth_waits_for_no_body(loop: Loop, path: str) -> None:
    answer = loop.received(loop.connect(post(path, 1000, b"x")))
    assert (status(answer), b"Connection: close\r\n" in answer) == (200, True)


def test_a_body_that_ends_before_its_time_is_read_as_it_is(loop: Loop) -> None:
    loop.body = lambda environ: environ["wsgi.input"].read()
    client = loop.connect(post("/x", 1000, b"short"))
    client.shutdown(socket.SHUT_WR)
    assert loop.received(client).endswith(b"short")


def test_a_client_that_hangs_up_within_a_head_is_forgotten(loop: Loop) -> None:
    client = loop.connect(b"GET /x")
    client.shutdown(socket.SHUT_WR)
    assert loop.received(client) == b""
    assert loop.worker.nr_conns == 0


def test_a_connection_that_is_reset_is_forgotten(loop: Loop) -> None:
    client = loop.connect(b"GET /x")
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    client.close()
    loop.turn(lambda: loop.worker.nr_conns == 0)
    assert loop.worker.held == 0


def test_a_client_that_asks_before_it_sends_a_body_is_told_to_go_on_once(loop: Loop) -> None:
    loop.body = lambda environ: environ["wsgi.input"].read()
    client = loop.connect(post("/x", 10, b"", "Expect: 100-continue"))
    assert loop.received(client, b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    client.sendall(b"01234")
    loop.turn(lambda: next(iter(loop.worker.watched)).received.data.endswith(b"01234"))
    client.sendall(b"56789")
    answer = loop.received(client, b"0123456789")
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")


def test_a_client_that_has_gone_when_it_is_asked_for_its_body_is_forgotten(loop: Loop, monkeypatch: Any) -> None:
    def gone(self: object, data: bytes) -> None:
        raise BrokenPipeError

    monkeypatch.setattr("authsvc.server.connection.Outlet.sendall", gone)
    loop.connect(post("/x", 10, b"", "Expect: 100-continue"))
    loop.turn(lambda: loop.worker.nr_conns == 0)
    assert (loop.worker.held, loop.worker.watched) == (0, {})


@pytest.mark.parametrize(
    ("data", "answer"),
    [
        pytest.param(b"GET /" + b"a" * 9000, (414, "The request line is too long."), id="line"),
        pytest.param(
            b"GET / HTTP/1.1\r\nX: " + b"a" * 70_000,
            (431, "The request has header fields that are too large."),
            id="head",
        ),
    ],
)
def test_too_large_a_head_is_refused_before_it_has_arrived(loop: Loop, data: bytes, answer: tuple[int, str]) -> None:
    assert problem(loop.received(loop.connect(data))) == answer


def test_requests_that_come_together_are_answered_in_their_order(loop: Loop) -> None:
    client = loop.connect(get("/one") + get("/two") + get("/three"))
    answers = loop.received(client, b"/three")
    assert [line for line in (b"/one", b"/two", b"/three") if b"\r\n\r\n" + line in answers] == [
        b"/one",
        b"/two",
        b"/three",
    ]


def test_the_rest_of_a_body_that_nobody_read_is_in_no_ones_way(loop: Loop) -> None:
    client = loop.connect(post("/one", 200_000, b"x" * 200_000) + get("/two"))
    assert loop.received(client, b"/two").count(b"HTTP/1.1 200 OK") == 2


def test_a_client_that_takes_no_answer_holds_no_thread_and_gets_it_when_it_does(loop: Loop) -> None:
    loop.body = lambda environ: b"x" * 900_000 + b"end"
    slow = [loop.connect(get("/large"), receive_buffer=4096) for _ in range(6)]
    loop.turn(lambda: sum(conn.outlet.is_pending for conn in loop.worker.watched) == 6)
    assert loop.worker.held > 3_000_000
    assert loop.received(loop.connect(get("/x")), b"end").startswith(b"HTTP/1.1 200 OK")
    assert all(len(loop.received(client, b"end")) > 900_000 for client in slow)
    loop.turn(lambda: loop.worker.held == 0)


@pytest.mark.usefixtures("hurried")
def test_a_client_that_never_takes_its_answer_is_hung_up_on(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("authsvc.server.connection.Outlet.patience", lambda self: 0.2)
    loop.body = lambda environ: b"x" * 900_000
    loop.connect(get("/large"), receive_buffer=4096)
    loop.turn(lambda: loop.worker.nr_conns == 0)
    assert loop.worker.held == 0


def test_a_client_that_goes_while_it_is_sent_to_is_forgotten(loop: Loop) -> None:
    loop.body = lambda environ: b"x" * 900_000
    client = loop.connect(get("/large"), receive_buffer=4096)
    loop.turn(lambda: any(conn.outlet.is_pending for conn in loop.worker.watched))
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    client.close()
    loop.turn(lambda: loop.worker.nr_conns == 0)
    assert (loop.worker.held, loop.worker.watched) == (0, {})


def test_a_connection_that_ends_gives_its_client_time_to_read_the_answer(loop: Loop) -> None:
    client = loop.connect(get("/x", "Connection: close"))
    loop.turn(lambda: any(conn.is_lingering for conn in loop.worker.watched))
    client.sendall(b"more")
    assert loop.received(client).endswith(b"/x")
    client.close()
    loop.turn(lambda: loop.worker.nr_conns == 0)


def test_a_client_that_sends_on_after_the_last_answer_is_cut_off(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slow_clients, "LINGER_BYTES", 10)
    client = loop.connect(get("/x", "Connection: close"))
    loop.turn(lambda: any(conn.is_lingering for conn in loop.worker.watched))
    client.sendall(b"x" * 11)
    loop.turn(lambda: loop.worker.nr_conns == 0)
    assert (loop.worker.held, loop.worker.watched) == (0, {})


def test_where_there_are_too_many_connections_the_one_that_waited_longest_goes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with looping(monkeypatch, worker_connections=4) as loop:
        silent = [loop.connect() for _ in range(6)]
        assert loop.worker.nr_conns == 3
        assert loop.received(silent[0]) == b""
        assert loop.received(loop.connect(get("/x")), b"/x").startswith(b"HTTP/1.1 200 OK")
        silent[-1].sendall(get("/still"))
        assert loop.received(silent[-1], b"/still").endswith(b"/still")


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE])
def test_a_process_without_descriptors_gives_up_a_connection_and_goes_on(loop: Loop, number: int) -> None:
    class Exhausted:
        def accept(self) -> None:
            raise OSError(number, "none left")

    loop.connect()
    loop.worker.accept(Exhausted())
    assert loop.worker.nr_conns == 0
    loop.worker.accept(Exhausted())  # with nothing to give up


def test_another_error_of_a_listener_is_nobodys_to_hide(loop: Loop) -> None:
    class Broken:
        def accept(self) -> None:
            raise OSError(errno.EBADF, "closed")

    class Taken:
        def accept(self) -> None:
            raise BlockingIOError(errno.EAGAIN, "another process was faster")

    loop.worker.accept(Taken())
    with pytest.raises(OSError, match="closed"):
        loop.worker.accept(Broken())


def test_the_connection_that_holds_the_most_goes_where_all_hold_too_much(
    loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slow_clients, "MEMORY_LIMIT", 10_000)
    small, large = loop.connect(get("/x")[:20]), loop.connect(post("/x", 9000, b"x" * 8000))
    loop.turn(lambda: loop.worker.held > 8000)
    another = loop.connect(post("/x", 9000, b"x" * 7000))
    loop.turn(lambda: loop.worker.nr_conns == 2)
    assert loop.received(large) == b""
    small.sendall(get("/x")[20:])
    assert loop.received(small, b"/x").endswith(b"/x")
    another.sendall(b"x" * 2000)
    assert loop.received(another, b"/x").endswith(b"/x")


def test_one_request_that_alone_is_too_much_is_closed(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slow_clients, "MEMORY_LIMIT", 1000)
    assert loop.received(loop.connect(post("/x", 9000, b"x" * 8000))) == b""
    assert loop.worker.held == 0


def blocked(loop: Loop) -> Callable[[], None]:
    """Have the application wait; return what lets it go on."""
    import threading  # noqa: PLC0415  for this helper alone

    released = threading.Event()

    def wait(environ: dict[str, Any]) -> bytes:
        if environ["PATH_INFO"] not in ("/livez", "/readyz", "/auth/login"):
            released.wait(20)
        return bytes(environ["PATH_INFO"], "ascii")

    loop.body = wait
    return released.set


def test_probes_and_passwords_do_not_wait_for_the_threads_of_others(loop: Loop) -> None:
    release = blocked(loop)
    busy = [loop.connect(get("/slow")) for _ in range(5)]
    loop.turn(lambda: len(loop.worker.lanes.general.waiting) == 3)
    for data in (get("/livez"), get("/readyz"), post("/auth/login", 0, b"")):
        assert status(loop.received(loop.connect(data), data.split()[1])) == 200
    release()
    assert all(loop.received(client, b"/slow").endswith(b"/slow") for client in busy)
    loop.turn(lambda: loop.worker.lanes.general.running == 0)


def test_a_request_that_waits_too_long_for_a_thread_is_answered_with_503(loop: Loop, settings: Any) -> None:
    release = blocked(loop)
    busy = [loop.connect(get("/slow")) for _ in range(2)]
    loop.turn(lambda: loop.worker.lanes.general.running == 2)
    loop.worker.lanes.general.wait = 0.2
    late = loop.received(loop.connect(get("/late")))
    assert problem(late) == (503, "The service is busy; try again shortly.")
    assert b"Retry-After: 5\r\n" in late
    release()
    assert all(loop.received(client, b"/slow").endswith(b"/slow") for client in busy)


def test_a_queue_of_passwords_has_an_end(loop: Loop) -> None:
    release = blocked(loop)
    lane = loop.worker.lanes.passwords
    lane.queue, lane.threads = 1, 1
    paths = [loop.connect(post("/auth/password", 0, b"")) for _ in range(2)]
    loop.turn(lambda: len(lane.waiting) == 1)
    assert problem(loop.received(loop.connect(post("/auth/password", 0, b""))))[0] == 503
    release()
    assert all(status(loop.received(client, b"/password")) == 200 for client in paths)


def test_a_worker_that_stops_hangs_up_on_idle_clients_and_finishes_requests(
    loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slow_clients, "STOP_KEEPALIVE_LINGER", 0.2)
    monkeypatch.setattr(slow_clients, "SWEEP_SECONDS", 0.05)
    idle, half = loop.connect(get("/x")), loop.connect(get("/y")[:20])
    assert loop.received(idle, b"/x")
    loop.worker.alive = False
    assert loop.received(idle) == b""
    half.sendall(get("/y")[20:])
    answer = loop.received(half)
    assert (answer[-2:], b"Connection: close\r\n" in answer) == (b"/y", True)


def test_a_thread_that_fails_ends_the_connection(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(conn: object) -> bool:
        raise SystemExit

    monkeypatch.setattr(loop.worker, "handle", fails)
    assert loop.received(loop.connect(get("/x"))) == b""


def test_a_socket_that_a_thread_has_closed_is_forgotten(loop: Loop) -> None:
    def close(environ: dict[str, Any]) -> bytes:
        environ["gunicorn.socket"].sock.close()
        raise RuntimeError("a view that fails")

    loop.body = close
    loop.connect(get("/x"))
    loop.turn(lambda: loop.worker.nr_conns == 0)
    assert (loop.worker.held, loop.worker.watched) == (0, {})


def test_a_worker_ends_its_threads_with_its_loop(loop: Loop) -> None:
    worker = loop.worker
    worker.poller.close()
    worker.method_queue.close()
    worker.poller, worker._accepting, worker.alive = selectors.DefaultSelector(), False, False
    worker.method_queue.init()
    worker.run()
    with pytest.raises(RuntimeError):
        worker.lanes.live.executor.submit(print)


def test_more_than_a_thread_may_keep_for_a_slow_client_ends_the_connection(
    loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("authsvc.server.connection.STALL_SECONDS", 0.2)
    loop.body = lambda environ: b"x" * (PENDING_LIMIT * 8)
    client = loop.connect(get("/x"), receive_buffer=4096)
    loop.turn(lambda: loop.worker.nr_conns == 0)
    assert client.recv(10) == b"HTTP/1.1 2"
