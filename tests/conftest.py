"""What all tests share: an API client that sees answers as a caller does, and a cast of users."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib import import_module
from math import inf
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.signals import user_logged_in
from django.core.signals import request_finished
from django.db import transaction
from django.db.backends.base.operations import BaseDatabaseOperations
from django.db.models.signals import post_migrate
from django.test import Client
from django.test.utils import setup_databases, teardown_databases

from accounts.models import User
from accounts.services.login import record_console_login
from apikeys import usage
from audit import services as audit
from authsvc import problems, ratelimit
from authsvc.database.deadlines import budget
from authsvc.database.postgresql.session import Serving
from authsvc.mail import _outbox
from tests.factories import UserFactory, token_of

# How long a connection waits for another's lock.
IMPATIENCE = {"sqlite": "PRAGMA busy_timeout = 50", "postgresql": "SET lock_timeout = '50ms'"}
BAD_CREDENTIAL = {
    "type": "about:blank",
    "title": "Unauthorized",
    "status": 401,
    "detail": "The credential is not valid.",
}
NO_CREDENTIAL = {**BAD_CREDENTIAL, "detail": "This resource needs a credential, and none was sent that it accepts."}
NOT_FOUND = {
    "type": "about:blank",
    "title": "Not Found",
    "status": 404,
    "detail": "The resource does not exist, or it is not yours.",
}


def flush_as_the_owner(self: Any, sql_list: list[str]) -> None:
    """Empty the tables after a test that committed; the record is append-only for all but the owner of its triggers."""
    with transaction.atomic(using=self.connection.alias), self.connection.cursor() as cursor:
        off, on = guards(cursor)
        for sql in (*off, *sql_list, *on):
            cursor.execute(sql)


def guards(cursor: Any) -> tuple[list[str], list[str]]:
    """Return the statements that take the triggers of the record away, and those that put them back."""
    if cursor.db.vendor == "postgresql":
        table = "ALTER TABLE audit_auditevent"
        return [f"{table} DISABLE TRIGGER USER"], [f"{table} ENABLE TRIGGER USER"]
    cursor.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'audit_auditevent'")
    names, made = zip(*cursor.fetchall(), strict=True)
    return [f"DROP TRIGGER {name}" for name in names], list(made)


def seed(**signal: Any) -> None:
    """Put back what the migrations brought, after a flush has taken it."""
    import_module("accounts.migrations.0002_roles_and_scopes").add(apps, None)


def force_login(self: Client, *arguments: Any, **options: Any) -> None:
    """Django's own, without the event of a login: this is the tests' door and nobody's login."""
    user_logged_in.disconnect(record_console_login)
    try:
        DJANGOS_FORCE_LOGIN(self, *arguments, **options)
    finally:
        user_logged_in.connect(record_console_login)


def end_budget(**signal: Any) -> None:
    """Let a test wait as long as it likes after a request that it made in its own thread."""
    budget.left = inf


DJANGOS_FORCE_LOGIN = Client.force_login
Client.force_login = force_login  # type: ignore[method-assign]
BaseDatabaseOperations.execute_sql_flush = flush_as_the_owner
request_finished.connect(end_budget)
post_migrate.connect(seed, sender=apps.get_app_config("accounts"))


class Api:
    """Calls the API in this process: ``api.post("/keys", {"name": "x"}, token=…)``; a 500 is an answer, not a raise."""

    def __init__(self) -> None:
        self.client = Client(raise_request_exception=False)

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        token: str | None = None,
        key: str | None = None,
        headers: dict[str, str] | None = None,
        content_type: str = "application/json",
    ) -> Any:
        sent = dict(headers or {})
        if token is not None:
            sent["Authorization"] = f"Bearer {token}"
        if key is not None:
            sent["X-API-Key"] = key
        data = body if isinstance(body, bytes | str) else b"" if body is None else json.dumps(body)
        return self.client.generic(method, path, data, content_type, headers=sent)

    def get(self, path: str, **options: Any) -> Any:
        return self.call("GET", path, **options)

    def post(self, path: str, body: Any = None, **options: Any) -> Any:
        return self.call("POST", path, body, **options)

    def patch(self, path: str, body: Any = None, **options: Any) -> Any:
        return self.call("PATCH", path, body, **options)

    def delete(self, path: str, **options: Any) -> Any:
        return self.call("DELETE", path, **options)


def errors_of(response: Any) -> list[tuple[str, str]]:
    """Return (field, code) of each error of a 400, after checking the rest of its body."""
    body = response.json()
    assert response.status_code == 400, body
    assert response["Content-Type"] == "application/problem+json"
    assert (body["type"], body["title"], body["status"]) == ("about:blank", "Bad Request", 400)
    assert body["detail"] == "The request has fields that are not valid."
    assert all(error["message"] for error in body["errors"])
    return [(error["field"], error["code"]) for error in body["errors"]]


@pytest.fixture(scope="session")
def django_db_setup(
    django_test_environment: None, django_db_modify_db_settings: None, django_db_blocker: Any
) -> Iterator[None]:
    """The test database, whichever tests run.

    pytest-django's own makes none for tests that come to it by ``committed`` alone: they would meet DATABASE_URL's, and
    delete its users.
    """
    with django_db_blocker.unblock():
        made = setup_databases(verbosity=0, interactive=False, serialized_aliases=set())
    yield
    with django_db_blocker.unblock():
        teardown_databases(made, verbosity=0)


@pytest.fixture(autouse=True)
def fresh_process() -> Iterator[None]:
    """Forget what a process remembers between requests: counts of limits and uses, throttled events.

    What a test has mailed has left before the next one begins, which would find it among its own mails.
    """
    ratelimit._storage.cache_clear()
    ratelimit.state.__init__()  # type: ignore[misc]
    usage.counts.__init__()  # type: ignore[misc]
    budget.left = inf
    Serving.active = False  # a test may have sent the signal of a process that serves
    audit.written.items.clear()
    problems.refused_hosts.clear()
    yield
    _outbox.submit(lambda: None).result(60)


@pytest.fixture
def api() -> Api:
    return Api()


@pytest.fixture
def alice(db: None) -> User:
    """A user with keys to make."""
    return UserFactory(username="Alice", email="alice@example.com")


@pytest.fixture
def bob(db: None) -> User:
    """Another user, who has no business with Alice's keys."""
    return UserFactory(username="bob", email="bob@example.com")


@pytest.fixture
def alices_token(alice: User) -> str:
    return token_of(alice)


@pytest.fixture
def bobs_token(bob: User) -> str:
    return token_of(bob)
