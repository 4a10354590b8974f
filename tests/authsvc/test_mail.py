"""Mail leaves off the request's path: its failure is the operator's to read, and nobody's to wait for."""

from __future__ import annotations

import logging
import socket
from typing import Any

import pytest

from authsvc import mail

SMTP = "django.core.mail.backends.smtp.EmailBackend"
RECIPIENT = "alice@example.com"


def test_a_mail_arrives_as_it_was_written(mailoutbox: list[Any], settings: Any) -> None:
    settings.DEFAULT_FROM_EMAIL = "authsvc@example.org"
    assert mail.send("A subject", "A text, with an é.", RECIPIENT).result(timeout=10) is None
    (sent,) = mailoutbox
    assert (sent.subject, sent.body, sent.from_email) == ("A subject", "A text, with an é.", "authsvc@example.org")
    assert sent.to == [RECIPIENT]


def test_a_mail_server_that_is_away_is_logged_and_raises_nothing(
    settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        settings.EMAIL_BACKEND, settings.EMAIL_HOST, settings.EMAIL_PORT = SMTP, *probe.getsockname()
        with caplog.at_level(logging.ERROR, "authsvc.mail"):
            assert mail.send("A subject", "A text.", RECIPIENT).result(timeout=10) is None
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("ERROR", "a mail could not be sent")
    ]
    assert caplog.records[0].exc_info is not None


def test_a_subject_cannot_bring_headers_of_its_own(mailoutbox: list[Any], caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR, "authsvc.mail"):
        assert mail.send("A subject\nBcc: mallory@example.com", "A text.", RECIPIENT).result(timeout=10) is None
    assert mailoutbox == []
    assert [record.getMessage() for record in caplog.records] == ["a mail could not be sent"]


def test_after_a_failure_the_next_mail_is_sent(mailoutbox: list[Any], caplog: pytest.LogCaptureFixture) -> None:
    bad, good = mail.send("a\nb", "text", RECIPIENT), mail.send("Good", "text", RECIPIENT)
    assert (bad.result(timeout=10), good.result(timeout=10)) == (None, None)
    assert [sent.subject for sent in mailoutbox] == ["Good"]
    assert len(caplog.records) == 1


def test_a_mail_server_that_is_silent_keeps_no_caller_waiting(settings: Any, caplog: pytest.LogCaptureFixture) -> None:
    settings.EMAIL_TIMEOUT = 0.2
    with socket.create_server(("127.0.0.1", 0)) as silent:
        settings.EMAIL_BACKEND, settings.EMAIL_HOST, settings.EMAIL_PORT = SMTP, *silent.getsockname()
        waiting = mail.send("A subject", "A text.", RECIPIENT)
        assert not waiting.done()
        assert waiting.result(timeout=10) is None
    assert [record.getMessage() for record in caplog.records] == ["a mail could not be sent"]
