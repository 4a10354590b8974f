"""What the pages of the operator's console share."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date
from functools import cached_property
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin, messages
from django.contrib.admin.exceptions import DisallowedModelAdminLookup
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.utils import get_fields_from_path
from django.contrib.admin.views.main import ERROR_FLAG, ORDER_VAR, PAGE_VAR, SEARCH_VAR
from django.core.exceptions import PermissionDenied, ValidationError
from django.core.paginator import Paginator
from django.db import DataError, models
from django.db.models.fields.related import RelatedField
from django.forms import ModelMultipleChoiceField
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.urls import reverse
from unfold.admin import ModelAdmin

from authsvc.ids import parse_id

MAX_SEARCH = 200  # characters that a search keeps
MAX_PASTED = 4096  # characters of a pasted text that are looked at: a whole curl line
# What API keys, tokens and links consist of. Names, addresses and UUIDs have no such runs, or are known.
OPAQUE = re.compile(r"[0-9A-Za-z_-]{30,}", re.ASCII)
UUID = re.compile(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}", re.ASCII)
CANDIDATE = re.compile(r"[0-9A-Za-z_.-]{30,}", re.ASCII)
HUGE = re.compile(r"\d{19}")
MAX_CANDIDATES = 10
MAX_SHOWN = 100  # characters of a wrong value that an error repeats
MAX_PARAMETERS = 50  # values in the address of a list
LOOKUPS = frozenset(("exact", "in", "isnull", "gte", "lt", "year", "month", "day"))  # of filters and date hierarchies
UNKNOWN = "No API key and no session has this credential. It was not kept."
SCRUBBED = "A credential does not belong in an address: paste it into the search box. This one may be in logs by now."

# Apps add functions that return the row that a credential belongs to, or None.
credential_finders: list[Callable[[str], models.Model | None]] = []


class HttpResponseSeeOther(HttpResponseRedirect):
    """303: what follows a POST is a GET (RFC 9110, section 15.4.4)."""

    status_code = 303


def looks_secret(text: str) -> bool:
    """Return whether a text has anything in it that looks like a credential."""
    return any(not UUID.fullmatch(run) for run in OPAQUE.findall(text[:MAX_PASTED])) or len(text) > MAX_PASTED


def find_credential(text: str) -> models.Model | None:
    """Return the row that a credential somewhere in a pasted text belongs to, or None."""
    for candidate in CANDIDATE.findall(text[:MAX_PASTED])[:MAX_CANDIDATES]:
        for find in credential_finders:
            if (row := find(candidate.strip(".-"))) is not None:
                return row
    return None


class RowsField(ModelMultipleChoiceField):
    """Rows, chosen by their ids. What is not an id is an error, and not a failure of the database's driver."""

    def clean(self, value: Any) -> Any:
        self.validate_ids(value)
        return super().clean(value)

    def to_python(self, value: Any) -> Any:
        self.validate_ids(value)
        return super().to_python(value)

    def validate_ids(self, value: list[str]) -> None:
        """Raise ValidationError for a list with a value that cannot be the id of a row."""
        for pk in value:
            if parse_id(pk) is None:
                raise ValidationError(
                    self.error_messages["invalid_pk_value"], code="invalid_pk_value", params={"pk": pk[:MAX_SHOWN]}
                )


class ConsoleAdmin(ModelAdmin):
    """A list with a search that keeps credentials out of addresses, and answers for whatever a request asks."""

    def get_search_results(self, request: HttpRequest, queryset: Any, search_term: str) -> tuple[Any, bool]:
        found: tuple[Any, bool] = super().get_search_results(request, queryset, " ".join(search_words(search_term)))
        return found

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        """The list. A search is posted; what is no credential becomes an address, so that pages and filters work."""
        if not self.has_view_or_change_permission(request):
            raise PermissionDenied
        if request.method == "POST" and SEARCH_VAR in request.POST:
            return self.search(request, request.POST[SEARCH_VAR].strip())
        if sum(len(values) for _, values in request.GET.lists()) > MAX_PARAMETERS:
            raise DisallowedModelAdminLookup(f"A list has at most {MAX_PARAMETERS} parameters")
        if self.is_secret(request, request.GET.get(SEARCH_VAR, "")):
            messages.warning(request, SCRUBBED)
            return self.to_list(request, request.GET)
        if not self.has_valid_dates(request.GET) or has_huge_number(request.GET):
            return HttpResponseRedirect(f"{request.path}?{ERROR_FLAG}=1")
        if ORDER_VAR in request.GET:
            parameters = request.GET.copy()
            parameters[ORDER_VAR] = self.shorten_order(request, request.GET[ORDER_VAR])
            request.GET = parameters  # type: ignore[assignment]  # a copy that can be written to
        return super().changelist_view(request, extra_context)

    def shorten_order(self, request: HttpRequest, order: str) -> str:
        """Return an order by no more columns than the list has."""
        columns = len(self.get_list_display(request))
        return ".".join(order.split(".", columns)[:columns])

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        """Return whether a parameter filters by the primary key, the date hierarchy, or something in list_filter.

        Anything else would read columns that no page shows, or run a client's pattern.
        """
        name, _, operator = lookup.rpartition("__")
        fields, parameters = self.filterable(request)
        return lookup in fields | parameters or (name in fields and operator in LOOKUPS)

    def filterable(self, request: HttpRequest) -> tuple[set[str], set[str]]:
        """Return the paths of the fields that this list can be filtered by, and the other parameters of its filters."""
        filters = self.get_list_filter(request)
        fields = {"pk", self.opts.pk.name, *(item for item in filters if isinstance(item, str))}
        if self.date_hierarchy:
            fields.add(self.date_hierarchy)
        for path in list(fields - {"pk"}):
            field = get_fields_from_path(self.model, path)[-1]
            if isinstance(field, RelatedField):
                fields.add(f"{path}__{field.target_field.name}")
        return fields, {item.parameter_name for item in filters if not isinstance(item, str)}

    def to_field_allowed(self, request: HttpRequest, to_field: str) -> bool:
        """Return whether ``_to_field`` names the primary key: no page refers to a row by anything else."""
        return bool(to_field == self.opts.pk.name)

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        """Return the row of an address, or None; an empty ``_to_field`` is none."""
        return super().get_object(request, object_id, from_field or None)

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        return super().formfield_for_manytomany(db_field, request, form_class=RowsField, **kwargs)

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        """Return the list as asked for. Raises IncorrectLookupParameters, which leads back to the whole list, for
        values that a filter takes and the database or the calendar does not."""
        try:
            return super().get_changelist_instance(request)
        except (OverflowError, ValueError, DataError) as error:
            raise IncorrectLookupParameters(error) from error

    def search(self, request: HttpRequest, text: str) -> HttpResponse:
        """Answer a posted search: lead to what a credential belongs to, or to the list of what was found."""
        if not self.is_secret(request, text):
            return self.to_list(request, request.POST, self.shorten(text)[:MAX_SEARCH])
        row = find_credential(text)
        page = None if row is None else page_for(request, row)
        if page is None:
            messages.warning(request, UNKNOWN)
            return self.to_list(request, request.POST)
        return HttpResponseSeeOther(page)

    def is_secret(self, request: HttpRequest, text: str) -> bool:
        """Return whether a text looks like a credential and is nothing that is known here."""
        return looks_secret(text) and not (len(text) <= MAX_SEARCH and self.is_known(request, text))

    def is_known(self, request: HttpRequest, text: str) -> bool:
        """Return whether a text that looks like a credential is the name of something on this list."""
        return False

    def shorten(self, text: str) -> str:
        """Return a search as it may stand in an address."""
        return text

    def to_list(self, request: HttpRequest, parameters: QueryDict, query: str = "") -> HttpResponse:
        """Return a redirect to the first page of this list, with the filters that it has now."""
        dropped = {SEARCH_VAR, PAGE_VAR, ERROR_FLAG, "csrfmiddlewaretoken"}
        kept = [(name, value) for name, values in parameters.lists() if name not in dropped for value in values]
        found = urlencode([(SEARCH_VAR, query)] * bool(query) + kept)
        return HttpResponseSeeOther(f"{request.path}?{found}" if found else request.path)

    def has_valid_dates(self, parameters: QueryDict) -> bool:
        """Return whether the parameters of the date hierarchy name a year, month or day of the calendar."""
        given = [parameters.get(f"{self.date_hierarchy}__{part}") for part in ("year", "month", "day")]
        try:
            first = date(*(1 if value is None else int(value[:5]) for value in given))
        except ValueError:
            return False
        return first.year < date.max.year  # the hierarchy looks at the first day of the next year

    def response_action(self, request: HttpRequest, queryset: Any) -> HttpResponse | None:
        """Refuse a choice of rows that is none; Django would fail on it."""
        chosen = request.POST.getlist(ACTION_CHECKBOX_NAME)
        if None not in map(parse_id, chosen):
            answer: HttpResponse | None = super().response_action(request, queryset)
            return answer
        self.message_user(request, f"That is no choice of {self.opts.verbose_name_plural}.", messages.ERROR)
        return None


def has_huge_number(parameters: QueryDict) -> bool:
    """Return whether a filter has a number beyond the database's integers."""
    return any(HUGE.search(value) for name, values in parameters.lists() if name != SEARCH_VAR for value in values)


def page_for(request: HttpRequest, row: models.Model) -> str | None:
    """Return the address of the page of a row, or None where the operator may not view it."""
    if not admin.site.get_model_admin(type(row)).has_view_permission(request, row):
        return None
    return reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_change", args=[row.pk])


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


class NewestPaginator(Paginator):
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
