"""What is Envoy's own: it compares the scopes itself, and appends the path of its client to the question."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.deploy.gateways import Gateway, program
from tests.deploy.recorder import Recorder

pytestmark = pytest.mark.skipif(program("envoy") is None, reason="no envoy")


@pytest.fixture
def envoy(run: Callable[[str, int], Gateway], liar: Recorder, application: Recorder) -> Gateway:
    """Envoy in front of ``application``, asking ``liar``."""
    started = run("envoy", liar.port)
    application.reset()
    return started


@pytest.mark.parametrize(
    ("scopes", "status"),
    [
        pytest.param("reports:read", 200, id="it alone"),
        pytest.param("keys:read reports:read", 200, id="last"),
        pytest.param("reports:read users:read", 200, id="first"),
        pytest.param("keys:read reports:read users:read", 200, id="between"),
        pytest.param("", 403, id="none"),
        pytest.param("reports:reading", 403, id="a longer one"),
        pytest.param("all-reports:read", 403, id="its end"),
        pytest.param("reports:write keys:read", 403, id="others"),
    ],
)
def test_a_scope_is_a_whole_word(
    envoy: Gateway, liar: Recorder, application: Recorder, scopes: str, status: int
) -> None:
    liar.reset(200, {"X-Auth-Subject": "7", "X-Auth-Scopes": scopes})
    assert envoy.get("/reports/2026", "X-API-Key: sk_1").status == status
    assert len(application.seen) == (status == 200)


def test_what_it_asks_is_nothing_but_the_route_and_the_path_of_its_client(envoy: Gateway, liar: Recorder) -> None:
    liar.reset()
    envoy.get("/orders/7?full=1", "X-API-Key: sk_1", "Cookie: a=b")
    (asked,) = liar.seen
    assert asked.path == "/auth/verify-prefix/orders/7?full=1"
    assert asked.values("Cookie") == []
    assert asked.values("X-Forwarded-For") == ["127.0.0.1"]
