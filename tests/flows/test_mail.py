"""Mail over a real SMTP server on loopback: what arrives sets a new password and confirms an address."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from aiosmtpd.controller import Controller

from tests.flows.conftest import PASSWORD, Server, bearer, eventually, free_port, new_name

NEW = "another-horse-battery"


class Postbox:
    """An SMTP server's handler that keeps what arrives: (from, to, message)."""

    def __init__(self) -> None:
        self.received: list[tuple[str, list[str], EmailMessage]] = []

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802  aiosmtpd's name
        """Take a mail in."""
        message = message_from_bytes(envelope.content, policy=policy.default)
        assert isinstance(message, EmailMessage)
        self.received.append((envelope.mail_from, envelope.rcpt_tos, message))
        return "250 OK"

    def one_to(self, address: str, subject: str) -> EmailMessage:
        """Wait for a mail to an address under a subject, and return the one that has come."""
        (message,) = eventually(
            lambda: [mail for _, to, mail in self.received if to == [address] and mail["Subject"] == subject]
        )
        return message


class Smtp(Controller):
    """A mail server, and what it has received."""

    def __init__(self) -> None:
        self.postbox = Postbox()
        super().__init__(self.postbox, hostname="127.0.0.1", port=free_port())


@pytest.fixture
def smtp() -> Iterator[Smtp]:
    server = Smtp()
    server.start()
    yield server
    server.stop()


def token_in(message: EmailMessage, page: str) -> str:
    """Return the token in a mail's one link, which leads to a page of the app."""
    (link,) = re.findall(r"https?://\S+", message.get_content())
    parts = urlsplit(link)
    assert f"{parts.scheme}://{parts.netloc}{parts.path}" == f"https://app.example/{page}"
    return parse_qs(parts.query)["token"][0]


def logs_in(server: Server, name: str, word: str) -> int:
    return server.http.post("/auth/login", json={"username": name, "password": word}).status_code


def test_a_forgotten_password_is_set_anew_with_the_link_from_a_mail(launch: Callable[..., Server], smtp: Smtp) -> None:
    server = launch(
        EMAIL_URL=f"smtp://127.0.0.1:{smtp.port}", EMAIL_FROM="auth@app.example", APP_URL="https://app.example"
    )
    token = server.sign_up(name := new_name())
    address = f"{name}@example.com"
    asked = [
        server.http.post("/auth/password/reset", json={"email": email}) for email in (address.upper(), "x@y.example")
    ]
    assert [(answer.status_code, answer.json()) for answer in asked] == [(202, {"status": "accepted"})] * 2

    message = smtp.postbox.one_to(address, "Set a new password")
    assert (message["Subject"], message["From"], message["To"]) == ("Set a new password", "auth@app.example", address)
    body = {"token": token_in(message, "reset-password"), "new_password": NEW}
    answers = [server.http.post("/auth/password/reset/confirm", json=body) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [204, 400]
    assert answers[1].json()["errors"][0]["code"] == "used"

    assert server.http.get("/auth/me", headers=bearer(token)).status_code == 401
    assert [logs_in(server, name, word) for word in (NEW, PASSWORD)] == [200, 401]
    assert [(to, mail["Subject"]) for _, to, mail in smtp.postbox.received] == [
        ([address], "Confirm your address"),
        ([address], "Set a new password"),
    ]


def test_an_account_opens_once_its_address_is_confirmed_with_the_link_from_a_mail(
    launch: Callable[..., Server], smtp: Smtp
) -> None:
    server = launch(
        EMAIL_URL=f"smtp://127.0.0.1:{smtp.port}", APP_URL="https://app.example/", REQUIRE_VERIFIED_EMAIL="true"
    )
    name = new_name()
    person = {"username": name, "email": f"{name}@example.com", "password": PASSWORD}
    assert server.http.post("/auth/signup", json=person).status_code == 201
    message = smtp.postbox.one_to(person["email"], "Confirm your address")
    assert (message["Subject"], logs_in(server, name, PASSWORD)) == ("Confirm your address", 403)
    body = {"token": token_in(message, "confirm-email")}
    assert server.http.post("/auth/email/verify/confirm", json=body).status_code == 204
    assert logs_in(server, name, PASSWORD) == 200


def test_a_mail_server_that_is_away_keeps_no_answer_back_and_the_operator_reads_it(
    launch: Callable[..., Server],
) -> None:
    server = launch(EMAIL_URL=f"smtp://127.0.0.1:{free_port()}")
    server.sign_up(name := new_name())
    answer = server.http.post("/auth/password/reset", json={"email": f"{name}@example.com"})
    assert (answer.status_code, answer.json()) == (202, {"status": "accepted"})
    log = eventually(lambda: "a mail could not be sent" in server.log.read_text() and server.log.read_text())
    assert f"{name}@example.com" not in str(log)
