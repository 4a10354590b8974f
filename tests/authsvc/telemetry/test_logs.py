"""The log: a line an event, with the id of its request, and never a credential."""

import io
import json
import logging
import re
from collections.abc import Iterator
from logging.config import DictConfigurator
from typing import Any

import pytest

from authsvc.telemetry import logs
from tests.conftest import Api


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """What the service's own handler writes, read beside the real one."""
    stream = io.StringIO()
    configurator: Any = DictConfigurator(logs.config("INFO"))
    configurator.config["filters"] = {
        name: configurator.configure_filter(given) for name, given in configurator.config["filters"].items()
    }
    configurator.config["formatters"] = {
        name: configurator.configure_formatter(given) for name, given in configurator.config["formatters"].items()
    }
    handler = configurator.configure_handler({**configurator.config["handlers"]["stderr"], "stream": stream})
    logging.getLogger().addHandler(handler)
    yield stream
    logging.getLogger().removeHandler(handler)


def test_events_of_the_audit_are_logged_at_every_level_and_to_a_file_where_one_is_named() -> None:
    assert logs.config("ERROR")["loggers"]["audit"] == {"level": "INFO", "handlers": []}
    named = logs.config("ERROR", audit_file="audit.log")
    assert named["loggers"]["audit"]["handlers"] == ["audit"]
    assert (named["handlers"]["audit"]["filename"], named["handlers"]["audit"]["delay"]) == ("audit.log", True)


def read(log: io.StringIO) -> list[dict[str, Any]]:
    """Return the lines of the log, each of which must be JSON, but for those of requests."""
    lines = [json.loads(line) for line in log.getvalue().splitlines()]
    return [line for line in lines if line["logger"] != "authsvc.telemetry.access"]


@pytest.mark.usefixtures("broken")
@pytest.mark.parametrize(
    ("path", "logger", "message"),
    [
        pytest.param("/open/programming", "django.request", "Internal Server Error: /open/programming", id="500"),
        pytest.param("/plain/programming", "django.request", "Internal Server Error: /plain/programming", id="plain"),
        pytest.param("/open/operational", "authsvc.problems", "database away: OperationalError", id="503"),
    ],
)
def test_every_line_has_the_id_of_its_request(api: Api, log: io.StringIO, path: str, logger: str, message: str) -> None:
    api.get(path, headers={"X-Request-ID": "mine"})
    errors = [line for line in read(log) if line["level"] == "ERROR"]
    assert (logger, message) in [(line["logger"], line["message"]) for line in errors]
    assert {line["request_id"] for line in errors} == {"mine"}


def test_a_line_outside_a_request_has_a_dash(api: Api, log: io.StringIO) -> None:
    api.get("/livez", headers={"X-Request-ID": "of-before"})
    logging.getLogger("authsvc").warning("outside")
    (line,) = read(log)
    assert line.pop("timestamp").endswith("+00:00")
    assert line == {"level": "WARNING", "logger": "authsvc", "request_id": "-", "message": "outside"}


@pytest.mark.parametrize(("level", "servers"), [("DEBUG", "INFO"), ("INFO", "INFO"), ("WARNING", "WARNING")])
def test_the_server_does_not_write_down_addresses_at_any_level(level: str, servers: str) -> None:
    assert logs.server(level)["loggers"]["gunicorn.error"]["level"] == servers
    assert logs.server(level)["handlers"] == logs.config(level)["handlers"]


@pytest.mark.django_db
@pytest.mark.usefixtures("broken")
def test_no_line_holds_what_was_sent_as_a_credential(api: Api, log: io.StringIO, alices_token: str) -> None:
    sent = {"username": "alice", "password": "hunter2-hunter2", "hunter3": 1}
    api.post("/auth/login", sent)
    api.post("/auth/login", {"username": "alice", "password": "hunter2-hunter2"})
    api.get("/auth/me", token="hunter2-hunter2")
    api.get("/protected/service", key="hunter2-hunter2")
    assert api.get("/both/programming", token=alices_token, key="hunter2").status_code == 500
    assert "Traceback" in log.getvalue()
    assert not [word for word in ("hunter2", "hunter3", alices_token) if word in log.getvalue()]


def test_refusals_are_no_errors_in_the_log(api: Api, log: io.StringIO) -> None:
    assert [api.get(path).status_code for path in ("/nowhere", "/auth/me", "/auth/login")] == [404, 401, 405]
    assert read(log) == []


@pytest.mark.parametrize("level", ["DEBUG", "CRITICAL"])
def test_the_level_is_the_operators_choice(level: str) -> None:
    assert logs.config(level)["root"]["level"] == level
    assert logs.config(level)["loggers"]["django.request"]["level"] == "ERROR"


@pytest.mark.parametrize(("terminal", "expected"), [(True, "text"), (False, "json")])
def test_auto_is_text_on_a_terminal_and_json_elsewhere(
    terminal: bool, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(stream, "isatty", lambda: terminal)
    monkeypatch.setattr("sys.stderr", stream)
    assert logs.config("INFO")["handlers"]["stderr"]["formatter"] == expected
    assert [logs.formatter(word) for word in ("auto", "json", "text")] == [expected, "json", "text"]
    monkeypatch.setattr("sys.stderr", None)  # closed
    assert logs.formatter("auto") == "json"


def test_a_line_of_text_tells_of_a_request_or_a_security_event_and_cannot_be_forged() -> None:
    formatter = logs.TextFormatter()

    def line(message: str, **extra: Any) -> str:
        record = logging.makeLogRecord({"levelname": "INFO", "msg": message, **extra})
        time, rest = formatter.format(record).split(" ", 1)
        assert re.fullmatch(r"\d\d:\d\d:\d\d", time)
        return rest

    assert (
        line("request", method="GET", route="/keys", status=200, milliseconds=1.25)
        == "INFO     GET /keys 200 in 1.2 ms"
    )
    of_nobody = {"event": "audit:pruned", "subject_type": "", "actor_name": "", "reason": ""}
    event = {
        "event": "api_key:revoked",
        "subject_type": "apikey",
        "subject_id": 7,
        "subject_name": "ci\nci",
        "actor_name": "root\u202e",
        "reason": "leaked\x1b[31m",
    }
    assert line("audit", **event) == r"INFO     audit api_key:revoked ci\nci (7) by root\u202e: leaked\x1b[31m"
    assert line("audit", **of_nobody) == "INFO     audit audit:pruned"
    assert line("a\nb\x1b[31m\u2028ü") == r"INFO     a\nb\x1b[31m\u2028ü"


def test_gunicorns_first_line_is_dropped() -> None:
    keeps = logs.UnlisteningFilter().filter
    messages = ("Starting gunicorn %s", "Listening at: %s (%s)")
    assert [keeps(logging.makeLogRecord({"msg": message})) for message in messages] == [False, True]
