"""What people look at in a browser, the console, its files and the documentation, and the middleware that is for it."""

from collections.abc import Callable
from typing import Any

from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.messages.middleware import MessageMiddleware
from django.contrib.sessions.middleware import SessionMiddleware
from django.core.exceptions import SuspiciousOperation
from django.http import HttpRequest, HttpResponse, HttpResponseForbidden
from django.http.response import HttpResponseBase
from django.middleware.csrf import CsrfViewMiddleware

ADMIN, STATIC = "/admin/", "/static/"
DOCS = {"/docs", "/redoc"}
SINGLE = {*DOCS, "/admin"}  # the last is sent on to ADMIN

# The documentation runs its own scripts and styles. The admin's theme has inline scripts and Alpine.js, which compiles
# expressions: hence 'unsafe-eval' there.
SELF = "default-src 'self'; object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
LOOKS = "style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self' data:"
DOCS_POLICY = f"{SELF}; {LOOKS}; worker-src 'self' blob:"
ADMIN_POLICY = f"{SELF}; {LOOKS}; script-src 'self' 'unsafe-inline' 'unsafe-eval'"

GetResponse = Callable[[HttpRequest], HttpResponseBase]


def is_page(path: str) -> bool:
    """Say whether a path is for a browser; every other one is the API's."""
    return path.startswith((ADMIN, STATIC)) or path in SINGLE


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
    """Sessions for operators; a query string with a null character, which PostgreSQL has none of, is refused here."""

    def __call__(self, request: HttpRequest) -> Any:
        if request.path_info.startswith(ADMIN) and "%00" in request.META.get("QUERY_STRING", ""):
            raise SuspiciousOperation("null character")
        return super().__call__(request)


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
