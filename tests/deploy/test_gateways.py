"""What every gateway passes on: who it is, as authsvc says, and the request as the client sent it."""

from __future__ import annotations

import httpx
import pytest

from tests.deploy.conftest import Person
from tests.deploy.gateways import Gateway
from tests.deploy.recorder import Recorder
from tests.flows.conftest import Server, bearer
from tests.flows.raw import Connection, request

HELLO = b'{"hello": "world"}'
# One header to WSGI, in spellings of it, and one that authsvc does not know.
SPOOFED = [
    ("X-Auth-Subject: 1",),
    ("x-auth-subject: 1",),
    ("X-AUTH-SUBJECT: 1",),
    ("X_Auth_Subject: 1",),
    ("x_auth-subject: 1",),
    ("X-Auth_Subject: 1",),
    ("X-Auth-Subject: 1", "X-Auth-Subject: 2"),
    ("X-Auth-Subject: 1", "X_AUTH_SUBJECT: 2", "x-auth-subject: 3"),
    ("X-Auth-Scopes: reports:read", "X-Auth-Roles: admin", "X-Auth-Username: root"),
    ("X-Auth-Key-Id: 1", "X-Auth-Key_Id: 1", "X_Auth_Key_Id: 1", "X-Auth-Method: api_key", "X_AUTH_METHOD: api_key"),
    ("X-Auth-Subject:",),
]


def authorization(token: str) -> str:
    """Return the line that carries a token."""
    return f"Authorization: Bearer {token}"


@pytest.mark.parametrize("path", ["/", "/orders/7?full=1", "/reports/2026?scope=anything"])
def test_a_good_token_passes_and_the_application_learns_whose_it_is(
    gateway: Gateway, application: Recorder, reporter: Person, path: str
) -> None:
    answer = gateway.get(path, authorization(reporter.token))
    assert (answer.status, answer.body) == (200, HELLO)
    (seen,) = application.seen
    assert (seen.method, seen.path, seen.identity) == ("GET", path, reporter.identity)


def test_a_good_key_passes_and_the_application_learns_whose_it_is(
    gateway: Gateway, application: Recorder, reporter: Person
) -> None:
    key_id, key = reporter.make_key(scopes=["reports:read"])
    assert gateway.get("/reports/2026", f"X-API-Key: {key}").status == 200
    (seen,) = application.seen
    who = {**reporter.identity, "x-auth-method": "api_key", "x-auth-key-id": str(key_id)}
    del who["x-auth-roles"]  # a key has none
    assert seen.identity == who


@pytest.mark.parametrize("spoofed", SPOOFED, ids=", ".join)
def test_what_a_client_says_of_itself_never_reaches_the_application(
    gateway: Gateway, application: Recorder, caller: Person, spoofed: tuple[str, ...]
) -> None:
    answers = [gateway.get("/", authorization(caller.token), *spoofed), gateway.get("/public/", *spoofed)]
    assert [answer.status for answer in answers] == [200, 200]
    assert [seen.identity for seen in application.seen] == [caller.identity, {}]


def test_a_client_cannot_take_its_identity_off_its_request_either(
    gateway: Gateway, application: Recorder, caller: Person
) -> None:
    names = "X-Auth-Subject, x-auth-roles, X-Auth-Scopes, X-Forwarded-For"
    answer = gateway.get("/", authorization(caller.token), f"Connection: {names}", "Connection: keep-alive")
    assert answer.status in {200, 400}
    assert [seen.identity for seen in application.seen] == [caller.identity] * (answer.status == 200)


def test_the_application_is_not_given_the_credential(gateway: Gateway, application: Recorder, caller: Person) -> None:
    _, key = caller.make_key()
    for path in ("/", "/public/"):
        assert gateway.get(path, authorization(caller.token), f"X-API-Key: {key}").status == 200
    given = [value for seen in application.seen for _, value in seen.headers]
    assert len(application.seen) == 2
    assert not [value for value in given if caller.token in value or key in value]


def test_a_body_reaches_the_application_and_not_the_service(
    deceived: Gateway, application: Recorder, liar: Recorder
) -> None:
    liar.reset(200, {"X-Auth-Subject": "7"})
    lines = ("X-API-Key: sk_1", "Content-Type: text/plain")
    assert deceived.send(request("POST", "/orders", *lines, body=b"ten boxes")).status == 200
    (asked,), (seen,) = liar.seen, application.seen
    assert (seen.method, seen.body, seen.values("Content-Length")) == ("POST", b"ten boxes", ["9"])
    assert (asked.body, asked.values("Content-Length") in ([], ["0"]), asked.values("X-API-Key")) == (
        b"",
        True,
        ["sk_1"],
    )
    assert asked.values("Transfer-Encoding") == []
    assert asked.path.startswith("/auth/verify")


def test_an_upload_of_megabytes_passes_and_is_not_held_to_the_limits_of_the_question(
    gateway: Gateway, application: Recorder, caller: Person
) -> None:
    body = b"x" * 2_500_000
    answer = gateway.send(request("PUT", "/upload", authorization(caller.token), body=body))
    assert (answer.status, answer.body) == (200, HELLO)
    assert [len(seen.body) for seen in application.seen] == [len(body)]


def test_one_connection_serves_many_requests_on_each_side(
    deceived: Gateway, application: Recorder, liar: Recorder
) -> None:
    with Connection(deceived.port) as connection:
        answers = [connection.get(f"/{number}", "X-API-Key: sk_1") for number in range(10)]
    assert [answer.status for answer in answers] == [200] * 10
    assert [seen.path for seen in application.seen] == [f"/{number}" for number in range(10)]
    # How soon a connection can be used again is the gateway's matter.
    assert application.connections < 10
    assert liar.connections < 10


def test_a_key_that_is_bound_to_an_address_is_judged_by_the_clients_own(
    gateway: Gateway, application: Recorder, caller: Person
) -> None:
    _, key = caller.make_key(allowed_ips=["127.0.0.2"])
    statuses = []
    for address in ("127.0.0.2", "127.0.0.1"):
        for forwarded in ({}, {"X-Forwarded-For": "127.0.0.2"}, {"X-Forwarded-For": "127.0.0.1, 127.0.0.2"}):
            with httpx.Client(transport=httpx.HTTPTransport(local_address=address)) as client:
                headers = {"X-API-Key": key, **forwarded}
                statuses.append(client.get(f"http://127.0.0.1:{gateway.port}/", headers=headers).status_code)
    assert statuses == [200, 200, 200, 401, 401, 401]
    assert len(application.seen) == 3


def test_a_revoked_key_is_refused_at_the_next_request(
    gateway: Gateway, application: Recorder, caller: Person, authsvc: Server
) -> None:
    key_id, key = caller.make_key()
    before = gateway.get("/", f"X-API-Key: {key}").status
    assert authsvc.http.delete(f"/keys/{key_id}", headers=bearer(caller.token)).status_code == 204
    after = gateway.get("/", f"X-API-Key: {key}").status
    assert (before, after, len(application.seen)) == (200, 401, 1)


def test_an_answer_of_the_application_is_its_own_whatever_its_status(
    gateway: Gateway, application: Recorder, caller: Person
) -> None:
    for status in (401, 403, 404, 429, 500, 503):
        application.reset(status, {"Content-Type": "application/json"}, {"hello": "world"})
        answer = gateway.get("/", authorization(caller.token))
        assert (answer.status, answer.body) == (status, HELLO)


def test_an_answer_that_names_nobody_does_not_leave_the_name_that_the_client_gave(
    deceived: Gateway, application: Recorder
) -> None:
    spoofed = ("X-Auth-Subject: spoofed", "X_Auth_Scopes: spoofed", "X-Auth-Roles: spoofed")
    assert deceived.get("/", "X-API-Key: sk_1", *spoofed).status == 200
    (seen,) = application.seen
    assert "spoofed" not in str(seen)
