"""Reading the mails that the service has sent, and calling it from one address or another."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

from django.core import mail

from authsvc.mail import _outbox
from tests.conftest import Api, errors_of


def sent() -> list[Any]:
    """Return the mails, after the one thread that sends them has come to its end."""
    _outbox.submit(lambda: None).result(60)
    return list(mail.outbox)


def link_in(message: Any) -> str:
    """Return the one link of a mail."""
    (link,) = re.findall(r"https?://\S+", message.body)
    return str(link)


def token_in(message: Any) -> str:
    """Return what the link of a mail hands to the page that it opens."""
    (token,) = parse_qs(urlsplit(link_in(message)).query)["token"]
    return token


def mailed(api: Api, route: str, email: str) -> str:
    """Ask for a mail to an address and return the token in it."""
    before = len(sent())
    assert api.post(route, {"email": email}).status_code == 202
    (message,) = sent()[before:]
    return token_in(message)


def link_error_of(response: Any) -> str:
    """Return the code of a link that cannot be used, after checking that the answer asks for no credential."""
    ((field, code),) = errors_of(response)
    assert (field, response.has_header("WWW-Authenticate")) == ("token", False)
    return code


def api_from(address: str) -> Api:
    """Return a client whose connections come from an address."""
    api = Api()
    api.client.defaults["REMOTE_ADDR"] = address
    return api
