"""Outgoing mail, off the request's path: neither its time nor its failure shows in an answer."""

import logging
import random
import time
from concurrent.futures import Future, ThreadPoolExecutor

from django.conf import settings
from django.core.mail import send_mail

from authsvc.mailboxes import to_ascii

logger = logging.getLogger(__name__)

# One thread: mail is rare, and the interpreter waits for it at its exit.
_outbox = ThreadPoolExecutor(max_workers=1, thread_name_prefix="mail")


# Seconds between the request and its mail. What sending costs this process falls into no request's time by rule, so
# that nobody learns from a time whether there is a mail.
DELAY = (0.05, 0.15)


def send(subject: str, text: str, recipient: str | None) -> Future[None]:
    """Send a mail soon; with no recipient, do what a caller would notice of it and send none.

    What goes wrong is logged; the caller need not wait.
    """
    due = time.monotonic() + random.uniform(*DELAY)  # noqa: S311  no secret
    return _outbox.submit(_send, due, subject, text, recipient)


def _send(due: float, subject: str, text: str, recipient: str | None) -> None:
    time.sleep(max(0.0, due - time.monotonic()))
    if recipient is None:
        return
    try:
        send_mail(subject, text, settings.DEFAULT_FROM_EMAIL, [to_ascii(recipient)])
    except Exception:
        logger.exception("a mail could not be sent")
