"""What every request passes: an id, safe response headers, and the admin's own machinery on the admin's paths only."""

import re
import time
import uuid
from collections.abc import Callable
from typing import Any

from corsheaders.middleware import CorsMiddleware
from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.messages.middleware import MessageMiddleware
from django.contrib.sessions.middleware import SessionMiddleware
from django.core.exceptions import SuspiciousOperation
from django.http import HttpRequest, HttpResponse, HttpResponseForbidden
from django.http.response import HttpResponseBase
from django.middleware.common import CommonMiddleware
from django.middleware.csrf import CsrfViewMiddleware
from django.utils.cache import patch_vary_headers

from authsvc.context import CREDENTIAL, RequestContext, current
from authsvc.observation import observe

ADMIN, STATIC = "/admin/", "/static/"
REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")

# The API's answers are data: nothing in them may run, be framed or be kept. The documentation runs its own scripts and
# styles. The admin's theme has inline scripts and Alpine.js, which compiles expressions: hence 'unsafe-eval' there.
SELF = "default-src 'self'; object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
LOOKS = "style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self' data:"
API_POLICY = "default-src 'none'; frame-ancestors 'none'"
DOCS_POLICY = f"{SELF}; {LOOKS}; worker-src 'self' blob:"
ADMIN_POLICY = f"{SELF}; {LOOKS}; script-src 'self' 'unsafe-inline' 'unsafe-eval'"
DOCS = {"/docs", "/redoc"}
PROBES = {"/livez", "/readyz", "/metrics"}

GetResponse = Callable[[HttpRequest], HttpResponseBase]


class RequestIDMiddleware:
    """Gives each request an id, the client's own where it is well formed, and sends it back with the answer.

    The outermost, so that what is told of a request is told of every one, under its id.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        given = request.META.get("HTTP_X_REQUEST_ID", "")
        kept = REQUEST_ID.fullmatch(given) and not CREDENTIAL.search(given)
        request_id = given if kept else uuid.uuid4().hex
        began = time.perf_counter()
        token = current.set(RequestContext(request_id, request.META, request))
        try:
            response = self.get_response(request)
            observe(request, response, began)
        finally:
            current.reset(token)
        response.headers["X-Request-ID"] = request_id
        return response


class ResponseHeadersMiddleware:
    """Adds Content-Security-Policy everywhere, Cache-Control: no-store to what is the API's; no body to HEAD."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response, path = self.get_response(request), request.path_info
        if request.method == "HEAD" and isinstance(response, HttpResponse):
            response.content = b""  # its length, set within, stays (RFC 9110, section 9.3.2)
        if path.startswith(ADMIN):
            response.headers.setdefault("Content-Security-Policy", ADMIN_POLICY)
        elif path in DOCS:
            response.headers.setdefault("Content-Security-Policy", DOCS_POLICY)
        elif not path.startswith(STATIC):
            response.headers.setdefault("Content-Security-Policy", API_POLICY)
            response.headers.setdefault("Cache-Control", "no-store")
        return response


class OriginMiddleware(CorsMiddleware):
    """CORS for requests with an Origin; to others there is nothing to say."""

    def __call__(self, request: HttpRequest) -> Any:
        if "HTTP_ORIGIN" in request.META:
            return super().__call__(request)
        response: Any = self.get_response(request)
        patch_vary_headers(response, ("origin",))  # so that no cache gives this answer to a page elsewhere
        return response


class HostMiddleware(CommonMiddleware):
    """Refuses a Host that is none of ALLOWED_HOSTS, but to probes and scrapes, which ask a process by its address."""

    def process_request(self, request: HttpRequest) -> Any:
        return None if request.path_info in PROBES else super().process_request(request)


class AdminOnly:
    """Skips a Django middleware outside the admin: the API has no cookies, so it need not pay for them."""

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
