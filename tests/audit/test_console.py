"""The record in the console: to look at and to search, by whoever may, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse

from audit.models import AuditEvent
from tests.audit.conftest import add, events
from tests.conftest import Api
from tests.factories import UserFactory

pytestmark = pytest.mark.django_db
LIST = "/admin/audit/auditevent/"


@pytest.fixture
def console(api: Api) -> Client:
    """A browser in which an operator who may do everything is logged in."""
    api.client.force_login(UserFactory(username="root", is_staff=True, is_superuser=True))
    return api.client


def found(console: Client, query: str) -> list[str]:
    """Return the subjects that the list shows for a query string."""
    response = console.get(f"{LIST}?{query}")
    assert response.status_code == 200, response.content
    return [event.subject_name for event in response.context["cl"].result_list]


def test_the_list_shows_the_newest_first(console: Client) -> None:
    for name in ("first", "second", "third"):
        add(name)
    assert found(console, "") == ["third", "second", "first"]
    assert "Add audit event" not in console.get(LIST).content.decode()


@pytest.mark.parametrize(
    ("query", "names"),
    [
        pytest.param("q=nightly", ["nightly export"], id="subject"),
        pytest.param("q=mallory", ["strange"], id="actor"),
        pytest.param("q=192.0.2", ["from afar"], id="address"),
        pytest.param("q=request-7", ["asked"], id="request id"),
        pytest.param("q=4242", ["numbered"], id="subject id"),
        pytest.param("q=424", [], id="a part of a subject id"),
        pytest.param("q=%27%20OR%201=1--", [], id="SQL"),
        pytest.param("q=%25", [], id="a wildcard"),
        pytest.param("event__exact=user%3Achanged&subject_type__exact=apikey", ["numbered"], id="filters"),
    ],
)
def test_the_search_finds_what_is_asked_for(console: Client, query: str, names: list[str]) -> None:
    add("nightly export")
    add("strange", actor_name="mallory")
    add("from afar", address="192.0.2.9")
    add("asked", request_id="request-7")
    add("numbered", subject_id=4242, subject_type="apikey")
    assert found(console, query) == names
    assert AuditEvent.objects.count() == 5


@pytest.mark.parametrize(
    "query",
    [
        "q=%00", "event__exact=%00", "subject_type__exact=%00", "subject_type__exact=x&subject_type__exact=y",
        "at__year=99999", "at__year=0", "at__year=junk", "at__month=13&at__year=2026", "p=junk", "p=99999", "o=99.-1",
        "all=", "nonsense=1", "id__exact=junk", "q=" + "x" * 3000, "q=" + "9" * 400,
    ],
)  # fmt: skip
def test_no_query_string_breaks_the_list(console: Client, query: str) -> None:
    add("one")
    response = console.get(f"{LIST}?{query}", follow=True)
    assert response.status_code in {200, 400}
    assert AuditEvent.objects.count() == 1


def test_an_event_is_shown_as_text_whatever_a_client_calls_itself(console: Client) -> None:
    event = add("<script>alert(1)</script>", user_agent="<img src=x onerror=alert(1)>", once="not shown")
    pages = [console.get(f"{LIST}{event.pk}/change/"), console.get(LIST)]
    assert [page.status_code for page in pages] == [200, 200]
    text = "".join(page.content.decode() for page in pages)
    assert "<script>alert(1)" not in text
    assert "<img src=x" not in text
    assert "not shown" not in text


def test_nobody_adds_changes_or_deletes_in_the_console(console: Client) -> None:
    event = add("one")
    action = {"action": "delete_selected", "_selected_action": [event.pk], "post": "yes"}
    answers = [
        console.get(f"{LIST}add/"),
        console.post(f"{LIST}add/", {"event": "user:changed"}),
        console.post(f"{LIST}{event.pk}/change/", {"reason": "never mind"}),
        console.get(f"{LIST}{event.pk}/delete/"),
        console.post(f"{LIST}{event.pk}/delete/", {"post": "yes"}),
    ]
    assert [answer.status_code for answer in answers] == [403] * 5
    assert console.post(LIST, action).status_code in {200, 302, 403}
    assert events() == [("user:changed", "", "one", "")]


@pytest.mark.parametrize(("permissions", "status"), [([], 403), (["view_auditevent"], 200)])
def test_staff_need_the_permission_to_look(api: Api, permissions: list[str], status: int) -> None:
    clerk = UserFactory(is_staff=True)
    clerk.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    api.client.force_login(clerk)
    assert api.client.get(reverse("admin:audit_auditevent_changelist")).status_code == status
    assert api.client.get(f"{LIST}add/").status_code == 403


def test_the_console_is_closed_to_users_and_to_tokens(api: Api, alice: Any, alices_token: str) -> None:
    assert api.get(LIST, token=alices_token).status_code == 302
    api.client.force_login(alice)
    assert api.client.get(LIST).status_code == 302
