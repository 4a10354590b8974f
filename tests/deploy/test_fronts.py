"""authsvc behind each proxy's file: from sign-up to a key, and an operator's login, over TLS."""

from __future__ import annotations

import re
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest

from tests.deploy.fronts import FRONTS, Front
from tests.deploy.gateways import DEPLOY, program
from tests.flows.conftest import PASSWORD, bearer, new_name

SPOOFED = {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "http", "X-Forwarded-Host": "evil.example"}


@pytest.fixture(scope="session")
def fronts(
    tmp_path_factory: pytest.TempPathFactory, new_database: Callable[[], str]
) -> Iterator[Callable[[str], Front]]:
    """Start a proxy of a kind; for each there is one."""
    running: dict[str, Front] = {}
    with ExitStack() as stack:

        def start(kind: str) -> Front:
            if kind not in running:
                front = Front(kind, tmp_path_factory.mktemp(kind), new_database())
                front.authsvc.migrate()
                front.start()
                stack.callback(front.stop)
                running[kind] = front
            return running[kind]

        yield start


@pytest.fixture(
    params=[pytest.param(kind, marks=pytest.mark.skipif(program(kind) is None, reason=f"no {kind}")) for kind in FRONTS]
)
def front(request: pytest.FixtureRequest, fronts: Callable[[str], Front]) -> Front:
    """Each kind of proxy in turn."""
    return fronts(str(request.param))


@pytest.fixture
def client(front: Front) -> Iterator[httpx.Client]:
    with front.client() as opened:
        yield opened


def log_in(client: httpx.Client, headers: dict[str, str] | None = None) -> dict[str, str]:
    """Sign up and log in; return the header that carries the token."""
    who = {"username": new_name(), "password": PASSWORD}
    signed_up = client.post("/auth/signup", json={**who, "email": f"{who['username']}@example.com"})
    assert signed_up.status_code == 201, signed_up.text
    logged_in = client.post("/auth/login", json=who, headers=headers or {})
    assert logged_in.status_code == 200, logged_in.text
    return bearer(logged_in.json()["access_token"])


def test_a_client_gets_from_sign_up_to_a_key(client: httpx.Client) -> None:
    token = log_in(client)
    made = client.post("/keys/create", json={"name": "through a proxy"}, headers=token)
    assert made.status_code == 201
    answer = client.get("/protected/service", headers={"X-API-Key": made.json()["key"]})
    assert (answer.status_code, "strict-transport-security" in answer.headers) == (200, True)


def test_the_address_is_the_proxys_word_and_not_the_clients(client: httpx.Client, front: Front) -> None:
    token = log_in(client, SPOOFED)
    (session,) = client.get("/auth/sessions", headers=token).json()
    assert session["address"] not in {None, "203.0.113.9"}
    if front.kind != "envoy":  # which takes the machine's own address for a client on the loopback
        assert session["address"] == "127.0.0.1"


def test_an_operator_logs_in_to_the_console(client: httpx.Client, front: Front) -> None:
    name = front.authsvc.operator()
    page = client.get("/admin/login/?next=/admin/")
    field = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.text)
    assert field is not None
    form = {"csrfmiddlewaretoken": field[1], "username": name, "password": PASSWORD, "next": "/admin/"}
    sent = client.post(
        "/admin/login/", data=form, headers={"Origin": front.url, "Referer": f"{front.url}/admin/login/"}
    )
    assert (sent.status_code, sent.headers.get("location")) == (302, "/admin/"), sent.text[:500]
    assert all("Secure" in cookie for cookie in sent.headers.get_list("set-cookie"))
    assert client.get("/admin/").status_code == 200
    style = re.search(r'href="(/static/[^"]+\.css)"', page.text)
    assert style is not None
    assert client.get(style[1]).status_code == 200


def test_the_plain_port_leads_to_tls(front: Front) -> None:
    answer = httpx.get(f"http://localhost:{front.http_port}/docs", trust_env=False, timeout=30)
    assert answer.status_code in {301, 308}
    # Envoy and Traefik name the port of their own listener where it is not the usual one, or none.
    assert answer.headers["location"].startswith("https://localhost")


@pytest.mark.parametrize("size", [1_200_000, 3_000_000], ids=["between the two limits", "over both"])
def test_too_large_a_body_is_a_413_that_is_no_page(client: httpx.Client, front: Front, size: int) -> None:
    answer = client.post("/auth/login", content=b" " * size, headers={"Content-Type": "application/json"})
    assert answer.status_code == 413
    assert "html" not in answer.headers.get("content-type", "")
    if size < 2_000_000 or front.kind != "traefik":  # whose own answers have no setting
        assert answer.headers["content-type"] == "application/problem+json"


def test_metrics_are_not_for_everybody(client: httpx.Client, front: Front) -> None:
    assert [client.get(path).status_code for path in ("/metrics", "/livez", "/readyz")] == [404, 200, 200]
    inside = httpx.get(f"{front.authsvc.url}/metrics", trust_env=False, timeout=30)
    assert "authsvc_requests_total" in inside.text


def test_a_header_of_16_kb_reaches_the_service(client: httpx.Client) -> None:
    answer = client.get("/auth/me", headers={"Authorization": f"Bearer {'x' * 16_000}"})
    assert (answer.status_code, answer.json()["detail"]) == (401, "The credential is not valid.")


def test_a_slow_body_holds_no_thread_of_the_service(front: Front) -> None:
    lines = ("POST /auth/login HTTP/1.1", "Host: localhost", "Content-Type: application/json", "Content-Length: 100")
    head = "\r\n".join([*lines, "", "{"]).encode()
    with ExitStack() as stack:
        for _ in range(20):  # more than the service has threads
            raw = stack.enter_context(front.client())
            context = raw._transport._pool._ssl_context  # type: ignore[attr-defined]  # the trust that the client was given
            plain = stack.enter_context(socket.create_connection(("127.0.0.1", front.port), timeout=30))
            tls = stack.enter_context(context.wrap_socket(plain, server_hostname="localhost"))
            tls.sendall(head)
        with front.client() as client:
            assert client.get("/auth/me").status_code == 401


def test_while_the_service_is_away_a_client_is_told_to_come_again(
    tmp_path_factory: Any, new_database: Callable[[], str], front: Front
) -> None:
    front.authsvc.process.terminate()
    front.authsvc.process.wait(40)
    try:
        with front.client() as client:
            answer = client.get("/auth/me")
        assert answer.status_code in {502, 503}
        assert "html" not in answer.headers.get("content-type", "")
        if front.kind != "traefik":
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
            assert answer.json()["status"] == 503
    finally:
        front.authsvc.start()


@pytest.mark.skipif(program("caddy") is None, reason="no caddy")
def test_the_file_is_as_caddy_formats_it() -> None:
    path = DEPLOY / "caddy" / "front.Caddyfile"
    command = [str(program("caddy")), "fmt", str(path)]
    formatted = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert formatted.stdout == path.read_text(encoding="utf-8")
