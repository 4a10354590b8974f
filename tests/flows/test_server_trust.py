"""Which headers of a request may say where it goes and how it came: none that no proxy of ours has set."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tests.conftest import NO_CREDENTIAL
from tests.flows.conftest import Server
from tests.flows.raw import Connection

# In spellings that gunicorn, WSGI and proxies have for one another.
NAMES = ["SCRIPT_NAME", "Script_Name", "PATH_INFO", "REMOTE_USER", "wsgi.url_scheme"]
SECURE = [{"X-Forwarded-Proto": "https"}, {"X-Forwarded-Protocol": "ssl"}, {"X-Forwarded-Ssl": "on"}]


@pytest.mark.parametrize("value", ["/auth", "/nowhere", "auth", "/auth/me", "é", ""])
@pytest.mark.parametrize("name", NAMES)
def test_no_header_moves_the_path_of_a_request(server: Server, name: str, value: str) -> None:
    with Connection(server.port) as connection:
        alive = connection.get("/livez", f"{name}: {value}")
        guarded = connection.get("/auth/me", f"{name}: {value}")
    assert (alive.status, json.loads(alive.body)) == (200, {"status": "ok"})
    assert (guarded.status, json.loads(guarded.body)) == (401, NO_CREDENTIAL)


@pytest.mark.parametrize(("proxies", "believed"), [("0", False), ("1", True)])
def test_a_client_calls_its_connection_secure_in_vain_and_a_proxy_of_ours_does_not(
    launch: Callable[..., Server], proxies: str, believed: bool
) -> None:
    guarded = launch(HTTPS="true", TRUSTED_PROXIES=proxies)
    plain, *answers = (guarded.http.get("/auth/me", headers=headers) for headers in ({}, *SECURE))
    assert (plain.status_code, plain.headers["Location"]) == (301, f"https://127.0.0.1:{guarded.port}/auth/me")
    assert [answer.status_code for answer in answers] == [401 if believed else 301, 301, 301]


def test_contradicting_words_on_the_scheme_are_no_unreadable_request(server: Server) -> None:
    with Connection(server.port) as connection:
        answer = connection.get("/livez", "X-Forwarded-Proto: http", "X-Forwarded-Ssl: on")
    assert answer.status == 200
