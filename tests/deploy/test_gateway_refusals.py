"""Whom no gateway lets through, and what the client is told."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tests.deploy.conftest import Person
from tests.deploy.gateways import Gateway
from tests.deploy.recorder import Recorder
from tests.flows.conftest import free_port
from tests.flows.raw import Answer, request

BEARER, KEY = 'Bearer realm="authsvc"', 'ApiKey realm="authsvc"'
INVALID = f'{BEARER}, error="invalid_token", {KEY}'


def problem(answer: Answer) -> int:
    """Return the status of a problem document, after looking at its form."""
    assert answer.headers["content-type"] == "application/problem+json", answer
    document = json.loads(answer.body)
    assert (set(document), document["status"]) == ({"type", "title", "status", "detail"}, answer.status)
    return answer.status


@pytest.mark.parametrize(
    ("lines", "challenge"),
    [
        pytest.param((), f"{BEARER}, {KEY}", id="nothing"),
        pytest.param(("X-API-Key: ",), f"{BEARER}, {KEY}", id="an empty key"),
        pytest.param(("X-API-Key: sk_nonsense",), f"{BEARER}, {KEY}", id="a bad key"),
        pytest.param(("Authorization: Bearer nonsense",), INVALID, id="a bad token"),
        pytest.param(("Authorization: Basic dXNlcjpwYXNz",), f"{BEARER}, {KEY}", id="another scheme"),
        pytest.param(("X-Auth-Subject: 1", "X-Auth-Scopes: reports:read"), f"{BEARER}, {KEY}", id="an identity"),
        pytest.param(("X-Original-URL: /public/", "X-Forwarded-Uri: /public/"), f"{BEARER}, {KEY}", id="another path"),
    ],
)
def test_without_a_good_credential_nothing_passes_and_the_challenge_says_what_would(
    gateway: Gateway, application: Recorder, lines: tuple[str, ...], challenge: str
) -> None:
    for path in ("/", "/reports/2026"):
        answer = gateway.get(path, *lines)
        assert (problem(answer), answer.headers["www-authenticate"]) == (401, challenge)
    assert application.seen == []


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_no_method_passes_without_a_credential(gateway: Gateway, application: Recorder, method: str) -> None:
    preflight = ("Origin: https://app.example.com", "Access-Control-Request-Method: GET")
    answer = gateway.send(request(method, "/", *preflight, body=b"ten boxes"))
    assert (problem(answer), application.seen) == (401, [])


def test_a_good_credential_without_the_scope_is_forbidden(
    gateway: Gateway, application: Recorder, caller: Person, reporter: Person
) -> None:
    keys = [caller.make_key()[1], reporter.make_key()[1]]
    for line in (f"Authorization: Bearer {caller.token}", *(f"X-API-Key: {key}" for key in keys)):
        asked = ("/reports/2026", "/reports/2026?scope=", "/reports/?role=admin")
        assert [problem(gateway.get(path, line, "X-Auth-Scopes: reports:read")) for path in asked] == [403] * 3
    assert application.seen == []


def test_an_upgrade_is_no_way_around_the_question(gateway: Gateway, application: Recorder) -> None:
    answer = gateway.get("/", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13")
    assert answer.status in {401, 403}
    assert application.seen == []


def test_the_query_of_a_client_asks_authsvc_nothing(deceived: Gateway, application: Recorder, liar: Recorder) -> None:
    for path in ("/?audience=mine", "/reports/?audience=mine&scope="):
        deceived.get(path, "X-API-Key: sk_1")
    # Envoy appends path and query to a route of authsvc that looks at neither.
    asked = [seen.path for seen in liar.seen if not seen.path.startswith("/auth/verify-prefix/")]
    assert [path for path in asked if "audience" in path] == []
    assert len(liar.seen) == 2


def test_a_used_up_rate_limit_is_told_with_the_time_to_wait(
    gateway: Gateway, application: Recorder, caller: Person
) -> None:
    _, key = caller.make_key(rate_limit="2/day")
    answers = [gateway.get("/", f"X-API-Key: {key}") for _ in range(3)]
    assert [answer.status for answer in answers] == [200, 200, 429]
    assert (problem(answers[2]), len(application.seen)) == (429, 2)
    assert 86_000 < int(answers[2].headers["retry-after"]) <= 86_400


@pytest.mark.parametrize("status", [302, 400, 404, 429, 500, 502, 503])
def test_nothing_but_a_plain_yes_lets_a_request_through(
    deceived: Gateway, application: Recorder, liar: Recorder, status: int
) -> None:
    liar.reset(status, {"X-Auth-Subject": "7", "Location": "/public/"})
    answer = deceived.get("/", "X-API-Key: sk_1")
    assert answer.status >= 300
    assert (len(liar.seen), application.seen) == (1, [])


def test_a_service_that_is_away_means_503_and_nobody_passes(
    kind: str, run: Callable[[str, int], Gateway], application: Recorder
) -> None:
    gateway = run(kind, free_port())
    application.reset()
    answers = [gateway.get(path, "X-API-Key: sk_1") for path in ("/", "/reports/2026")]
    assert application.seen == []
    if kind == "traefik":  # has one answer for it, and no setting
        assert [answer.status for answer in answers] == [500, 500]
    else:
        assert [problem(answer) for answer in answers] == [503, 503]
    assert gateway.get("/public/").status == 200


def test_the_database_being_away_is_told_with_the_time_to_wait(
    deceived: Gateway, application: Recorder, liar: Recorder
) -> None:
    document = {"type": "about:blank", "title": "Service Unavailable", "status": 503, "detail": "Try again shortly."}
    liar.reset(503, {"Retry-After": "5", "Content-Type": "application/problem+json"}, document)
    answer = deceived.get("/", "X-API-Key: sk_1")
    assert (problem(answer), answer.headers["retry-after"], application.seen) == (503, "5", [])
