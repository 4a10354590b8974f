"""Outgoing mail, off the request's path: neither its time nor its failure shows in an answer."""

from __future__ import annotations

import atexit
import logging
import random
import smtplib
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from django.conf import settings
from django.core.mail import send_mail
from django.core.mail.backends import smtp

from authsvc.database import deadlines
from authsvc.mailboxes import to_ascii

logger = logging.getLogger(__name__)

MOST_WAITING = 1000  # mails; beyond that a new one is refused, for a mail server that is away must not fill the memory
SEND_SECONDS = 15.0  # for one mail in all, however slowly its server answers
LAST_SECONDS = 4.0  # that a process which stops waits for its outbox


# Seconds between the request and its mail. What sending costs this process falls into no request's time by rule, so
# that nobody learns from a time whether there is a mail.
DELAY = (0.05, 0.15)


class Outbox:
    """Runs jobs one after the other in a thread that holds up no exit. Mail is rare: one thread is enough."""

    def __init__(self, most: int = MOST_WAITING) -> None:
        self.most, self.closed = most, False
        self.jobs: deque[tuple[Future[None], Callable[..., None], tuple[Any, ...]]] = deque()
        self.changed, self.unfinished = threading.Condition(), 0
        self.thread: threading.Thread | None = None

    def submit(self, job: Callable[..., None], *arguments: Any) -> Future[None]:
        """Run a job soon. The future is cancelled where too many wait, or the process is about to stop."""
        future: Future[None] = Future()
        with self.changed:
            if self.closed or len(self.jobs) >= self.most:
                future.cancel()
                return future
            if self.thread is None:
                self.thread = threading.Thread(target=self.run, name="mail", daemon=True)
                self.thread.start()
                atexit.register(self.close)
            self.jobs.append((future, job, arguments))
            self.unfinished += 1
            self.changed.notify_all()
        return future

    def run(self) -> None:
        """The thread's loop."""
        while True:
            with self.changed:
                self.changed.wait_for(lambda: self.jobs)
                future, job, arguments = self.jobs.popleft()
            try:
                job(*arguments)
            except Exception as error:  # noqa: BLE001  a job's failure is its caller's, and must not end the thread
                future.set_exception(error)
            else:
                future.set_result(None)
            with self.changed:
                self.unfinished -= 1
                self.changed.notify_all()

    def close(self, seconds: float = LAST_SECONDS) -> int:
        """Take no more jobs, wait some seconds for those that are there, and return how many are left undone."""
        with self.changed:
            self.closed = True
            self.changed.wait_for(lambda: not self.unfinished, timeout=seconds)
            left = self.unfinished
        if left:
            logger.error("%d mails could not be sent before the process stopped, and are lost", left)
        return left


_outbox = Outbox()


class SMTP(smtplib.SMTP):
    """Reports each socket that it opens to the deadline of its thread, before the server's first word."""

    @property
    def sock(self) -> Any:
        """The socket, as smtplib calls it."""
        return self.__dict__.get("sock")

    @sock.setter
    def sock(self, value: Any) -> None:
        self.__dict__["sock"] = value
        deadline_of_this_thread.watch(value)


class SMTPOverTLS(SMTP, smtplib.SMTP_SSL):
    """The same, encrypted from the first byte."""


class SendDeadline(threading.local):
    """Until when this thread's mail may take, and the socket that is shut down then."""

    until: float | None = None
    line: deadlines.Line | None = None

    def watch(self, sock: Any) -> None:
        """Have a new socket shut down at the deadline, in place of the one before."""
        if self.line is not None:
            self.line.close()
            self.line = None
        if sock is not None and self.until is not None:
            self.line = deadlines.Line(sock.fileno())
            self.line.until = self.until


deadline_of_this_thread = SendDeadline()


class SMTPBackend(smtp.EmailBackend):
    """Django's, with a deadline for a mail as a whole: EMAIL_TIMEOUT is for each read, and a server may drip."""

    @property
    def connection_class(self) -> type[smtplib.SMTP]:
        """The class that speaks to the server."""
        return SMTPOverTLS if self.use_ssl else SMTP

    def send_messages(self, email_messages: Any) -> int:
        """Send as Django does. Raises what smtplib raises for a connection that was lost, at the deadline."""
        deadlines.start_watchdog()
        deadline_of_this_thread.until = time.monotonic() + SEND_SECONDS
        try:
            return super().send_messages(email_messages)
        finally:
            deadline_of_this_thread.watch(None)
            deadline_of_this_thread.until = None


def send(
    subject: str, text: str, recipient: str | None, *, on_failure: Callable[[], None] | None = None
) -> Future[None]:
    """Send a mail soon; with no recipient, do what a caller would notice of it and send none.

    What goes wrong is logged, and ``on_failure`` called; the caller need not wait.
    """
    due = time.monotonic() + random.uniform(*DELAY)  # noqa: S311  no secret
    future = _outbox.submit(_send, due, subject, text, recipient, on_failure)
    if future.cancelled():
        logger.error("a mail could not be sent: %d wait already, or the process stops", MOST_WAITING)
        if on_failure is not None:
            on_failure()
    return future


def _send(due: float, subject: str, text: str, recipient: str | None, on_failure: Callable[[], None] | None) -> None:
    time.sleep(max(0.0, due - time.monotonic()))
    if recipient is None:
        return
    try:
        send_mail(subject, text, settings.DEFAULT_FROM_EMAIL, [to_ascii(recipient)])
    except Exception:
        logger.exception("a mail could not be sent")
        if on_failure is not None:
            on_failure()
