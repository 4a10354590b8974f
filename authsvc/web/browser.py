"""Middleware for what people look at in a browser: the console, its files and the documentation."""

import re
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.messages.middleware import MessageMiddleware
from django.contrib.sessions.middleware import SessionMiddleware
from django.core.exceptions import RequestDataTooBig, SuspiciousOperation, TooManyFieldsSent
from django.http import HttpRequest, HttpResponse, HttpResponseForbidden
from django.http.response import HttpResponseBase
from django.middleware.csrf import CsrfViewMiddleware

from authsvc.request.paths import ADMIN, DOCS, STATIC

# The documentation runs its own scripts and styles. The admin's theme has inline scripts and Alpine.js, which compiles
# expressions: hence 'unsafe-eval' there.
SELF = "default-src 'self'; object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
LOOKS = "style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self' data:"
DOCS_POLICY = f"{SELF}; {LOOKS}; worker-src 'self' blob:"
ADMIN_POLICY = f"{SELF}; {LOOKS}; script-src 'self' 'unsafe-inline' 'unsafe-eval'"

SESSION_KEY = re.compile(r"[A-Za-z0-9_-]{8,128}")
ANONYMOUS_FORM, ANONYMOUS_FIELDS = 64 * 1024, 100  # bytes and fields of a form from a caller who is not logged in

GetResponse = Callable[[HttpRequest], HttpResponseBase]


class PageHeadersMiddleware:
    """Adds Content-Security-Policy to pages; no body to HEAD."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response, path = self.get_response(request), request.path_info
        if request.method == "HEAD" and isinstance(response, HttpResponse):
            response.content = b""  # its length, set within, stays (RFC 9110, section 9.3.2)
        if not path.startswith(STATIC):
            response.headers.setdefault("Content-Security-Policy", DOCS_POLICY if path in DOCS else ADMIN_POLICY)
        return response


class AdminOnly:
    """Skips a Django middleware outside the admin: nothing else has cookies."""

    get_response: Any  # as in Django's own middleware, which this is mixed into

    def __call__(self, request: HttpRequest) -> Any:
        if request.path_info.startswith(ADMIN):
            return super().__call__(request)  # type: ignore[misc]  # object has none; the middleware has
        return self.get_response(request)


class AdminSessionMiddleware(AdminOnly, SessionMiddleware):
    """Sessions for operators. A malformed session cookie is no cookie; a query string with a null character, which
    PostgreSQL does not store, is refused."""

    def __call__(self, request: HttpRequest) -> Any:
        if request.path_info.startswith(ADMIN):
            if "%00" in request.META.get("QUERY_STRING", ""):
                raise SuspiciousOperation("null character")
            drop_escaped_cookies(request)
            if not SESSION_KEY.fullmatch(request.COOKIES.get(settings.SESSION_COOKIE_NAME, "")):
                request.COOKIES.pop(settings.SESSION_COOKIE_NAME, None)
        return super().__call__(request)


def drop_escaped_cookies(request: HttpRequest) -> None:
    """Remove the cookies that hold a backslash. None of ours does, it is the way to send a null character, and Python
    up to 3.11.9 needs time that is quadratic in their number (CVE-2024-7592)."""
    header = request.META.get("HTTP_COOKIE", "")
    if "\\" in header:
        request.META["HTTP_COOKIE"] = ";".join(part for part in header.split(";") if "\\" not in part)


class AdminBodyMiddleware:
    """Bounds what is read of a form: nothing larger than DATA_UPLOAD_MAX_MEMORY_SIZE, and for a caller who is not
    logged in no more than a login needs. Stands after authentication, and before CSRF protection reads the form."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if request.path_info.startswith(ADMIN) and request.META.get("CONTENT_LENGTH"):
            check_form(request)
        return self.get_response(request)


def check_form(request: HttpRequest) -> None:
    """Raise RequestDataTooBig or TooManyFieldsSent for a form beyond its client's bounds."""
    length = int(request.META["CONTENT_LENGTH"])
    if length > settings.DATA_UPLOAD_MAX_MEMORY_SIZE:
        raise RequestDataTooBig
    is_anonymous = not request.user.is_authenticated
    most = ANONYMOUS_FIELDS if is_anonymous else settings.DATA_UPLOAD_MAX_NUMBER_FIELDS
    separator = b"&"
    if request.content_type == "multipart/form-data":
        # Django's parser works through each part, also through one without a head, which it does not count.
        separator, most = f"--{(request.content_params or {}).get('boundary', '')}".encode(), most + 1
    if request.body.count(separator) > most:
        raise TooManyFieldsSent
    if is_anonymous and length > ANONYMOUS_FORM:
        raise RequestDataTooBig


class AdminCsrfViewMiddleware(AdminOnly, CsrfViewMiddleware):
    """CSRF protection where a cookie is a credential."""

    def process_view(
        self, request: HttpRequest, callback: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> HttpResponseForbidden | None:
        if request.path_info.startswith(ADMIN):
            return super().process_view(request, callback, args, kwargs)
        return None


class AdminAuthenticationMiddleware(AdminOnly, AuthenticationMiddleware):
    """``request.user`` from the operator's session."""


class AdminMessageMiddleware(AdminOnly, MessageMiddleware):
    """Messages shown once, after an action."""
