"""From sign-up to a revoked key, over HTTP, as a user and their programs would go."""

import os
import re
import signal
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import httpx
import pytest

from tests.conftest import BAD_CREDENTIAL, NO_CREDENTIAL
from tests.flows.conftest import PASSWORD, Server, bearer, new_name
from tests.flows.raw import Connection

TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"


def test_a_user_signs_up_logs_in_and_makes_a_key_that_the_list_shows_without_its_secret(server: Server) -> None:
    name = new_name()
    signed_up = server.http.post(
        "/auth/signup", json={"email": f"{name}@example.com", "username": name, "password": PASSWORD}
    )
    user = signed_up.json()
    assert re.fullmatch(TIME, user["created_at"])
    assert (signed_up.status_code, user) == (
        201,
        {**user, "email": f"{name}@example.com", "username": name, "roles": []},
    )

    logged_in = server.http.post("/auth/login", json={"username": name, "password": PASSWORD}).json()
    assert set(logged_in) == {"access_token", "token_type", "expires_in", "refresh_token"}
    assert (logged_in["token_type"], logged_in["expires_in"]) == ("bearer", 1800)

    authorization = bearer(logged_in["access_token"])
    created = server.http.post("/keys/create", json={"name": "nightly export"}, headers=authorization)
    key = created.json()
    assert created.status_code == 201
    assert re.fullmatch(r"sk_[0-9A-Za-z]{49}", key["key"])
    assert key["key"].startswith(key["prefix"])
    shown = {field: value for field, value in key.items() if field != "key"}
    assert server.http.get("/keys", headers=authorization).json() == [shown]
    assert server.http.get(f"/keys/{key['id']}", headers=authorization).json() == shown


def test_a_revoked_key_is_refused_by_the_very_next_call(server: Server) -> None:
    token = server.sign_up(new_name())
    key_id, key = server.make_key(token)
    service = {"X-API-Key": key}
    assert server.http.get("/protected/service", headers=service).status_code == 200

    assert server.http.delete(f"/keys/{key_id}", headers=bearer(token)).status_code == 204
    refused = server.http.get("/protected/service", headers=service)
    assert (refused.status_code, refused.json()) == (401, BAD_CREDENTIAL)
    assert refused.headers["WWW-Authenticate"] == 'ApiKey realm="authsvc"'
    assert server.http.get(f"/keys/{key_id}", headers=bearer(token)).json()["status"] == "revoked"
    assert server.http.delete(f"/keys/{key_id}", headers=bearer(token)).status_code == 204


@pytest.mark.parametrize(
    ("path", "accepted"),
    [
        pytest.param("/protected/user", {"token"}, id="user"),
        pytest.param("/protected/service", {"key"}, id="service"),
        pytest.param("/protected/any", {"token", "key"}, id="any"),
    ],
)
def test_each_route_opens_for_its_credentials_and_for_no_other(server: Server, path: str, accepted: set[str]) -> None:
    token = server.sign_up(new_name())
    good = {"token": bearer(token), "key": {"X-API-Key": server.make_key(token)[1]}}
    # The last digit is the checksum's in a key and the signature's in a token, so neither is a typo of form alone.
    bad = {kind: {name: value[:-3] + "AAA" for name, value in header.items()} for kind, header in good.items()}
    assert {
        kind for kind, header in good.items() if server.http.get(path, headers=header).status_code == 200
    } == accepted
    for kind in good:
        refused = server.http.get(path, headers=bad[kind])
        assert (refused.status_code, refused.json()) == (401, BAD_CREDENTIAL if kind in accepted else NO_CREDENTIAL)


def test_a_user_cannot_see_or_end_the_key_of_another(server: Server) -> None:
    hers, his = server.sign_up(new_name()), server.sign_up(new_name())
    key_id, key = server.make_key(hers)
    refused = [server.http.request(method, f"/keys/{key_id}", headers=bearer(his)) for method in ("GET", "DELETE")]
    assert [answer.status_code for answer in refused] == [404, 404]
    assert refused[0].json() == refused[1].json()
    assert server.http.get("/protected/service", headers={"X-API-Key": key}).status_code == 200


def test_a_revocation_that_one_process_acknowledges_holds_on_all(launch: Callable[..., Server]) -> None:
    server = launch(WEB_CONCURRENCY="2")
    token = server.sign_up(new_name())
    key_id, key = server.make_key(token)
    header, answers = f"X-API-Key: {key}", []
    first, second = server.workers()
    with ExitStack() as stack:
        # These connections stay open over the revocation, and both processes have let the key in.
        kept = [open_to(server, worker, stack) for worker in (first, second)]
        assert [connection.get("/protected/service", header).status for connection in kept] == [200, 200]
        assert server.http.delete(f"/keys/{key_id}", headers=bearer(token)).status_code == 204
        answers += [connection.get("/protected/service", header) for connection in kept]
    for _ in range(100):
        with ExitStack() as stack:
            fresh = [open_to(server, worker, stack) for worker in (first, second)]
            answers += [connection.get("/protected/service", header) for connection in fresh]
    assert [answer.status for answer in answers] == [401] * 202


def open_to(server: Server, worker: int, stack: ExitStack) -> Connection:
    """Return a fresh connection that this process holds: the others are stopped while it is accepted."""
    others = server.workers() - {worker}
    for other in others:
        os.kill(other, signal.SIGSTOP)
    connection = stack.enter_context(Connection(server.port))
    assert connection.get("/livez").status == 200
    for other in others:
        os.kill(other, signal.SIGCONT)
    assert server.worker_behind(connection.local_port) == worker
    return connection


def test_no_call_that_starts_after_the_acknowledgement_succeeds_under_load(launch: Callable[..., Server]) -> None:
    server = launch(WEB_CONCURRENCY="2")
    token = server.sign_up(new_name())
    key_id, key = server.make_key(token)
    calls: list[tuple[float, int]] = []
    enough = threading.Event()

    def hammer() -> None:
        with httpx.Client(base_url=server.url, trust_env=False, headers={"X-API-Key": key}) as http:
            while not enough.is_set():
                started = time.monotonic()
                calls.append((started, http.get("/protected/any").status_code))

    threads = [threading.Thread(target=hammer) for _ in range(4)]
    for thread in threads:
        thread.start()
    seen = wait_for_calls(calls, 40)
    assert server.http.delete(f"/keys/{key_id}", headers=bearer(token)).status_code == 204
    acknowledged = time.monotonic()
    wait_for_calls(calls, seen + 60)
    enough.set()
    for thread in threads:
        thread.join(60)
    assert {status for started, status in calls if started > acknowledged} == {401}
    assert 200 in {status for started, status in calls if started < acknowledged}


def wait_for_calls(calls: list[Any], number: int) -> int:
    """Wait until so many calls were made, and return how many it were then."""
    end = time.monotonic() + 30
    while len(calls) < number:
        assert time.monotonic() < end, f"{len(calls)} of {number} calls in 30 s"
        time.sleep(0.01)
    return len(calls)
