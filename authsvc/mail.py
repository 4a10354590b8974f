"""Outgoing mail, off the request's path: neither its time nor its failure shows in an answer."""

import logging
from concurrent.futures import Future, ThreadPoolExecutor

from django.conf import settings
from django.core.mail import send_mail

from authsvc.mailboxes import to_ascii

logger = logging.getLogger(__name__)

# One thread: mail is rare, and the interpreter waits for it at its exit.
_outbox = ThreadPoolExecutor(max_workers=1, thread_name_prefix="mail")


def send(subject: str, text: str, recipient: str) -> Future[None]:
    """Send a mail soon. What goes wrong is logged; the caller need not wait."""
    return _outbox.submit(_send, subject, text, recipient)


def _send(subject: str, text: str, recipient: str) -> None:
    try:
        send_mail(subject, text, settings.DEFAULT_FROM_EMAIL, [to_ascii(recipient)])
    except Exception:
        logger.exception("a mail could not be sent")
