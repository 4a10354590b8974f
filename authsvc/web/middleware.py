"""What every request passes: an id for each, and the API's own way to its views."""

import logging
import re
import time
from random import getrandbits
from typing import Any

from corsheaders.middleware import CorsMiddleware
from django.conf import settings
from django.core.exceptions import SuspiciousOperation
from django.core.handlers.exception import response_for_exception
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase, ResponseHeaders
from django.middleware.security import SecurityMiddleware
from django.utils.cache import patch_vary_headers

from authsvc.request.context import CREDENTIAL, RequestContext, current
from authsvc.request.paths import is_page
from authsvc.telemetry.access import observe
from authsvc.web.browser import GetResponse

logger = logging.getLogger(__name__)

REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
ORIGIN = re.compile(r"https?://[A-Za-z0-9._:\[\]-]{1,262}")
PROBES = {"/livez", "/readyz", "/metrics"}
# The API's answers are data: nothing in them may run, be framed or be kept.
API_POLICY = "default-src 'none'; frame-ancestors 'none'"
KNOWN_HOSTS, HOST_LENGTH = 256, 262  # that a process remembers as allowed; the longest name of DNS, and a port


class RequestIDMiddleware:
    """Gives each request an id, the client's own where it is well formed, and sends it back with the answer.

    The outermost, so that what is told of a request is told of every one, under its id.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        given = request.META.get("HTTP_X_REQUEST_ID", "")
        kept = REQUEST_ID.fullmatch(given) and not CREDENTIAL.search(given)
        request_id = given if kept else f"{getrandbits(128):032x}"
        began = time.perf_counter()
        token = current.set(RequestContext(request_id, request.META, request))
        try:
            response = self.get_response(request)
            observe(request, response, began)
        finally:
            current.reset(token)
        response.headers["X-Request-ID"] = request_id
        return response


class ViewsMiddleware:
    """The last middleware: it keeps what calls the views, for ApiMiddleware. Django builds the last one first."""

    views: GetResponse

    def __init__(self, get_response: GetResponse) -> None:
        ViewsMiddleware.views = staticmethod(get_response)
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self.get_response(request)


class ApiMiddleware:
    """Takes the API past the middleware that is for pages, and does for it what is needed of that.

    The redirect to HTTPS, CORS and the Host are Django's and corsheaders' own. The headers that say what a browser
    may do with an answer are added at once: one by one, by four middlewares, they cost a tenth of a request
    (docs/performance.md). It stands before the middleware that it goes past.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response
        self.views = ViewsMiddleware.views
        self.cors, self.security = CorsMiddleware(self.answer), SecurityMiddleware(self.answer)
        self.headers = ResponseHeaders(api_headers())
        self.allowed: dict[str, list[str]] = {}
        self.refused: set[str] = set()  # origins

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if is_page(request.path_info):
            return self.get_response(request)
        response: Any = self.redirect(request) if self.security.redirect else None
        if response is None:
            response = self.answer_origin(request) if "HTTP_ORIGIN" in request.META else self.answer(request)
        if self.security.sts_seconds:
            self.security.process_response(request, response)
        self.add_default_headers(request, response)
        return response  # type: ignore[no-any-return]  # what corsheaders returns has no type

    def redirect(self, request: HttpRequest) -> HttpResponseBase | None:
        """Return the redirect to HTTPS, or None where there is none. It keeps the method (RFC 9110, section 15.4.9)."""
        try:
            response = self.security.process_request(request)
        except SuspiciousOperation as error:
            return response_for_exception(request, error)
        if response is not None and request.method not in ("GET", "HEAD"):
            response.status_code = 308
        return response

    def answer_origin(self, request: HttpRequest) -> HttpResponseBase:
        """Answer a page of another origin, or of this one. An origin that is not allowed is logged once."""
        response: Any = self.cors(request)
        origin = request.META["HTTP_ORIGIN"]
        if "access-control-allow-origin" not in response.headers and origin not in self.refused:
            self.note_refused(origin, own_host=request.META.get("HTTP_HOST", ""))
        return response  # type: ignore[no-any-return]  # what corsheaders returns has no type

    def note_refused(self, origin: str, *, own_host: str) -> None:
        """Log an origin that browsers keep answers from, unless it is this service's own or not an origin at all."""
        is_foreign = ORIGIN.fullmatch(origin) and origin.partition("//")[2] != own_host
        if is_foreign and len(self.refused) < KNOWN_HOSTS:
            self.refused.add(origin)
            logger.warning("browsers keep answers from pages of %s: it is not one of CORS_ORIGINS", origin)

    def answer(self, request: HttpRequest) -> HttpResponseBase:
        """Answer a request for a Host of ours, and probes and scrapes, which ask a process by its address."""
        if request.path_info not in PROBES:
            try:
                self.require_host(request)
            except SuspiciousOperation as error:
                return response_for_exception(request, error)
        return self.views(request)

    def require_host(self, request: HttpRequest) -> None:
        """Raise DisallowedHost for one that is none of ALLOWED_HOSTS. What they allowed is remembered with them."""
        host = request.META.get("HTTP_HOST")
        if host is not None and self.allowed.get(host) is settings.ALLOWED_HOSTS:
            return
        request.get_host()
        if host is not None and len(host) <= HOST_LENGTH:
            if len(self.allowed) >= KNOWN_HOSTS:  # of ".example.com" there is no end
                self.allowed.clear()
            self.allowed[host] = settings.ALLOWED_HOSTS

    def add_default_headers(self, request: HttpRequest, response: HttpResponse) -> None:
        """Add the headers that an answer has not yet; no Content-Type without content, and no body to HEAD."""
        present = response.headers._store
        if "vary" in present:
            patch_vary_headers(response, ("origin",))
        length = {} if response.streaming else {"content-length": ("Content-Length", str(len(response.content)))}
        if not (response.streaming or response.content):
            present.pop("content-type", None)
        # Django's mapping takes one header at a time, and checks anew what was checked when these were made.
        response.headers._store = {**self.headers._store, **length, **present}
        if request.method == "HEAD" and not response.streaming:
            response.content = b""  # its length stays (RFC 9110, section 9.3.2)


def api_headers() -> dict[str, str]:
    """Return the headers that each answer of the API has, unless its view says otherwise."""
    return {
        "Content-Security-Policy": API_POLICY,
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": settings.X_FRAME_OPTIONS,
        "Referrer-Policy": settings.SECURE_REFERRER_POLICY,
        "Cross-Origin-Opener-Policy": settings.SECURE_CROSS_ORIGIN_OPENER_POLICY,
        "Vary": "origin",  # so that no cache gives this answer to a page elsewhere
    }
