"""The API's own way to its views: what it goes past, what it does itself, and which hosts it remembers."""

from __future__ import annotations

from typing import Any

import pytest
from django.http import HttpResponse, StreamingHttpResponse
from django.test import Client, RequestFactory

from authsvc.request.paths import is_page
from authsvc.web import middleware as module
from authsvc.web.browser import AdminMessageMiddleware
from authsvc.web.middleware import ApiMiddleware, ViewsMiddleware
from tests.conftest import Api

EVERYWHERE = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Vary": "origin",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
}

OTHER_HOST = {
    "type": "about:blank",
    "title": "Bad Request",
    "status": 400,
    "detail": "The service does not answer under this Host.",
}


@pytest.mark.parametrize("path", ["/admin", "/admin/", "/admin/login/", "/static/x.js", "/docs", "/redoc"])
def test_a_path_for_a_browser_is_a_page(path: str) -> None:
    assert is_page(path)


@pytest.mark.parametrize("path", ["/", "/adminx", "/xadmin/", "/docs/", "/docsx", "/static", "//admin/", "/keys"])
def test_every_other_path_is_the_apis(path: str) -> None:
    assert not is_page(path)


def test_the_last_middleware_keeps_what_calls_the_views(settings: Any) -> None:
    client = Client()
    client.get("/livez")
    assert settings.MIDDLEWARE[-1] == "authsvc.web.middleware.ViewsMiddleware"
    assert ViewsMiddleware.views.__wrapped__ == client.handler._get_response  # type: ignore[attr-defined]


def test_a_request_of_the_api_passes_no_middleware_of_the_pages(monkeypatch: pytest.MonkeyPatch, api: Api) -> None:
    passed: list[str] = []
    own = AdminMessageMiddleware.__call__

    def note(self: Any, request: Any) -> Any:
        passed.append(request.path_info)
        return own(self, request)

    monkeypatch.setattr(AdminMessageMiddleware, "__call__", note)
    assert [api.get(path).status_code for path in ("/livez", "/docs", "/nowhere")] == [200, 200, 404]
    assert passed == ["/docs"]


def test_the_console_is_found_without_its_slash(api: Api) -> None:
    answer = api.get("/admin")
    assert (answer.status_code, answer["Location"]) == (301, "/admin/")


@pytest.mark.parametrize("path", ["/livez", "/nowhere", "/protected/any"])
def test_an_answer_has_each_header_once_and_its_length(api: Api, path: str) -> None:
    headers = api.get(path).headers
    assert {name: headers[name] for name in EVERYWHERE} == EVERYWHERE
    assert int(headers["Content-Length"]) == len(api.get(path).content)


@pytest.mark.parametrize("path", ["/livez", "/nowhere"])
def test_head_has_the_length_of_what_get_would_answer(api: Api, path: str) -> None:
    asked, without = api.get(path), api.call("HEAD", path)
    assert (without.status_code, without.content) == (asked.status_code, b"")
    assert without["Content-Length"] == str(len(asked.content))


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
@pytest.mark.parametrize("status", [200, 202, 204, 304])
def test_an_answer_without_content_says_nothing_of_its_type(method: str, status: int) -> None:
    answer = way(HttpResponse(status=status))(RequestFactory().generic(method, "/x"))
    assert ("Content-Type" in answer.headers, answer.headers["Content-Length"]) == (False, "0")


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_an_answer_with_content_says_of_what_type_it_is_also_to_head(method: str) -> None:
    answer = way(HttpResponse(b"{}", content_type="application/json"))(RequestFactory().generic(method, "/x"))
    assert (answer.headers["Content-Type"], answer.headers["Content-Length"]) == ("application/json", "2")


def way(answer: HttpResponse) -> ApiMiddleware:
    """Return the middleware before a view that answers the same to all."""
    return ApiMiddleware(ViewsMiddleware(lambda request: answer))


def test_what_a_view_says_of_its_answer_stays() -> None:
    said = {"Cache-Control": "public, max-age=300", "Vary": "Accept", "Content-Length": "2"}
    headers = way(HttpResponse(b"{}", headers=said))(RequestFactory().get("/x")).headers
    assert {name: headers[name] for name in said} == {**said, "Vary": "Accept, origin"}
    assert headers["X-Frame-Options"] == "DENY"


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_an_answer_whose_length_nobody_knows_is_left_to_the_server(method: str) -> None:
    streamed: Any = way(StreamingHttpResponse([b"a", b"b"]))(RequestFactory().generic(method, "/x"))  # type: ignore[arg-type]
    assert "Content-Length" not in streamed.headers
    assert streamed.headers["Cache-Control"] == "no-store"
    assert b"".join(streamed.streaming_content) == b"ab"


def test_one_answers_headers_are_not_anothers() -> None:
    first = way(HttpResponse(b"{}"))
    answers = [first(RequestFactory().get("/x")) for _ in range(2)]
    answers[0].headers["X-More"] = "1"
    assert first.headers.get("X-More") is None
    assert way(HttpResponse())(RequestFactory().get("/x")).headers.get("X-More") is None


def test_a_host_that_is_not_ours_is_refused_each_time(api: Api) -> None:
    for _ in range(2):
        answer = api.get("/auth/me", headers={"Host": "evil.example"})
        assert (answer.status_code, answer.json()) == (400, OTHER_HOST)
        assert {name: answer[name] for name in EVERYWHERE} == EVERYWHERE
        assert api.get("/auth/me", headers={"Host": "localhost"}).status_code == 401


def test_a_host_that_was_ours_is_refused_once_it_is_not(api: Api, settings: Any) -> None:
    settings.ALLOWED_HOSTS = ["a.example"]
    assert api.get("/auth/me", headers={"Host": "a.example"}).status_code == 401
    settings.ALLOWED_HOSTS = ["b.example"]
    assert api.get("/auth/me", headers={"Host": "a.example"}).status_code == 400


@pytest.mark.parametrize("host", ["", " ", "localhost:x", "localhost,evil.example", "evil.example:80", "localhost/"])
def test_a_host_is_remembered_as_it_was_sent(api: Api, host: str) -> None:
    assert api.get("/auth/me", headers={"Host": "localhost"}).status_code == 401
    assert api.get("/auth/me").status_code == 401  # without one, as HTTP/1.0 allows
    assert api.get("/auth/me", headers={"Host": host}).status_code == 400


def test_a_host_that_is_longer_than_any_is_not_remembered() -> None:
    found = way(HttpResponse())
    for host in (f"localhost:{'0' * 1000}1", "localhost"):
        assert found(RequestFactory().get("/x", headers={"Host": host})).status_code == 200
    assert list(found.allowed) == ["localhost"]


def test_of_hosts_without_end_no_more_are_remembered_than_fit(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.ALLOWED_HOSTS = [".example.com"]
    monkeypatch.setattr(module, "KNOWN_HOSTS", 3)
    found = way(HttpResponse())
    for number in range(10):
        answer = found(RequestFactory().get("/x", headers={"Host": f"{number}.example.com"}))
        assert answer.status_code == 200
        assert len(found.allowed) <= 3
