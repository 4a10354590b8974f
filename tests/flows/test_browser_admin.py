"""The operator's console in a real browser: find keys, look at one, revoke one, revoke many."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
from playwright.sync_api import Browser, Page

from tests.flows.browser import Window, window
from tests.flows.conftest import PASSWORD, Server, bearer, eventually, new_name

KEYS = "/admin/apikeys/apikey/"


class Owner(NamedTuple):
    """Somebody with keys: their names and, for each, id and plaintext."""

    name: str
    keys: dict[str, tuple[int, str]]

    def opens(self, server: Server, name: str) -> int:
        """Return the status of a call with a key."""
        return server.http.get("/protected/service", headers={"X-API-Key": self.keys[name][1]}).status_code


@pytest.fixture(scope="module")
def operator(server: Server) -> str:
    return server.operator()


@pytest.fixture(scope="module")
def session(browser: Browser, server: Server, operator: str) -> Any:
    """The cookies of a logged-in operator."""
    with window(browser, server.url) as opened:
        log_in(opened.page, operator)
        opened.page.wait_for_url("**/admin/")
        return opened.page.context.storage_state()


@pytest.fixture
def owner(server: Server) -> Owner:
    """Somebody with three keys, of which "old import" is revoked."""
    token = server.sign_up(name := new_name())
    keys = {title: server.make_key(token, title) for title in ("nightly export", "deploy", "old import")}
    assert server.http.delete(f"/keys/{keys['old import'][0]}", headers=bearer(token)).status_code == 204
    return Owner(name, keys)


@pytest.fixture
def visitor(browser: Browser, server: Server) -> Iterator[Window]:
    """A window in which nobody has logged in."""
    with window(browser, server.url) as opened:
        yield opened


@pytest.fixture
def console(browser: Browser, server: Server, session: Any, tmp_path: Path) -> Iterator[Window]:
    """A window with an operator logged in; what it showed last is kept as a picture."""
    with window(browser, server.url, storage_state=session) as opened:
        yield opened
        opened.page.screenshot(path=tmp_path / "last.png")


def log_in(page: Page, username: str, password: str = PASSWORD) -> None:
    """Fill in the login form and send it."""
    page.goto("/admin/")
    page.get_by_label("Username").fill(username)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Log in").click()


def names(page: Page) -> list[str]:
    """Return the names in the list of keys, once it has been drawn."""
    page.locator("#searchbar").wait_for()
    return page.locator("#result_list tbody tr .field-name").all_inner_texts()


def search(page: Page, text: str) -> list[str]:
    """Search the list of keys as an operator does, and return the names found."""
    page.goto(KEYS)
    page.locator("#searchbar").fill(text)
    page.locator("#searchbar").press("Enter")
    page.wait_for_url("**/?q=*")
    return names(page)


def test_the_login_page_is_clean_and_styled(visitor: Window) -> None:
    visitor.page.goto("/admin/", wait_until="networkidle")
    assert visitor.styles
    assert {httpx.get(style, trust_env=False).headers["Content-Type"] for style in visitor.styles} == {
        'text/css; charset="utf-8"'
    }
    assert visitor.style_of("button[type=submit]", "backgroundColor") != "rgba(0, 0, 0, 0)"
    assert visitor.trouble == []


def test_the_console_has_an_icon(server: Server, visitor: Window) -> None:
    visitor.page.goto("/admin/")
    named = visitor.page.locator("link[rel~=icon]").evaluate_all("all => all.map(e => e.getAttribute('href'))")
    icons = named or ["/favicon.ico"]
    assert [server.http.get(icon).status_code for icon in icons] == [200] * len(icons)
    assert visitor.page.title().endswith("authsvc")


def test_no_link_of_the_login_page_is_dead(server: Server, visitor: Window) -> None:
    visitor.page.goto("/admin/")
    links = visitor.page.locator("a[href]").evaluate_all("all => all.map(a => a.getAttribute('href'))")
    dead = [link for link in links if server.http.get(link).status_code >= 400]
    assert visitor.page.title().endswith("authsvc")
    assert dead == []


def test_a_wrong_password_and_a_user_who_is_no_operator_read_the_same(server: Server, visitor: Window) -> None:
    server.sign_up(user := new_name())
    errors = []
    for username, password in ((user, PASSWORD), (user, "wrong"), (new_name(), PASSWORD)):
        log_in(visitor.page, username, password)
        errors.append(visitor.page.get_by_text("Please enter the correct").inner_text())
    assert len(set(errors)) == 1
    assert "/admin/login/" in visitor.page.url


def test_the_list_is_clean_styled_and_without_a_secret(console: Window, owner: Owner) -> None:
    console.page.goto(f"{KEYS}?q={owner.name}", wait_until="networkidle")
    assert names(console.page) == ["old import", "deploy", "nightly export"]
    assert console.style_of("#result_list tbody tr", "display") == "table-row"
    assert console.style_of("body", "fontFamily").startswith("Inter")
    content = console.page.content()
    assert not [key for _, key in owner.keys.values() if key in content]
    assert console.trouble == []


def test_a_key_is_found_by_owner_name_and_prefix(console: Window, owner: Owner) -> None:
    _, key = owner.keys["deploy"]
    assert search(console.page, owner.name) == ["old import", "deploy", "nightly export"]
    assert search(console.page, f"{owner.name}@example.com") == ["old import", "deploy", "nightly export"]
    assert search(console.page, f"{owner.name} nightly") == ["nightly export"]
    assert search(console.page, key[:11]) == ["deploy"]
    assert search(console.page, key[:9]) == ["deploy"]
    assert console.trouble == []


@pytest.mark.parametrize(
    ("label", "found"),
    [
        pytest.param("Active", ["deploy", "nightly export"], id="active"),
        pytest.param("Revoked", ["old import"], id="revoked"),
        pytest.param("Expired", [], id="expired"),
        pytest.param("30 days", [], id="expires soon"),
    ],
)
def test_the_list_can_be_filtered(console: Window, owner: Owner, label: str, found: list[str]) -> None:
    search(console.page, owner.name)
    console.page.get_by_text("Filters", exact=False).first.click()
    console.page.locator("#changelist-filter").get_by_role("link", name=label, exact=True).click()
    console.page.wait_for_url("**?*=*&*=*")
    assert names(console.page) == found
    assert console.trouble == []


def test_one_key_is_looked_at_and_revoked_for_a_reason(server: Server, console: Window, owner: Owner) -> None:
    page, (key_id, key) = console.page, owner.keys["deploy"]
    search(page, key[:11])
    page.get_by_role("link", name="deploy").click()
    page.wait_for_url(f"**{KEYS}{key_id}/change/**")
    before = page.locator("body").inner_text()
    assert f"{key[:11]}…" in before
    assert owner.opens(server, "deploy") == 200

    page.get_by_role("link", name="Revoke…").click()
    page.get_by_label("Reason").fill("left the company")
    assert "Revoke 1 API key?" in page.locator("body").inner_text()
    assert owner.opens(server, "deploy") == 200  # the question alone does nothing
    page.get_by_role("button", name="Revoke for good").click()

    page.get_by_text("Revoked 1 of 1 API keys.").wait_for()
    assert "left the company" in page.locator("body").inner_text()
    assert [owner.opens(server, name) for name in owner.keys] == [200, 401, 401]
    page.get_by_role("link", name="History").click()
    page.get_by_text("Revoked. left the company").wait_for()
    assert key not in page.content()
    assert console.trouble == []


def test_the_confirmation_can_be_cancelled(server: Server, console: Window, owner: Owner) -> None:
    key_id, _ = owner.keys["deploy"]
    console.page.goto(f"{KEYS}{key_id}/revoke/")
    console.page.get_by_role("link", name="Cancel").click()
    console.page.wait_for_url(f"**{KEYS}{key_id}/change/")
    assert owner.opens(server, "deploy") == 200
    assert console.trouble == []


def test_many_keys_are_revoked_at_once_and_those_revoked_before_stay_as_they_were(
    server: Server, console: Window, owner: Owner
) -> None:
    page = console.page
    search(page, owner.name)
    page.locator("#action-toggle").check()
    page.locator("select[name=action]").select_option(label="Revoke selected API keys…")
    page.locator("button[name=index]").click()
    page.get_by_label("Reason").fill("leaked in a log")
    assert page.locator("li").filter(has_text=f"of {owner.name}").count() == 3
    page.get_by_role("button", name="Revoke for good").click()
    page.get_by_text("Revoked 2 of 3 API keys.").wait_for()
    assert page.get_by_text("1 had been revoked before.").is_visible()
    assert f"q={owner.name}" in page.url
    assert [owner.opens(server, name) for name in owner.keys] == [401, 401, 401]
    assert console.trouble == []


def test_a_key_cannot_be_changed_added_or_deleted_here(server: Server, console: Window, owner: Owner) -> None:
    key_id, _ = owner.keys["deploy"]
    console.page.goto(f"{KEYS}{key_id}/change/")
    assert console.page.locator("#content-main input:visible").count() == 0
    assert console.page.get_by_role("button", name="Save").count() == 0
    statuses = [console.page.request.get(f"{server.url}{KEYS}{path}").status for path in ("add/", f"{key_id}/delete/")]
    assert statuses == [403, 403]


@pytest.mark.parametrize(
    "path",
    [
        "",
        "accounts/user/",
        "accounts/user/add/",
        "accounts/role/",
        "accounts/role/add/",
        "accounts/scope/",
        "accounts/scope/add/",
        "password_change/",
        "apikeys/apikey/?q=nothing-like-this",
    ],
)
def test_every_page_of_the_console_is_clean(console: Window, path: str) -> None:
    answer = console.page.goto(f"/admin/{path}", wait_until="networkidle")
    assert answer is not None
    assert answer.status == 200
    assert console.trouble == []


@pytest.mark.parametrize("path", ["accounts/user/add/", "accounts/role/add/", "accounts/scope/add/"])
def test_no_form_is_wider_than_the_window(console: Window, path: str) -> None:
    console.page.goto(f"/admin/{path}", wait_until="networkidle")
    boxes = console.page.locator("fieldset").evaluate_all("all => all.map(e => e.getBoundingClientRect().right)")
    assert boxes
    assert max(boxes) <= console.page.evaluate("innerWidth")


def test_the_list_fits_a_phone(browser: Browser, server: Server, session: Any, owner: Owner) -> None:
    with window(browser, server.url, storage_state=session, viewport={"width": 390, "height": 844}) as phone:
        phone.page.goto(f"{KEYS}?q={owner.name}", wait_until="networkidle")
        assert names(phone.page) == ["old import", "deploy", "nightly export"]
        eventually(lambda: phone.page.evaluate("document.documentElement.scrollWidth") <= 390)
