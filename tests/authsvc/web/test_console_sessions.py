"""The operator's session: its cookie stands nowhere in the database, and odd cookies are nobody's."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.conf import settings as django_settings
from django.contrib.sessions.backends.base import UpdateError
from django.contrib.sessions.models import Session
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.utils import timezone

from authsvc.web.console_sessions import STORED_LENGTH, SessionStore, stored
from tests.conftest import Api
from tests.factories import PASSWORD, UserFactory

pytestmark = pytest.mark.django_db
COOKIE = django_settings.SESSION_COOKIE_NAME


@pytest.fixture
def console(db: None) -> Client:
    """A browser in which an operator has logged in by the form."""
    UserFactory(username="root", is_staff=True, is_superuser=True)
    client = Client(raise_request_exception=False)
    assert client.post("/admin/login/", {"username": "root", "password": PASSWORD}).status_code == 302
    return client


def cookie(client: Client) -> str:
    return str(client.cookies[COOKIE].value)


def with_cookie(value: str) -> Client:
    client = Client(raise_request_exception=False)
    client.cookies[COOKIE] = value
    return client


def test_the_cookie_stands_nowhere_in_the_database(console: Client) -> None:
    found = []
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")
            found += cursor.fetchall()
    assert (cookie(console) in str(found), console.get("/admin/").status_code) == (False, 200)


def test_what_stands_in_the_database_is_no_cookie(console: Client) -> None:
    (row,) = Session.objects.all()
    assert (row.session_key, len(row.session_key)) == (stored(cookie(console)), STORED_LENGTH)
    assert with_cookie(row.session_key).get("/admin/").status_code == 302
    assert with_cookie(cookie(console)).get("/admin/").status_code == 200


def test_a_session_from_before_the_upgrade_has_ended(console: Client) -> None:
    (row,) = Session.objects.all()
    Session.objects.filter(pk=row.pk).update(session_key=cookie(console))
    assert console.get("/admin/").status_code == 302


@pytest.mark.parametrize(
    "value", ["\\000abcdefghij", '"\\000abcdefghij"', "a" * 40, "A" * 32, "a" * 3000, "é" * 32, "'", "", "0" * 31]
)
def test_a_cookie_that_is_none_is_nobodys_and_not_looked_up(
    api: Api, value: str, django_assert_num_queries: Any
) -> None:
    with django_assert_num_queries(0):
        response = api.client.generic("GET", "/admin/", headers={"cookie": f"{COOKIE}={value}"})
    assert response.status_code == 302


def test_a_login_gets_a_new_key_and_a_logout_ends_the_session(console: Client) -> None:
    first = cookie(console)
    console.post("/admin/logout/")
    assert (with_cookie(first).get("/admin/").status_code, Session.objects.count()) == (302, 0)
    visitor = with_cookie(first)
    visitor.post("/admin/login/", {"username": "root", "password": PASSWORD})
    assert (cookie(visitor) != first, visitor.get("/admin/").status_code) == (True, 200)


def test_expired_sessions_are_cleared(console: Client) -> None:
    Session.objects.update(expire_date=timezone.now() - timedelta(seconds=1))
    assert console.get("/admin/").status_code == 302
    call_command("clear_expired", "--quiet")
    assert Session.objects.count() == 0


def test_a_page_of_a_failure_under_debug_shows_no_session(console: Client, settings: Any) -> None:
    settings.DEBUG = True
    response = console.get("/admin/?e=1", headers={"host": "elsewhere.example"})
    assert response.status_code == 400
    assert cookie(console) not in response.content.decode()


def test_a_value_is_taken_once_whatever_is_saved_later(console: Client) -> None:
    session = SessionStore(cookie(console))
    session["shown"] = "value"
    session.save()
    first, second = SessionStore(cookie(console)), SessionStore(cookie(console))
    assert "shown" in second
    assert (first.take("shown"), second.take("shown"), second.take("never")) == ("value", None, None)
    second["other"] = 1
    second.save()
    assert "shown" not in SessionStore(cookie(console))
    assert SessionStore("x").take("shown") is None


def test_a_store_without_a_session_deletes_nothing(console: Client) -> None:
    SessionStore().delete()
    assert Session.objects.count() == 1


def test_nothing_is_saved_asynchronously() -> None:
    with pytest.raises(UpdateError):
        async_to_sync(SessionStore().asave)()
