"""Which threads answer which request, however its path is written."""

import pytest

from authsvc.server.lanes import Lane, Lanes, method_and_path, split
from tests.authsvc.server.loop import Loop

LANES = {
    "live": ["GET /livez", "HEAD /livez?x=1", "GET /%6civez", "GET http://authsvc/livez", "POST /livez#x"],
    "probes": ["GET /readyz", "GET /metrics"],
    "passwords": [
        *("POST /auth/login", "POST /auth/signup", "POST /auth/password/reset/confirm", "POST /auth/email/verify"),
        *("POST /auth/%6cogin", "POST http://authsvc/auth/login?x=1", "\r\nPOST /auth/login"),
        *("POST /admin/login/?next=/admin/", "POST /admin/accounts/user/1/password/", "POST /admin/password_change/"),
    ],
    "general": [
        *("GET /auth/verify", "GET /auth/login", "POST /auth/refresh", "POST /keys", "GET /", "GET /livez/", "GET *"),
        *("GET http://[/livez", "nonsense", "", "POST //auth/login", "GET /protected/any"),
    ],
}


class Arrived:
    """A connection on which a first line has arrived."""

    def __init__(self, line: str) -> None:
        self.received = self
        self.data = bytearray(line.encode() + b" HTTP/1.1\r\nHost: authsvc\r\n\r\n")


@pytest.mark.parametrize(("lane", "line"), [(lane, line) for lane, lines in LANES.items() for line in lines])
def test_a_request_has_the_lane_of_its_path_as_the_application_sees_it(loop: Loop, lane: str, line: str) -> None:
    lanes: Lanes = loop.worker.lanes
    assert lanes.lane_of(Arrived(line)) is getattr(lanes, lane)  # type: ignore[arg-type]


def test_a_prefix_of_all_paths_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCRIPT_NAME", "/authsvc")
    split.cache_clear()
    data = bytearray(b"GET /authsvc/livez HTTP/1.1\r\n\r\n")
    assert method_and_path(data) == (b"GET", b"/livez")
    split.cache_clear()


def test_a_line_that_has_not_ended_has_no_path() -> None:
    assert method_and_path(bytearray(b"GET /livez")) == (b"", b"")


def test_a_lane_without_waiting_requests_gives_its_thread_back() -> None:
    lane = Lane(1, queue=1, wait=1)
    try:
        assert lane.admit("one") == "one"  # type: ignore[arg-type, comparison-overlap]
        assert lane.admit("two") is None  # type: ignore[arg-type]
        assert (lane.release(), lane.running) == ("two", 1)
        assert (lane.release(), lane.running) == (None, 0)
    finally:
        lane.executor.shutdown()
