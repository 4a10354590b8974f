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
import time_machine
from gunicorn import util
from gunicorn.config import Config
from gunicorn.http import wsgi
from gunicorn.http.errors import InvalidResponseHeader, InvalidResponseHeaderName
from gunicorn.workers.gthread import ThreadWorker

from authsvc.server import worker as module
from authsvc.server.connection import Connection
from authsvc.server.errors import answer_as_the_api_does, write_problem
from authsvc.server.worker import (
    Logger,
    Response,
    environs,
    http_date,
    remember,
    settle,
)
from authsvc.web.middleware import api_headers
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


class Recorder:
    """A socket that keeps each piece it is given."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []

    def sendall(self, data: bytes) -> None:
        self.pieces.append(bytes(data))


class Asked:
    """What a response knows of its request."""

    version = (1, 1)

    def __init__(self, method: str) -> None:
        self.method = method

    def should_close(self) -> bool:
        return False


def sent(kind: type, method: str, status: str, headers: dict[str, str], body: list[bytes]) -> list[bytes]:
    """Return the pieces in which an answer goes out."""
    recorder = Recorder()
    response = kind(Asked(method), recorder, Config())
    response.start_response(status, list(headers.items()))
    for piece in body:
        response.write(piece)
    response.close()
    return recorder.pieces


@pytest.mark.parametrize(
    ("method", "status", "headers", "body", "pieces"),
    [
        pytest.param("GET", "200 OK", {"Content-Length": "5"}, [b"hello"], 1, id="one piece"),
        pytest.param("GET", "200 OK", {"Content-Length": "5", "X-A": "é"}, [b"hello"], 1, id="latin-1"),
        pytest.param("GET", "200 OK", {"Content-Length": "5"}, [b"hel", b"lo"], 3, id="two pieces"),
        pytest.param("GET", "200 OK", {"Content-Length": "5"}, [b"hello, and too much"], 2, id="too much"),
        pytest.param("GET", "200 OK", {"Content-Length": "5"}, [b"hello", b"and more"], 1, id="more than said"),
        pytest.param("GET", "200 OK", {"Content-Length": "0"}, [b""], 1, id="empty"),
        pytest.param("GET", "200 OK", {}, [b"hello"], 3, id="chunked"),
        pytest.param("HEAD", "200 OK", {"Content-Length": "5"}, [], 1, id="HEAD"),
        pytest.param("HEAD", "200 OK", {"Content-Length": "5"}, [b"hello"], 1, id="HEAD with a body"),
        pytest.param("DELETE", "204 No Content", {}, [b""], 1, id="204"),
    ],
)
def test_an_answer_is_what_gunicorns_own_is_and_goes_out_in_one_piece_where_it_is_one(
    method: str, status: str, headers: dict[str, str], body: list[bytes], pieces: int
) -> None:
    with time_machine.travel("2026-01-02T00:00:00Z", tick=False):  # so that both have one Date
        ours = sent(Response, method, status, headers, body)
        assert b"".join(ours) == b"".join(sent(wsgi.Response, method, status, headers, body))
    assert len(ours) == pieces


COMMON = ("Vary", "origin")


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param([COMMON, ("Content-Length", "5")], id="known"),
        pytest.param([("Content-Length", "5"), COMMON, ("Vary", "accept")], id="known and more"),
        pytest.param([("Content-Length", "5"), ("Vary", " origin ")], id="not quite known"),
        pytest.param([COMMON, ("Connection", "close"), ("Content-Length", "5"), ("Server", "x")], id="hop by hop"),
    ],
)
def test_headers_that_are_known_are_sent_as_gunicorn_would(headers: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def lines(kind: type) -> list[bytes]:
        recorder = Recorder()
        response = kind(Asked("GET"), recorder, Config())
        response.start_response("200 OK", headers)
        response.write(b"hello")
        return sorted(b"".join(recorder.pieces).split(b"\r\n"))

    monkeypatch.setattr(Response, "known", frozenset({COMMON}))
    with time_machine.travel("2026-01-02T00:00:00Z", tick=False):  # so that both have one Date
        assert lines(Response) == lines(wsgi.Response)


@pytest.mark.parametrize("pair", [("X-A", "1\r\nX-B: 2"), ("X A", "1"), ("X-A", "\x00"), ("X-A", 1), (b"X-A", "1")])
def test_a_header_that_cannot_be_sent_is_refused_beside_known_ones(pair: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Response, "known", frozenset({COMMON}))
    with pytest.raises((InvalidResponseHeader, InvalidResponseHeaderName, TypeError)):
        Response(Asked("GET"), Recorder(), Config()).start_response("200 OK", [COMMON, pair])


def test_what_the_apis_answers_have_in_common_is_what_gunicorn_takes_as_it_is(monkeypatch: Any) -> None:
    monkeypatch.setattr(Response, "known", frozenset())
    monkeypatch.setattr(util, "write_error", util.write_error)
    answer_as_the_api_does()
    taken = wsgi.Response(Asked("GET"), Recorder(), Config())
    taken.process_headers(sorted(Response.known))
    assert taken.headers == sorted(api_headers().items())
    assert util.write_error is write_problem


def test_the_date_is_gunicorns_own_and_goes_on() -> None:
    with time_machine.travel("2026-01-02T00:00:00.5Z", tick=False) as clock:
        told = []
        for _ in range(3):
            assert http_date() == util.http_date() == http_date(time.time())
            told.append(http_date())
            clock.shift(0.7)
    assert told == [f"Fri, 02 Jan 2026 00:00:0{second} GMT" for second in (0, 1, 1)]
    assert http_date(0) == "Thu, 01 Jan 1970 00:00:00 GMT"


def test_an_environment_begins_as_gunicorns_own_and_is_each_requests_alone() -> None:
    config = Config()
    config.set("workers", 3)
    make = environs(config)
    first, second = make(config), make(config)
    first["REQUEST_METHOD"] = "GET"
    assert "REQUEST_METHOD" not in second
    own = wsgi.base_environ(config)
    assert {**second, "wsgi.errors": None} == {**own, "wsgi.errors": None}
    assert second["wsgi.multiprocess"] is True
    assert type(second["wsgi.errors"]) is type(own["wsgi.errors"])


def test_settings_are_remembered_as_they_are() -> None:
    config = Config()
    config.set("threads", 5)
    before = {name: getattr(config, name) for name in config.settings}
    remember(config)
    assert {name: getattr(config, name) for name in config.settings} == before
    assert vars(config)["threads"] == 5
    with pytest.raises(AttributeError):
        config.nothing  # noqa: B018  that it is not there is what is asked


def test_a_worker_serves_with_all_that_is_our_own(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    served: list[Any] = []
    for owner, name in ((wsgi, "Response"), (wsgi, "base_environ"), (util, "http_date")):
        monkeypatch.setattr(owner, name, getattr(owner, name))
    monkeypatch.setattr(ThreadWorker, "init_process", lambda self: served.extend((wsgi.Response, util.http_date)))
    worker = loop.worker
    worker.init_process()
    assert served == [Response, http_date]
    assert wsgi.base_environ(worker.cfg) == wsgi.base_environ(worker.cfg)
    assert "threads" in vars(worker.cfg)


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
