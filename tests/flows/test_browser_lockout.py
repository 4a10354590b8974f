"""Too many wrong passwords: what an operator sees in a real browser, and that every process counts the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.flows.browser import Window, window
from tests.flows.conftest import PASSWORD, Server, new_name

SENTENCE = "Too many failed attempts; try again in 15 minutes."


@pytest.fixture
def visitor(browser: Browser, server: Server) -> Iterator[Window]:
    """A window in which nobody has logged in."""
    with window(browser, server.url) as opened:
        yield opened


def test_an_operator_who_guesses_six_times_is_told_that_it_is_enough(server: Server, visitor: Window) -> None:
    page, name = visitor.page, server.operator()
    page.goto("/admin/")
    for _ in range(6):
        page.get_by_label("Username").fill(name)
        page.get_by_label("Password").fill("wrong")
        with page.expect_navigation():
            page.get_by_role("button", name="Log in").click()
    expect(page.get_by_text(SENTENCE)).to_be_visible()
    expect(page.get_by_label("Password")).to_be_visible()
    assert [failure.split()[0] for failure in visitor.failures] == ["429"]
    assert visitor.strangers == []


def test_a_second_server_on_the_database_knows_of_the_failures_at_the_first(
    server: Server, launch: Callable[..., Server]
) -> None:
    server.sign_up(name := new_name())
    wrong, right = ({"username": name, "password": word} for word in ("wrong", PASSWORD))
    assert [server.http.post("/auth/login", json=wrong).status_code for _ in range(5)] == [401] * 5
    second = launch(SECRET_KEY=server.environment["SECRET_KEY"])
    answer = second.http.post("/auth/login", json=right)
    assert (answer.status_code, answer.json()["title"]) == (429, "Too Many Requests")
    assert 1 <= int(answer.headers["Retry-After"]) <= 900
