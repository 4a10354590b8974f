"""Below a path of a host: files, links, redirects and cookies carry it, whether the proxy takes it off or leaves it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.flows.conftest import PASSWORD, Server, bearer, eventually, new_name

ORIGIN = "https://example.com:8443"
# What a proxy sends that ends TLS and drops the port.
PROXIED = {"Host": "example.com", "X-Forwarded-Proto": "https", "X-Forwarded-For": "192.0.2.1"}


class Below:
    """A browser at ORIGIN/auth; ``get`` and ``post`` take the path that stands in a page."""

    def __init__(self, server: Server, left: bool) -> None:
        self.server, self.left = server, left
        self.http = httpx.Client(base_url=server.url, trust_env=False, timeout=60, headers=PROXIED)

    def call(self, method: str, path: str, **options: Any) -> httpx.Response:
        assert path.startswith("/auth/"), path
        return self.http.request(method, path if self.left else path.removeprefix("/auth"), **options)


@pytest.fixture(params=[True, False], ids=["the path is left", "the path is taken off"])
def below(request: pytest.FixtureRequest, server: Server, tmp_path: Any) -> Iterator[Below]:
    settings = {"PUBLIC_URL": f"{ORIGIN}/auth", "ALLOWED_HOSTS": "example.com", "TRUSTED_PROXIES": "1"}
    if request.param:
        settings["SCRIPT_NAME"] = "/auth"
    running = Server(tmp_path, server.database_url, **settings)
    running.http.base_url = httpx.URL(f"{running.url}/auth" if request.param else running.url)
    running.start()
    visitor = Below(running, request.param)
    yield visitor
    visitor.http.close()
    running.stop()


@pytest.mark.parametrize("page", ["/auth/docs", "/auth/redoc", "/auth/admin/login/"])
def test_the_files_of_a_page_are_below_the_path_and_there(below: Below, page: str) -> None:
    answer = below.call("GET", page)
    assert answer.status_code == 200
    files = re.findall(r'(?:href|src)="(/[^"]*\.(?:css|js|svg|png))"', answer.text)
    assert files
    assert {below.call("GET", file).status_code for file in files} == {200}


def test_an_operator_logs_in_and_out_below_the_path(below: Below) -> None:
    name = below.server.operator()
    to_login = below.call("GET", "/auth/admin/")
    assert to_login.headers["location"] == "/auth/admin/login/?next=/auth/admin/"
    assert below.call("GET", "/auth/admin").headers["location"].endswith("/auth/admin/")
    page = below.call("GET", "/auth/admin/login/")
    field = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.text)
    assert field is not None
    form = {"csrfmiddlewaretoken": field[1], "username": name, "password": PASSWORD, "next": "/auth/admin/"}
    cookie = {"Cookie": f"csrftoken={page.cookies['csrftoken']}", "Referer": f"{ORIGIN}/auth/admin/login/"}
    foreign = below.call("POST", "/auth/admin/login/", data=form, headers={**cookie, "Origin": "https://evil.example"})
    sent = below.call("POST", "/auth/admin/login/", data=form, headers={**cookie, "Origin": ORIGIN})
    assert (foreign.status_code, sent.status_code, sent.headers.get("location")) == (403, 302, "/auth/admin/")
    cookies = [*page.headers.get_list("set-cookie"), *sent.headers.get_list("set-cookie")]
    assert len(cookies) >= 2
    assert all("Path=/auth/;" in f"{line};" for line in cookies)
    console = below.call(
        "GET", "/auth/admin/", headers={"Cookie": f"authsvc_session={sent.cookies['authsvc_session']}"}
    )
    links = re.findall(r'(?:href|action)="(/[^"]*)"', console.text)
    assert (console.status_code, bool(links)) == (200, True)
    assert [link for link in links if not link.startswith("/auth/")] == []


def test_the_api_and_its_links_are_below_the_path(below: Below) -> None:
    who = {"username": new_name(), "password": PASSWORD}
    signed_up = below.call("POST", "/auth/auth/signup", json={**who, "email": f"{who['username']}@example.com"})
    assert signed_up.status_code == 201
    token = bearer(below.call("POST", "/auth/auth/login", json=who).json()["access_token"])
    for number in range(2):
        assert below.call("POST", "/auth/keys", json={"name": str(number)}, headers=token).status_code == 201
    page = below.call("GET", "/auth/keys?limit=1", headers=token)
    assert "example.com" in page.headers["link"]
    assert "/auth/keys?" in page.headers["link"]
    eventually(lambda: below.call("GET", "/auth/readyz").status_code == 200)


def test_a_default_public_url_needs_the_host_of_the_request(server: Server) -> None:
    page = server.http.get("/admin/login/")
    field = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.text)
    assert field is not None
    form = {"csrfmiddlewaretoken": field[1], "username": "nobody", "password": "wrong"}
    headers = {"Cookie": f"csrftoken={page.cookies['csrftoken']}"}
    statuses = [
        server.http.post("/admin/login/", data=form, headers={**headers, "Origin": origin}).status_code
        for origin in (server.url, "https://evil.example", "null")
    ]
    assert statuses == [200, 403, 403]


def test_the_front_page_leads_below_the_path_and_the_document_names_its_server(below: Below) -> None:
    page = below.call("GET", "/auth/", headers={"Accept": "text/html"})
    links = re.findall(r'(?:href|src)="([^"]*)"', page.text)
    assert (page.status_code, len(links) > 5) == (200, True)
    assert {link: below.call("GET", link).status_code in {200, 302} for link in links} == dict.fromkeys(links, True)
    assert below.call("GET", "/auth/openapi.json").json()["servers"] == [{"url": f"{ORIGIN}/auth"}]


def test_probes_below_the_path_are_asked_over_plain_http(server: Server, tmp_path: Any) -> None:
    settings = {"PUBLIC_URL": f"{ORIGIN}/a.b", "HTTPS": "true", "ALLOWED_HOSTS": "example.com"}
    running = Server(tmp_path, server.database_url, **settings)
    running.start()  # until /readyz is 200
    host = {"Host": "example.com"}
    try:
        statuses = {
            path: running.http.get(path, headers=host).status_code
            for path in ("/livez", "/metrics", "/auth/me", "/livezx")
        }
    finally:
        running.stop()
    assert statuses == {"/livez": 200, "/metrics": 200, "/auth/me": 301, "/livezx": 301}
