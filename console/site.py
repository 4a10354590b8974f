"""The admin site that operators see."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.contrib.auth.models import AnonymousUser
from django.http import Http404, HttpRequest, QueryDict
from django.http.response import HttpResponseBase
from django.urls import URLPattern, URLResolver, path
from django.views import defaults
from unfold.sites import UnfoldAdminSite

from authsvc.problems import RateLimited

Page = Callable[[HttpRequest], HttpResponseBase]


class Console(UnfoldAdminSite):
    """unfold's admin site. Pages with a password count failed attempts; there is no command palette."""

    def get_urls(self) -> list[URLPattern | URLResolver]:
        # The palette of the theme sends what is typed, or pasted, in an address.
        palette = path("search/", defaults.page_not_found, {"exception": Http404()})
        return [palette, *super().get_urls()]

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        """Log in, or show the page again with 429 after too many failed attempts."""

        def page(request: HttpRequest) -> HttpResponseBase:
            response: HttpResponseBase = super(Console, self).login(request, extra_context)
            return response

        try:
            return page(request)
        except RateLimited as error:
            request.user = AnonymousUser()
            return refused(page, request, error)

    def password_change(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponseBase:
        """Change the operator's own password, or show the page again with 429 after too many failed attempts."""
        from accounts.admin.users import own_password  # noqa: PLC0415  its module registers with this site

        try:
            return own_password(request)
        except RateLimited as error:
            return refused(own_password, request, error)


def refused(page: Page, request: HttpRequest, error: RateLimited) -> HttpResponseBase:
    """Return an empty form with a message, 429 and Retry-After (RFC 6585, section 4)."""
    minutes = math.ceil(error.verdict.retry_after / 60)
    messages.error(request, f"Too many failed attempts; try again in {minutes} minutes.")
    request.method, request.POST = "GET", QueryDict()
    response = page(request)
    response.status_code = error.status_code
    response.headers["Retry-After"] = str(error.verdict.retry_after)
    return response
