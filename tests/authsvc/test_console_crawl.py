"""Every address of the console under hostile parameters, for the least operator and for a superuser: never a 500."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from django.contrib import admin
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import URLPattern, URLResolver, reverse

from accounts.models import User
from audit.models import AuditEvent
from tests.conftest import Api
from tests.factories import PASSWORD, UserFactory, make_key, make_role, pair_of

pytestmark = pytest.mark.django_db
HUGE = "9" * 30
VALUES = ["abc", "-1", HUGE]
MORE_VALUES = ["", "0", "99999", "1e9", "\ud7ff\U0001f511", "%", "'", "a" * 3000, "1" * 5000]
SEARCHED = ["q", "p", "o", "at__year"]
PARAMETERS = [
    *SEARCHED, "e", "all", "_popup", "_to_field", "_facets", "id__exact", "id__in", "pk__gte", "is_active__exact",
    "groups__id__exact", "expires_within", "owner__is_service__exact", "event__exact", "at__month", "at__gte",
    "at__year__gte", "created_at__year", "ends_at__lt", "expires_at__date", "failures__gt", "address", "metadata__x",
]  # fmt: skip
# What pages that are no lists look at.
OTHERS = ["_popup", "_to_field", "app_label", "model_name", "field_name", "term", "s", "extended", "next", "is_active"]
IDS = ["0", "-1", "abc", HUGE, "9223372036854775808", "a" * 300, "_5F", "%2f", "1/x", "٣"]


def routes(patterns: list[Any], prefix: str = "") -> Iterator[str]:
    """Yield the route of each page of the console."""
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            yield from routes(pattern.url_patterns, f"{prefix}{pattern.pattern}")
        else:
            assert isinstance(pattern, URLPattern)
            yield f"{prefix}{pattern.pattern}"


PAGES = sorted({f"/admin/{route}" for route in routes(admin.site.urls[0]) if "(?P" not in route})
LISTS = [
    reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist") for model in admin.site._registry
]


def least() -> User:
    """Return an operator who may view everything and do nothing."""
    clerk = UserFactory(username="least", is_staff=True)
    clerk.user_permissions.set(Permission.objects.filter(codename__startswith="view_"))
    return clerk


def superuser() -> User:
    return UserFactory(username="root", is_staff=True, is_superuser=True)


@pytest.fixture(params=[least, superuser], ids=["least", "superuser"])
def console(request: Any, api: Api) -> Client:
    """The console, with a row on every list."""
    user = UserFactory(username="dave", email="dave@example.com")
    user.groups.add(make_role("reader", "reports:read"))
    make_key(user)
    pair_of(user)
    api.post("/auth/login", {"username": "dave", "password": f"not {PASSWORD}"})
    client = Client(raise_request_exception=False)
    client.force_login(request.param())
    return client


def filled(page: str, object_id: str = "1") -> str:
    """Return the address of a page of a row."""
    return page.replace("<path:object_id>", object_id).replace("<id>", object_id).replace("<path:content_type_id>", "1")


def is_least(client: Client) -> bool:
    """Return whether it is the least operator's console, whose crawl is a shorter one."""
    return User.objects.filter(username="least").exists()


def broken(client: Client, calls: list[tuple[str, str, Any]]) -> list[tuple[str, str, Any, int]]:
    """Return the calls that the service fails on."""

    def status(method: str, address: str, body: Any) -> int:
        return client.generic(method, address, body or "", "application/x-www-form-urlencoded").status_code

    answered = [(method, address[:200], body, status(method, address, body)) for method, address, body in calls]
    return [answer for answer in answered if answer[3] >= 500]


def test_every_page_is_crawled() -> None:
    assert len(PAGES) > 40
    assert set(LISTS) < set(PAGES)


@pytest.mark.parametrize("page", LISTS)
def test_a_list_answers_for_every_parameter(console: Client, page: str) -> None:
    values = VALUES[-1:] if is_least(console) else VALUES
    calls = [("GET", f"{page}?{name}={quote(value)}", None) for name in PARAMETERS for value in values]
    calls += [("GET", f"{page}?{name}={quote(value)}", None) for name in SEARCHED for value in MORE_VALUES]
    calls = calls[::2] if is_least(console) else calls
    calls += [("GET", f"{page}?at__year=2026&at__month={m}&at__day={d}", None) for m, d in (("2", "30"), ("13", "1"))]
    calls += [("GET", f"{page}?o={order}", None) for order in ("1.2.3", "-99", "1.-1.1", "0.0", f"{HUGE}.1", "..")]
    assert broken(console, calls) == []


@pytest.mark.parametrize("page", [page for page in PAGES if "<" not in page and page not in LISTS])
def test_a_page_answers_for_every_parameter(console: Client, page: str) -> None:
    calls = [("GET", f"{page}?{name}={quote(value)}", None) for name in OTHERS for value in ("abc", HUGE)]
    assert broken(console, calls) == []


@pytest.mark.parametrize("page", [page for page in PAGES if "<" in page])
def test_a_page_of_a_row_answers_for_every_id(console: Client, page: str) -> None:
    known = [
        str(pk)
        for pk in (*User.objects.values_list("pk", flat=True), *AuditEvent.objects.values_list("pk", flat=True)[:3])
    ]
    calls = [(method, filled(page, object_id), "post=yes") for object_id in IDS for method in ("GET", "POST")]
    calls += [("GET", filled(page, object_id), None) for object_id in known]
    calls += [("GET", f"{filled(page, known[0])}?{name}=abc", None) for name in OTHERS]
    assert broken(console, calls) == []


@pytest.mark.parametrize("page", LISTS)
def test_a_list_answers_for_every_choice(console: Client, page: str) -> None:
    actions = ("delete_selected", "end_selected", "lift_selected", "end_sessions", "confirm_addresses", "nonsense")
    bodies = [
        f"action={action}&_selected_action={quote(chosen)}{more}"
        for action in (*actions, "revoke_selected")
        for chosen in ("abc", HUGE, "0")
        for more in ("", "&index=0", "&select_across=1&index=0")
    ]
    bodies += [
        f"action=delete_selected&_selected_action=1&index={HUGE}",
        "_save=1",
        "_save=1&form-TOTAL_FORMS=abc",
        "q=",
        "q=abc&q=def",
        f"q={'a' * 5000}",
        "q=%00",
        "post=yes",
    ]
    assert broken(console, [("POST", page, body) for body in bodies]) == []


@pytest.mark.parametrize("page", LISTS)
@pytest.mark.parametrize("choice", ["abc", HUGE])
def test_a_choice_of_rows_that_is_none_is_said_to_be_none(page: str, choice: str) -> None:
    client = Client(raise_request_exception=False)
    client.force_login(superuser())
    response = client.post(page, {"action": "delete_selected", "_selected_action": choice, "index": 0}, follow=True)
    assert response.status_code == 200


@pytest.mark.parametrize("year", ["0", "99999", "9999", "-1", "abc", "", HUGE])
def test_a_year_that_is_none_leads_back_to_the_list(year: str) -> None:
    client = Client(raise_request_exception=False)
    client.force_login(superuser())
    response = client.get(f"/admin/audit/auditevent/?at__year={year}")
    assert (response.status_code, response["Location"]) == (302, "/admin/audit/auditevent/?e=1")
    assert client.get("/admin/audit/auditevent/?at__year=2026&at__month=11&at__day=25").status_code == 200
