"""Readers for the variables of outgoing mail: the sender, and the server as a URL."""

import re
from typing import Any
from urllib.parse import unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured

from authsvc.config import environment

MAILBOX = re.compile(r"""(?:"((?:[^"\\]|\\.)*)"|([^"<>\\]*?))\s*<([^\s@<>"]+@[^\s@<>"]+)>|([^\s@<>"]+@[^\s@<>"]+)""")


def mailbox(name: str, default: str) -> str:
    """Return a sender as it stands in a From header (RFC 5322, 3.4): ``a@b.example`` or ``Name <a@b.example>``."""
    value = environment.text(name, default)
    match = MAILBOX.fullmatch(value)
    if match is None or not value.isprintable():
        raise ImproperlyConfigured(f"{name} must be an e-mail address, or Name <address>, not {value!r}.")
    quoted, plain, boxed, bare = match.groups()
    display = re.sub(r"\\(.)", r"\1", quoted) if quoted else plain
    if bare or not display:
        return bare or boxed
    if re.search(r"[^\w !#$%&\'*+/=?^`{|}~-]", display):
        display = '"' + re.sub(r'(["\\])', r"\\\1", display) + '"'
    return f"{display} <{boxed}>"


SMTP_BACKEND = "authsvc.mail.SMTPBackend"
# Django's options for each scheme, and the port of each (RFC 8314, section 3.3, and RFC 6409).
SMTP = {
    "smtp": ({}, 25),
    "smtp+tls": ({"EMAIL_USE_TLS": True}, 587),
    "smtps": ({"EMAIL_USE_SSL": True}, 465),
    "smtp+ssl": ({"EMAIL_USE_SSL": True}, 465),
}


def email(name: str, default: str) -> dict[str, Any]:
    """Return Django's EMAIL_* settings for a URL such as ``smtp+tls://user:password@host:587``.

    ``consolemail://`` prints mails, and ``filemail:///var/mails`` writes each to a file of that folder.
    """
    value = environment.url(name, default, (*SMTP, "consolemail", "filemail"))
    parts = urlsplit(value)
    if parts.query:
        raise ImproperlyConfigured(f"{name} takes no ?; {environment.PERCENT}.")
    if parts.scheme == "consolemail":
        return {"EMAIL_BACKEND": "django.core.mail.backends.console.EmailBackend"}
    if parts.scheme == "filemail":
        folder = unquote(parts.path).lstrip("/")
        if parts.netloc or not folder:
            raise ImproperlyConfigured(f"{name} must name a folder by its whole path, as in filemail:///var/mails.")
        return {"EMAIL_BACKEND": "django.core.mail.backends.filebased.EmailBackend", "EMAIL_FILE_PATH": f"/{folder}"}
    if not parts.hostname or parts.path.strip("/"):
        raise ImproperlyConfigured(
            f"{name} must name a host and no path, as in smtps://user:password@host; {environment.PERCENT}."
        )
    options, port = SMTP[parts.scheme]
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    account = {"EMAIL_HOST_USER": user, "EMAIL_HOST_PASSWORD": password}
    return {
        "EMAIL_BACKEND": SMTP_BACKEND,
        "EMAIL_HOST": parts.hostname,
        "EMAIL_PORT": parts.port or port,
        **account,
        **options,
    }
