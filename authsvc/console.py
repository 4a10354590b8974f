"""What the pages of the operator's console share."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cached_property, wraps
from typing import Any

from django.contrib import admin, messages
from django.contrib.auth.models import AnonymousUser
from django.core.paginator import Paginator
from django.http import HttpRequest, QueryDict

from authsvc.problems import RateLimited


class ReadOnly:
    """No adding, changing or deleting, whoever asks."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


PAGED = 10_000  # rows
SEARCH_LENGTH, SEARCH_WORDS = 300, 8  # characters and words of a search that are looked for


class NewestPaginator(Paginator):  # type: ignore[type-arg]  # generic for the type checker only
    """Pages through the first PAGED rows of a list, and counts no more: an operator searches, nobody turns so far.

    Counting ten million rows takes the database seconds, at each look at the list.
    """

    @cached_property
    def count(self) -> int:
        """How many rows there are to turn through."""
        rows: Any = self.object_list
        return int(rows[:PAGED].count())


class Large:
    """A list of a table that grows as long as the service runs."""

    paginator: Any = NewestPaginator
    show_full_result_count = False


def search_words(term: str) -> list[str]:
    """Return the words to search for. The work of a search grows with their number, beyond what SQLite takes."""
    return term[:SEARCH_LENGTH].split()[:SEARCH_WORDS]


class Searchable:
    """A list with a search box."""

    def get_search_results(self, request: HttpRequest, queryset: Any, search_term: str) -> tuple[Any, bool]:
        term = " ".join(search_words(search_term))
        found: tuple[Any, bool] = super().get_search_results(request, queryset, term)  # type: ignore[misc]  # Django's
        return found


def limited(view: Callable[[HttpRequest], Any]) -> Callable[[HttpRequest], Any]:
    """Decorate a page with a password in it: after too many failures it is shown again, with 429 and Retry-After."""

    @wraps(view)
    def answer(request: HttpRequest) -> Any:
        try:
            return view(request)
        except RateLimited as error:
            minutes = math.ceil(error.verdict.retry_after / 60)
            messages.error(request, f"Too many failed attempts; try again in {minutes} minutes.")
            request.method, request.POST = "GET", QueryDict()  # the page as it was before
            request.user = AnonymousUser() if view is LOGIN else request.user
            response = view(request)
            response.status_code = error.status_code
            response.headers["Retry-After"] = str(error.verdict.retry_after)
            return response

    return answer


LOGIN = admin.site.login
login = limited(LOGIN)
