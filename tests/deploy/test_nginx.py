"""What is nginx's own: what it asks authsvc with, and the answers that it writes itself."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.deploy.gateways import Gateway, program
from tests.deploy.recorder import Recorder
from tests.flows.raw import Connection

pytestmark = pytest.mark.skipif(program("nginx") is None, reason="no nginx")


@pytest.fixture
def nginx(run: Callable[[str, int], Gateway], liar: Recorder, application: Recorder) -> Gateway:
    """nginx in front of ``application``, asking ``liar``."""
    started = run("nginx", liar.port)
    liar.reset(200, {"X-Auth-Subject": "7"})
    application.reset()
    return started


def test_authsvc_is_sent_the_headers_that_it_reads_and_no_others(nginx: Gateway, liar: Recorder) -> None:
    many = [f"X-H{number}: 1" for number in range(90)]
    assert nginx.get("/", "X-API-Key: sk_1", "Cookie: a=b", "Content-Type: text/plain", *many).status == 200
    (asked,) = liar.seen
    assert {name for name, _ in asked.headers} == {
        "X-API-Key",
        "Host",
        "X-Forwarded-For",
        "X-Forwarded-Proto",
        "X-Request-ID",
    }


def test_the_service_and_the_application_are_given_one_request_id(
    nginx: Gateway, liar: Recorder, application: Recorder
) -> None:
    nginx.get("/", "X-Request-ID: the-clients-own")
    (asked,), (seen,) = liar.seen, application.seen
    assert asked.values("X-Request-ID") == seen.values("X-Request-ID") != ["the-clients-own"]


def test_the_client_cannot_ask_the_questions_of_nginx(nginx: Gateway, liar: Recorder) -> None:
    paths = ("/_authsvc/", "/_authsvc/any", "/_authsvc/reports", "/_authsvc/nothing")
    assert [nginx.get(path).status for path in paths] == [404] * 4
    assert liar.seen == []


def test_an_absent_slash_is_added_before_anything_is_asked(nginx: Gateway, application: Recorder) -> None:
    answer = nginx.get("/reports")
    assert (answer.status, answer.headers["location"], application.seen) == (301, "/reports/", [])


@pytest.mark.parametrize(("status", "told"), [(401, 401), (403, 403), (429, 429), (400, 503), (500, 503)])
def test_no_cache_keeps_a_refusal(nginx: Gateway, liar: Recorder, status: int, told: int) -> None:
    liar.reset(status)
    answer = nginx.get("/")
    assert (answer.status, answer.headers["cache-control"]) == (told, "no-store")
    assert "retry-after" not in answer.headers  # for authsvc named none


def test_a_single_challenge_reaches_the_client(nginx: Gateway, liar: Recorder) -> None:
    liar.reset(401, {"WWW-Authenticate": 'ApiKey realm="authsvc"'})
    answer = nginx.get("/")
    assert answer.headers["www-authenticate"] == 'ApiKey realm="authsvc"'


def test_a_refusal_ends_no_connection_to_authsvc(nginx: Gateway, liar: Recorder) -> None:
    liar.reset(401, {"WWW-Authenticate": 'ApiKey realm="authsvc"'}, {"detail": "The credential is not valid."})
    with Connection(nginx.port) as connection:
        assert [connection.get("/").status for _ in range(10)] == [401] * 10
    assert liar.connections < 10
