"""A secret that the console shows once, on the page after a redirect, and stores nowhere.

It travels in an encrypted cookie that only that page gets, for a minute. The operator's session has the id of the one
showing, which the page takes out of it: a reload, a second tab and a stolen cookie show nothing.
"""

from __future__ import annotations

import base64
import json
import secrets

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings
from django.http import HttpRequest, HttpResponse

COOKIE, SESSION_KEY = "authsvc_shown_once", "shown_once"
LIFETIME = 60  # seconds
PURPOSE = b"authsvc secrets shown once"


def hand_over(request: HttpRequest, response: HttpResponse, secret: str, *, path: str) -> None:
    """Let the page at ``path`` show a secret once, to the operator of this request."""
    shown_id = secrets.token_urlsafe(16)
    request.session[SESSION_KEY] = shown_id
    response.set_cookie(
        COOKIE,
        _fernet().encrypt(json.dumps([shown_id, path, secret]).encode()).decode(),
        max_age=LIFETIME,
        path=path,
        secure=bool(settings.SESSION_COOKIE_SECURE),
        httponly=True,
        samesite="Strict",
    )


def take(request: HttpRequest) -> str | None:
    """Return the secret that this page is to show, or None where there is none or it was shown."""
    try:
        opened = _fernet().decrypt(request.COOKIES.get(COOKIE, "").encode(), ttl=LIFETIME)
    except InvalidToken:
        return None
    shown_id, path, secret = json.loads(opened)
    taken = request.session.take(SESSION_KEY)  # type: ignore[attr-defined]  # of authsvc.web.console_sessions
    return str(secret) if path == request.path and taken == shown_id else None


def forget(response: HttpResponse, *, path: str) -> None:
    """Remove the cookie from the browser."""
    response.delete_cookie(COOKIE, path=path, samesite="Strict")


def is_prefetch(request: HttpRequest) -> bool:
    """Return whether a browser asks ahead of its user, who may never look at the answer."""
    return "prefetch" in f"{request.headers.get('Sec-Purpose', '')} {request.headers.get('Purpose', '')}".lower()


def _fernet() -> Fernet:
    derived = HKDF(SHA256(), length=32, salt=None, info=PURPOSE).derive(settings.SECRET_KEY.encode())
    return Fernet(base64.urlsafe_b64encode(derived))
