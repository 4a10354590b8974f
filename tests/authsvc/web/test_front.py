"""The front page: HTML for a browser, a problem for everything else."""

import re
from typing import Any

import pytest

from tests.conftest import NOT_FOUND, Api

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"
OTHERS = [None, "*/*", "application/json", "application/json, text/plain, */*", "application/json, text/html;q=0.5"]


def get(api: Api, accept: str | None, method: str = "GET") -> Any:
    return api.call(method, "/", headers={} if accept is None else {"Accept": accept})


@pytest.mark.parametrize("accept", [BROWSER, "text/html", "text/html;q=0.9, application/json;q=0.5"])
def test_a_browser_gets_a_page_whose_links_lead_somewhere(api: Api, db: None, accept: str) -> None:
    page = get(api, accept)
    assert (page.status_code, page["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert "default-src 'none'" in page["Content-Security-Policy"]
    assert {word.strip().lower() for word in page["Vary"].split(",")} == {"accept", "origin"}
    assert b"<script" not in page.content
    links = re.findall(r'(?:href|src)="([^"]+)"', page.content.decode())
    assert {"/docs", "/redoc", "/openapi.json", "/admin/", "/readyz", "/static/authsvc/front.css"} <= set(links)
    for link in links:
        followed = api.get(link)
        assert followed.status_code in {200, 302}, link
        assert b"".join(followed) or followed.status_code == 302


@pytest.mark.parametrize("accept", OTHERS)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "OPTIONS"])
def test_everything_else_gets_a_404(api: Api, accept: str | None, method: str) -> None:
    response = get(api, accept, method)
    assert (response.status_code, response["Content-Type"]) == (404, "application/problem+json")
    assert response.json() == NOT_FOUND


def test_a_browser_that_posts_gets_a_404_too(api: Api) -> None:
    assert get(api, BROWSER, "POST").json() == NOT_FOUND


def test_a_head_has_the_headers_and_no_body(api: Api) -> None:
    head, page = get(api, BROWSER, "HEAD"), get(api, BROWSER)
    assert (head.status_code, head.content) == (200, b"")
    assert (head["Content-Length"], head["Content-Type"]) == (page["Content-Length"], page["Content-Type"])
