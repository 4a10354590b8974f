"""A real Chromium for the pages that people look at."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, ConsoleMessage, Error, Page, Request, Response, sync_playwright

OPTIONS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
# Said by the page itself, so that a violation counts even where the browser would not print it.
REPORT_VIOLATIONS = """
    document.addEventListener('securitypolicyviolation', violation =>
        console.error('CSP', violation.violatedDirective, violation.blockedURI))
"""


class Window:
    """A page, and what it has asked for and complained about since it was opened."""

    def __init__(self, page: Page, url: str) -> None:
        self.page, self.origin = page, urlsplit(url).netloc
        self.forget()
        page.on("request", self.on_request)
        page.on("response", self.on_response)
        page.on("console", self.on_console)
        page.on("pageerror", self.on_error)
        page.add_init_script(REPORT_VIOLATIONS)

    def forget(self) -> None:
        """Start to note anew."""
        self.strangers: list[str] = []
        self.complaints: list[str] = []
        self.failures: list[str] = []
        self.styles: list[str] = []

    def on_request(self, request: Request) -> None:
        """Note requests that leave the server; ``data:`` and ``blob:`` go nowhere."""
        parts = urlsplit(request.url)
        if parts.scheme not in {"data", "blob"} and parts.netloc != self.origin:
            self.strangers.append(request.url)

    def on_response(self, response: Response) -> None:
        """Note stylesheets that came, and whatever failed."""
        if response.status >= 400:
            self.failures.append(f"{response.status} {response.url}")
        elif response.request.resource_type == "stylesheet":
            self.styles.append(response.url)

    def on_console(self, message: ConsoleMessage) -> None:
        """Note warnings and errors; the icon is asked for once a browser, so whose page it troubles is chance."""
        if message.type in {"error", "warning"} and not message.location["url"].endswith("/favicon.ico"):
            self.complaints.append(message.text)

    def on_error(self, error: Error) -> None:
        """Note what a script did not catch."""
        self.complaints.append(error.message)

    @property
    def trouble(self) -> list[str]:
        """Everything that a clean page has not."""
        return [*self.strangers, *self.complaints, *self.failures]

    def style_of(self, selector: str, name: str) -> str:
        """Return a computed style of the first element that a selector finds."""
        found = self.page.locator(selector).first.evaluate("(e, name) => getComputedStyle(e)[name]", name)
        return str(found)


@contextmanager
def launched(chromium: str) -> Iterator[Browser]:
    """Start a browser, and end it and playwright's event loop: Django's ORM refuses to run in a thread that has one."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, headless=True, args=OPTIONS)
        yield browser
        browser.close()


@contextmanager
def window(browser: Browser, url: str, **options: Any) -> Iterator[Window]:
    """Open a page with cookies and a cache of its own."""
    context = browser.new_context(base_url=url, **{"viewport": {"width": 1280, "height": 900}, **options})
    context.set_default_timeout(60_000)
    yield Window(context.new_page(), url)
    context.close()
