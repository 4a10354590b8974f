"""The API's documentation in a real browser: read it, log in with it, and call the API from it."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.flows.browser import Window, window
from tests.flows.conftest import Server, eventually, new_name


@pytest.fixture
def docs(browser: Browser, server: Server, tmp_path: Path) -> Iterator[Window]:
    """A window of its own; what it showed last is kept as a picture."""
    with window(browser, server.url) as opened:
        yield opened
        opened.page.screenshot(path=tmp_path / "last.png", full_page=True)


@pytest.fixture(scope="module")
def operations(server: Server) -> list[tuple[str, str]]:
    """(method, path) of each operation in the OpenAPI document."""
    paths: dict[str, dict[str, Any]] = server.http.get("/openapi.json").json()["paths"]
    return sorted((method.upper(), path) for path, found in paths.items() for method in found)


def open_swagger_ui(page: Page) -> None:
    """Go to the page anew, and wait until it has been drawn: on a busy machine the network may be idle before."""
    page.goto("/docs")
    page.locator(".opblock").first.wait_for()
    page.wait_for_load_state("networkidle")


def authorize(page: Page, scheme: str, value: str) -> None:
    """Give Swagger UI a credential by its own dialog."""
    page.locator("button.authorize").first.click()
    dialog = page.locator(".dialog-ux .auth-container").filter(has_text=scheme)
    dialog.locator("input").fill(value)
    dialog.get_by_role("button", name="Apply credentials").click()
    dialog.get_by_text("Authorized", exact=True).wait_for()
    page.locator(".dialog-ux .btn-done").first.click()


def execute(page: Page, path: str) -> tuple[str, Any]:
    """Call a GET route by "Try it out", and return what the page shows of the answer."""
    block = page.locator(".opblock-get").filter(has=page.locator(f'[data-path="{path}"]'))
    block.locator(".opblock-summary-control").click()
    block.get_by_role("button", name="Try it out").click()
    with page.expect_response(f"**{path}"):
        block.get_by_role("button", name="Execute").click()
    live = block.locator(".live-responses-table .response")
    status = live.locator(".response-col_status").inner_text().split()[0]
    return status, json.loads(live.locator(".highlight-code code").first.inner_text())


def post_example(page: Page, path: str, name: str) -> tuple[str, Any]:
    """Send the example of a POST route as it stands, but for the name, and return what the page shows of the answer."""
    block = page.locator(".opblock-post").filter(has=page.locator(f'[data-path="{path}"]'))
    block.locator(".opblock-summary-control").click()
    block.get_by_role("button", name="Try it out").click()
    text = block.locator("textarea.body-param__text")
    text.fill(text.input_value().replace("alice", name))
    with page.expect_response(f"**{path}"):
        block.get_by_role("button", name="Execute").click()
    live = block.locator(".live-responses-table .response")
    status = live.locator(".response-col_status").inner_text().split()[0]
    return status, json.loads(live.locator(".highlight-code code").first.inner_text())


def test_swagger_ui_shows_every_operation_and_asks_nobody_else(docs: Window, operations: list[tuple[str, str]]) -> None:
    open_swagger_ui(docs.page)
    blocks = docs.page.locator(".opblock")
    shown = [
        (block.locator(".opblock-summary-method").inner_text(), block.locator("[data-path]").get_attribute("data-path"))
        for block in blocks.all()
    ]
    assert sorted(shown) == operations
    assert docs.style_of(".opblock-get", "backgroundColor") != "rgba(0, 0, 0, 0)"
    assert docs.styles
    assert docs.trouble == []


def test_every_operation_unfolds_without_a_complaint(docs: Window, operations: list[tuple[str, str]]) -> None:
    open_swagger_ui(docs.page)
    for control in docs.page.locator(".opblock-summary-control").all():
        control.click()
    expect(docs.page.locator(".opblock.is-open .responses-table")).to_have_count(len(operations), timeout=30_000)
    assert docs.page.get_by_text("Could not render").count() == 0
    assert docs.trouble == []


@pytest.mark.parametrize(
    ("scheme", "path"),
    [pytest.param("bearer", "/auth/me", id="token"), pytest.param("apiKey", "/protected/service", id="key")],
)
def test_a_credential_that_is_given_to_swagger_ui_is_really_sent(
    server: Server, docs: Window, scheme: str, path: str
) -> None:
    token = server.sign_up(name := new_name())
    credential = {"bearer": token, "apiKey": server.make_key(token, name)[1]}[scheme]
    open_swagger_ui(docs.page)
    authorize(docs.page, scheme, credential)
    status, body = execute(docs.page, path)
    assert (status, {body.get("username"), body.get("service")}) == ("200", {name, None})
    assert docs.trouble == []


def test_without_a_credential_the_page_shows_the_refusal(docs: Window) -> None:
    open_swagger_ui(docs.page)
    status, body = execute(docs.page, "/auth/me")
    assert (status, body["title"]) == ("401", "Unauthorized")
    assert docs.strangers == []


def test_a_credential_is_kept_for_the_next_visit_until_it_is_logged_out(server: Server, docs: Window) -> None:
    open_swagger_ui(docs.page)
    authorize(docs.page, "bearer", server.sign_up(name := new_name()))
    open_swagger_ui(docs.page)
    status, body = execute(docs.page, "/auth/me")
    assert (status, body["username"]) == ("200", name)
    docs.page.locator("button.authorize").first.click()
    docs.page.locator(".dialog-ux").get_by_role("button", name="Remove authorization").click()
    open_swagger_ui(docs.page)
    status, _ = execute(docs.page, "/auth/me")
    assert status == "401"


@pytest.mark.parametrize("width", [1280, 390])
def test_who_comes_for_the_first_time_gets_from_sign_up_to_a_key_by_the_examples(
    browser: Browser, server: Server, tmp_path: Path, width: int
) -> None:
    name = new_name()
    with window(browser, server.url, viewport={"width": width, "height": 900}) as visit:
        page = visit.page
        page.goto("/")
        page.get_by_role("link", name="API documentation").click()
        page.locator(".opblock").first.wait_for()
        page.wait_for_load_state("networkidle")
        assert post_example(page, "/auth/signup", name)[0] == "201"
        status, tokens = post_example(page, "/auth/login", name)
        assert status == "200"
        authorize(page, "bearer", tokens["access_token"])
        status, made = post_example(page, "/keys/create", name)
        assert (status, made["name"]) == ("201", "nightly export")
        authorize(page, "apiKey", made["key"])
        status, greeting = execute(page, "/protected/service")
        assert (status, greeting["service"]) == ("200", "nightly export")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        page.screenshot(path=tmp_path / f"first-{width}.png", full_page=True)
        assert visit.trouble == []


def test_the_page_calls_the_service_by_the_name_that_it_was_opened_under(
    browser: Browser, launch: Callable[..., Server]
) -> None:
    server = launch(PUBLIC_URL="https://auth.example.com")
    with window(browser, server.url) as visit:
        open_swagger_ui(visit.page)
        status, body = execute(visit.page, "/auth/me")
        assert (status, body["title"]) == ("401", "Unauthorized")
        assert visit.strangers == []


def test_redoc_has_no_broken_picture(docs: Window) -> None:
    docs.page.goto("/redoc")
    docs.page.locator('[data-section-id*="/operation/"]').first.wait_for()
    docs.page.wait_for_load_state("networkidle")
    broken = """[...document.images].filter(image =>
        getComputedStyle(image).display !== "none" && !(image.complete && image.naturalWidth)).length"""
    assert docs.page.evaluate(broken) == 0
    assert docs.trouble == []


def test_redoc_shows_every_operation_and_asks_nobody_else(docs: Window, operations: list[tuple[str, str]]) -> None:
    docs.page.goto("/redoc")
    docs.page.locator('[data-section-id*="/operation/"]').first.wait_for()
    docs.page.wait_for_load_state("networkidle")
    shown = docs.page.locator('[data-section-id*="/operation/"]').evaluate_all(
        "all => all.map(e => e.dataset.sectionId)"
    )
    assert len(set(shown)) == len(operations)
    assert docs.style_of("h1", "fontFamily") == "sans-serif"
    assert docs.trouble == []


@pytest.mark.parametrize("path", ["/docs", "/redoc"])
def test_the_page_fits_a_phone(browser: Browser, server: Server, path: str) -> None:
    with window(browser, server.url, viewport={"width": 390, "height": 844}) as phone:
        phone.page.goto(path, wait_until="networkidle")
        phone.page.get_by_role("heading", name="authsvc").first.wait_for()
        eventually(lambda: phone.page.evaluate("document.documentElement.scrollWidth") <= 390)
        assert phone.page.title() == "authsvc API"


def test_a_window_notices_what_a_clean_page_has_not(docs: Window) -> None:
    open_swagger_ui(docs.page)
    assert docs.trouble == []
    docs.page.evaluate("new Image().src = 'http://127.0.0.1:1/pixel'")
    docs.page.evaluate("setTimeout(() => { throw new Error('uncaught') })")
    docs.page.evaluate("fetch('/nowhere')")
    eventually(lambda: docs.page.title() and docs.strangers and docs.failures and len(docs.complaints) > 2)
    assert docs.strangers == ["http://127.0.0.1:1/pixel"]
    assert [failure[:4] for failure in docs.failures] == ["404 "]
    assert {"uncaught", "CSP img-src http://127.0.0.1:1/pixel"} <= set(docs.complaints)
