"""gunicorn's threads: who stays with a connection, who lets go of it, and what is sent."""

from __future__ import annotations

import gc
import socket
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from gunicorn.config import Config
from gunicorn.http import wsgi
from gunicorn.workers.gthread import ThreadWorker

from authsvc.server import worker as module
from authsvc.server.connection import Connection
from authsvc.server.worker import Logger, Response, remember, settle
from tests.authsvc.server.loop import Loop, get, looping, post

ANSWER = b"HTTP/1.1 200 OK"


def count_threads(loop: Loop) -> list[int]:
    """Note which thread answers each request."""
    threads: list[int] = []
    answer = loop.body

    def body(environ: dict[str, Any]) -> bytes:
        threads.append(threading.get_ident())
        return answer(environ)

    loop.body = body
    return threads


def submitted(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Note each connection that is handed to a thread."""
    started: list[object] = []
    start = loop.worker.start

    def noted(conn: Any) -> None:
        started.append(conn)
        start(conn)

    monkeypatch.setattr(loop.worker, "start", noted)
    return started


def test_a_thread_answers_what_a_client_asks_at_once_after_an_answer(
    loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = submitted(loop, monkeypatch)
    monkeypatch.setattr(module, "LINGER", 2000)
    client = loop.connect(get("/1"))
    for number in (1, 2, 3):
        assert loop.received(client, b"/%d" % number).startswith(ANSWER)
        client.sendall(get(f"/{number + 1}"))
    assert loop.received(client, b"/4").startswith(ANSWER)
    assert len(started) == 1


def test_a_thread_lets_go_of_a_client_that_is_silent(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    started = submitted(loop, monkeypatch)
    client = loop.connect(get("/1"))
    assert loop.received(client, b"/1")
    loop.turn(lambda: loop.worker.watched)
    client.sendall(get("/2"))
    assert loop.received(client, b"/2")
    assert len(started) == 2


def test_a_thread_lets_go_of_its_client_where_another_waits_for_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LINGER", 2000)
    with looping(monkeypatch, threads=1) as loop:
        first: list[Any] = []

        def body(environ: dict[str, Any]) -> bytes:
            if not first:
                first.append(time.sleep(0.3))
            return bytes(environ["PATH_INFO"], "ascii")

        loop.body = body
        began = time.monotonic()
        one, two = loop.connect(get("/one")), loop.connect(get("/two"))
        assert loop.received(two, b"/two")
        assert time.monotonic() - began < 2  # LINGER, had the thread stayed
        assert loop.received(one, b"/one")


def test_a_request_of_another_lane_is_not_answered_by_the_thread_of_the_first(
    loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    started, threads = submitted(loop, monkeypatch), count_threads(loop)
    client = loop.connect(get("/1") + post("/auth/login", 0, b"") + get("/livez"))
    assert loop.received(client, b"/livez").count(ANSWER) == 3
    assert (len(started), len(set(threads))) == (3, 3)


def test_a_thread_does_not_stay_with_half_a_request(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    started = submitted(loop, monkeypatch)
    client = loop.connect(get("/1") + get("/2")[:10])
    assert loop.received(client, b"/1")
    client.sendall(get("/2")[10:])
    assert loop.received(client, b"/2")
    assert len(started) == 2


def test_a_worker_that_stops_answers_what_it_has_and_no_more(loop: Loop) -> None:
    def stop(environ: dict[str, Any]) -> bytes:
        loop.worker.alive = False
        return b"/1"

    loop.body = stop
    client = loop.connect(get("/1") + get("/2"))
    answers = loop.received(client)
    assert answers.count(ANSWER) == 2
    assert answers.count(b"Connection: close\r\n") == 1


def test_a_client_that_hangs_up_after_its_answer_ends_the_connection(loop: Loop) -> None:
    client = loop.connect(get("/1"))
    client.shutdown(socket.SHUT_WR)
    assert loop.received(client).endswith(b"/1")
    loop.turn(lambda: loop.worker.nr_conns == 0)


def test_a_client_that_has_gone_keeps_no_thread(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(conn: Connection, milliseconds: int) -> bool:
        raise ConnectionResetError

    monkeypatch.setattr(Connection, "receives", gone)
    assert loop.received(loop.connect(get("/1")), b"/1").startswith(ANSWER)


def test_the_application_learns_when_its_request_was_complete(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[dict[str, Any]] = []

    def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        seen.append(environ)
        start_response("200 OK", [("Content-Length", "0")])
        return []

    def load(self: Any) -> None:
        self.wsgi = application

    monkeypatch.setattr(ThreadWorker, "load_wsgi", load)
    began = time.monotonic()
    loop.worker.load_wsgi()
    assert loop.received(loop.connect(get("/1")), b"\r\n\r\n").startswith(ANSWER)
    assert began < seen[0]["authsvc.arrived"] < time.monotonic()
    assert seen[0]["authsvc.cut_short"] is False


def test_settings_are_remembered_as_they_are() -> None:
    config = Config()
    config.set("threads", 5)
    before = {name: getattr(config, name) for name in config.settings}
    remember(config)
    assert {name: getattr(config, name) for name in config.settings} == before
    assert vars(config)["threads"] == 5
    with pytest.raises(AttributeError):
        config.nothing  # noqa: B018  that it is not there is what is asked


def test_a_worker_serves_with_its_own_response_and_settings(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    served: list[Any] = []
    monkeypatch.setattr(wsgi, "Response", wsgi.Response)
    monkeypatch.setattr(ThreadWorker, "init_process", lambda self: served.append(wsgi.Response))
    loop.worker.init_process()
    assert served == [Response]
    assert "threads" in vars(loop.worker.cfg)


def test_gunicorn_writes_no_line_for_a_request(capsys: pytest.CaptureFixture[str]) -> None:
    config = Config()
    config.set("accesslog", "-")
    Logger(config).access(None, None, {}, timedelta())
    assert capsys.readouterr() == ("", "")


def test_what_a_process_has_loaded_is_searched_for_cycles_no_more(monkeypatch: Any) -> None:
    before, kept = gc.get_threshold(), {"a": ["list"]}
    try:
        settle()
        assert gc.get_freeze_count() > 10_000
        assert gc.get_threshold() == (module.NEW_OBJECTS, 10, 10)
        assert kept == {"a": ["list"]}
    finally:
        gc.unfreeze()
        gc.set_threshold(*before)
