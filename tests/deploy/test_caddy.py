"""What is Caddy's own: the form of its file, and whose failure a failure is."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

import pytest

from tests.deploy.gateways import DEPLOY, Gateway, program
from tests.deploy.recorder import Recorder

pytestmark = pytest.mark.skipif(program("caddy") is None, reason="no caddy")


@pytest.fixture
def caddy(run: Callable[[str, int], Gateway], liar: Recorder, application: Recorder) -> Gateway:
    """Caddy in front of ``application``, asking ``liar``."""
    started = run("caddy", liar.port)
    liar.reset(200, {"X-Auth-Subject": "7"})
    application.reset()
    return started


def test_the_file_is_as_caddy_formats_it() -> None:
    path = DEPLOY / "caddy" / "Caddyfile"
    formatted = subprocess.run(
        [str(program("caddy")), "fmt", str(path)], capture_output=True, text=True, timeout=60, check=True
    )
    assert formatted.stdout == path.read_text(encoding="utf-8")


def test_a_failure_of_the_application_is_not_told_as_one_of_authsvc(caddy: Gateway, application: Recorder) -> None:
    application.hangs_up = True
    assert [caddy.get(path).status for path in ("/", "/public/")] == [502, 502]


def test_a_failure_of_authsvc_is_not_told_as_one_of_the_application(
    caddy: Gateway, liar: Recorder, application: Recorder
) -> None:
    liar.hangs_up = True
    assert [caddy.get(path).status for path in ("/", "/public/", "/reports/")] == [503, 200, 503]
    assert [seen.path for seen in application.seen] == ["/public/"]


@pytest.mark.parametrize(
    "line", ["Connection: X-Auth-Subject", "Connection: close, x_auth_roles", "Connection: X-API-Key"]
)
def test_a_client_that_wants_an_identity_header_dropped_on_the_way_is_refused(
    caddy: Gateway, liar: Recorder, line: str
) -> None:
    answer = caddy.get("/", line)
    assert (answer.status, answer.headers["content-type"], liar.seen) == (400, "application/problem+json", [])
