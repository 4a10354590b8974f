"""The outbox: bounded, with a deadline for each mail, and holding up no exit."""

from __future__ import annotations

import logging
import os
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from threading import Event, Thread
from typing import Any

import pytest

from authsvc import mail
from authsvc.mail import Outbox
from tests.authsvc.conftest import ROOT

BACKEND = "authsvc.mail.SMTPBackend"
RECIPIENT = "alice@example.com"
COULD_NOT = "a mail could not be sent"


@pytest.fixture
def serve(settings: Any) -> Iterator[Callable[[Callable[[socket.socket], None]], None]]:
    """Answer one connection of the outbox's by a function, in a thread."""
    listener, threads = socket.create_server(("127.0.0.1", 0)), []
    settings.EMAIL_BACKEND = BACKEND
    settings.EMAIL_HOST, settings.EMAIL_PORT = listener.getsockname()

    def start(answer: Callable[[socket.socket], None]) -> None:
        def run() -> None:
            client, _ = listener.accept()
            with client:
                answer(client)

        threads.append(Thread(target=run, daemon=True))
        threads[-1].start()

    yield start
    for thread in threads:
        thread.join(20)
    listener.close()


def drip(client: socket.socket) -> None:
    """Send a byte at a time, and never a whole line, until the client has gone."""
    client.settimeout(0.05)
    try:
        while True:
            client.sendall(b"2")
            time.sleep(0.05)
    except OSError:
        return


def test_a_server_that_drips_is_given_up_at_the_deadline(
    serve: Callable[..., None], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(mail, "SEND_SECONDS", 0.5)
    serve(drip)
    failed, began = [], time.monotonic()
    mail.send("A subject", "A text.", RECIPIENT, on_failure=lambda: failed.append(True)).result(timeout=20)
    assert 0.4 < time.monotonic() - began < 10
    assert (failed, [record.getMessage() for record in caplog.records]) == ([True], [COULD_NOT])
    assert mail.deadline_of_this_thread.line is None


def test_tls_from_the_first_byte_has_the_same_deadline(
    serve: Callable[..., None], settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    settings.EMAIL_USE_SSL = True
    serve(lambda client: client.sendall(b"220 no TLS here\r\n"))
    mail.send("A subject", "A text.", RECIPIENT).result(timeout=20)
    (record,) = caplog.records
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], ssl.SSLError | OSError)


def test_a_socket_without_a_deadline_is_not_watched() -> None:
    deadline = mail.SendDeadline()
    with socket.socket() as unused:
        deadline.watch(unused)
    assert deadline.line is None
    speaking = mail.SMTP()
    assert speaking.sock is None
    speaking.close()


def test_an_outbox_that_is_full_refuses_and_takes_again_once_there_is_room() -> None:
    outbox, go = Outbox(most=2), Event()
    first = outbox.submit(lambda: go.wait(10) and None)
    while outbox.jobs:
        time.sleep(0.001)
    waiting = [outbox.submit(lambda: None) for _ in range(2)]
    assert outbox.submit(lambda: None).cancelled()
    go.set()
    assert [job.result(timeout=10) for job in (first, *waiting)] == [None] * 3
    assert outbox.submit(lambda: None).result(timeout=10) is None
    assert outbox.close(10) == 0


def test_a_mail_that_is_refused_is_logged_and_its_caller_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(mail, "_outbox", Outbox(most=0))
    failed: list[bool] = []
    assert mail.send("s", "t", RECIPIENT, on_failure=lambda: failed.append(True)).cancelled()
    assert mail.send("s", "t", RECIPIENT).cancelled()
    assert failed == [True]
    assert [record.getMessage() for record in caplog.records] == [
        f"{COULD_NOT}: 1000 wait already, or the process stops"
    ] * 2


def test_a_job_that_fails_ends_nobody_elses() -> None:
    outbox = Outbox()
    failing = outbox.submit(lambda: 1 / 0 and None)
    with pytest.raises(ZeroDivisionError):
        failing.result(timeout=10)
    assert outbox.submit(lambda: None).result(timeout=10) is None


def test_what_is_left_when_the_process_stops_is_counted_in_one_line(caplog: pytest.LogCaptureFixture) -> None:
    outbox, go = Outbox(), Event()
    for _ in range(3):
        outbox.submit(lambda: go.wait(10) and None)
    with caplog.at_level(logging.ERROR, "authsvc.mail"):
        assert outbox.close(0.1) == 3
    assert outbox.submit(lambda: None).cancelled()
    assert [record.getMessage() for record in caplog.records] == [
        "3 mails could not be sent before the process stopped, and are lost"
    ]
    go.set()


HANGS = """
import socket, time
import django
django.setup()
from django.conf import settings
from authsvc import mail
silent = socket.create_server(("127.0.0.1", 0))
settings.EMAIL_BACKEND = "authsvc.mail.SMTPBackend"
settings.EMAIL_HOST, settings.EMAIL_PORT = silent.getsockname()
for _ in range(5):
    mail.send("s", "t", "alice@example.com")
"""


def test_a_mail_server_that_hangs_holds_no_exit_for_more_than_a_few_seconds() -> None:
    began = time.monotonic()
    command = [sys.executable, "-c", HANGS]
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "authsvc.settings", "SECRET_KEY": "k" * 32}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - began < mail.LAST_SECONDS + 8
    assert done.stderr.count("5 mails could not be sent before the process stopped, and are lost") == 1
