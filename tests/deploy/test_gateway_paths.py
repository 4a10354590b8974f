"""The same path to the gateway and to the application: no spelling leads past the question that a path deserves."""

from __future__ import annotations

import posixpath
import re
from urllib.parse import unquote

import pytest

from tests.deploy.conftest import Person
from tests.deploy.gateways import Gateway
from tests.deploy.recorder import Recorder
from tests.flows.raw import Connection, request

TRICKS = [
    "//reports/2026",
    "///reports//2026",
    "/./reports/2026",
    "/public/../reports/2026",
    "/public/./../reports/2026",
    "/public//../reports/2026",
    "/public/%2e%2e/reports/2026",
    "/public/.%2E/reports/2026",
    "/public/..%2freports/2026",
    "/public%2f..%2freports/2026",
    "/public/..%5creports/2026",
    "/public/..\\reports/2026",
    "/reports/../public/2026",
    "/reports/../orders/7",
    "/reports/%2e%2e/public/2026",
    "/reports/..%2fpublic/2026",
    "/%72eports/2026",
    "/reports%2f2026",
    "/reports%2F%2e%2e%2Fpublic/",
    "/public/..;/reports/2026",
    "/public/..;a=b/reports/2026",
    "/public/..%3b/reports/2026",
    "/orders/..;/reports/2026",
    "/reports;a=b/2026",
    "/public/%252e%252e/reports/2026",
    "/public/..%00/reports/2026",
    "/reports",
    "/reports/",
    "/public/../../../../reports/2026",
    "/public",
    "/auth/verify",
    "/_authsvc/any",
    "/_authsvc/reports",
]


def readings(path: str) -> set[str]:
    """Return every path that an application might make of one: raw, decoded, as Windows or Java would, dots gone."""
    path = re.split(r"[?#]", path)[0]
    texts = {path, unquote(path), unquote(path).replace("\\", "/"), re.sub(";[^/]*", "", unquote(path))}
    return texts | {"/" + posixpath.normpath(text).lstrip("/") for text in texts}


@pytest.mark.parametrize("path", TRICKS)
def test_no_spelling_of_a_path_is_open_to_nobody_that_an_application_may_read_as_another(
    gateway: Gateway, application: Recorder, path: str
) -> None:
    gateway.get(path)
    read = {reading for seen in application.seen for reading in readings(seen.path)}
    assert [reading for reading in read if not re.match(r"/public(/|$)", reading)] == []


@pytest.mark.parametrize("path", TRICKS)
def test_no_spelling_of_a_path_spares_it_the_scope_that_it_needs(
    gateway: Gateway, application: Recorder, caller: Person, path: str
) -> None:
    gateway.get(path, f"Authorization: Bearer {caller.token}")
    read = {reading for seen in application.seen for reading in readings(seen.path)}
    assert [reading for reading in read if re.match(r"/reports(/|$)", reading)] == []


def test_a_request_behind_another_on_one_connection_is_judged_by_itself(
    gateway: Gateway, application: Recorder, caller: Person
) -> None:
    first = request("POST", "/", f"Authorization: Bearer {caller.token}", body=request("GET", "/reports/smuggled"))
    with Connection(gateway.port) as connection:
        connection.send(first + request("GET", "/orders"))
        assert [connection.answer().status for _ in range(2)] == [200, 401]
    assert [seen.path for seen in application.seen] == ["/"]


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param(("Content-Length: 4", "Content-Length: 5"), id="two lengths"),
        pytest.param(("Content-Length: 4", "Transfer-Encoding: chunked"), id="length and chunks"),
        pytest.param(("Content-Length : 4",), id="space before the colon"),
    ],
)
def test_a_body_whose_end_is_in_doubt_lets_nothing_unjudged_through(
    gateway: Gateway, application: Recorder, caller: Person, lines: tuple[str, ...]
) -> None:
    with Connection(gateway.port) as connection:
        head = request("POST", "/", f"Authorization: Bearer {caller.token}", *lines)
        connection.send(head + b"0\r\n\r\n" + request("GET", "/reports/smuggled"))
        connection.answer()
    assert not [seen for seen in application.seen if "reports" in seen.path]
