"""The one query: what the ORM would answer, as plain SQL; and connections that died meanwhile."""

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.db.models import QuerySet

from accounts.models import User
from apikeys import keys
from apikeys.models import Secret
from apikeys.services import issue_key
from authsvc.database import PreparedQuery, build, drop_dead_connections
from tests.authsvc.conftest import ROOT
from tests.conftest import Api
from tests.factories import UserFactory, token_of

Rows = QuerySet[Any, Any]


def by_id() -> Rows:
    return User.objects.filter(pk=0).order_by().values_list("pk", "username", "is_active", "created_at", "last_login")


def by_digest() -> Rows:
    return Secret.objects.filter(digest=b"").order_by().values_list("prefix")


def test_a_prepared_query_answers_what_the_orm_answers(alice: User, bob: User, django_assert_num_queries: Any) -> None:
    prepared = PreparedQuery(by_id)
    expected = [(user.pk, user.username, True, user.created_at, None) for user in (alice, bob)]
    with django_assert_num_queries(2):
        found = [prepared.fetch(user.pk) for user in (alice, bob)]
    assert found == expected
    assert expected[0][3].tzinfo == found[0][3].tzinfo  # type: ignore[index]  # both were found
    key, plaintext = issue_key(owner=User.objects.all().first_with_grants(), name="a key")
    assert PreparedQuery(by_digest).fetch(keys.digest(plaintext)) == (key.prefix,)


@pytest.mark.parametrize(
    "value", [b"", b"nobody", b"' OR '1'='1", b"%s", b"%", b"$1", b"\x00", bytes(32), bytes(100_000)]
)
@pytest.mark.usefixtures("alice")
def test_a_prepared_query_finds_nothing_for_another_value(value: bytes) -> None:
    assert PreparedQuery(by_digest).fetch(value) is None


@pytest.mark.parametrize("value", [0, -1, 2**63 - 1])
@pytest.mark.usefixtures("alice")
def test_a_prepared_query_finds_nothing_for_another_id(value: int) -> None:
    assert PreparedQuery(by_id).fetch(value) is None


def test_a_prepared_query_is_built_once(alice: User) -> None:
    built = []

    def queryset() -> Rows:
        built.append("once")
        return by_id()

    prepared = PreparedQuery(queryset)
    assert built == []
    assert {(prepared.fetch(alice.pk) or ())[1] for _ in range(3)} == {"Alice"}
    assert built == ["once"]


@pytest.mark.parametrize(
    ("queryset", "number"),
    [
        pytest.param(lambda: User.objects.values_list("pk"), 0, id="none"),
        pytest.param(lambda: User.objects.filter(pk=0, username="a").values_list("pk"), 2, id="two"),
    ],
)
def test_a_prepared_query_takes_one_parameter(queryset: Callable[[], Rows], number: int) -> None:
    with pytest.raises(TypeError) as raised:
        PreparedQuery(queryset).fetch(1)
    assert str(raised.value) == f"a prepared query takes one parameter, not {number}"


# What each database knows of statements that a connection has prepared; SQLite's connection keeps its own to itself.
PREPARED = {
    "postgresql": ("SELECT statement FROM pg_prepared_statements", 1),
    "sqlite": ("SELECT sql FROM sqlite_master WHERE type = 'table' AND sql LIKE '%is_staff%$1%'", 0),
}


@pytest.mark.usefixtures("committed")
def test_a_query_is_prepared_by_the_server_and_answers_as_before() -> None:
    alice = UserFactory(username="Alice")
    prepared = PreparedQuery(lambda: User.objects.filter(pk=0).order_by().values_list("is_staff", "username"))
    answers = [prepared.fetch(alice.pk) for _ in range(5)]
    listing, expected = PREPARED[connection.vendor]
    with connection.cursor() as cursor:
        cursor.execute(listing)
        statements = [sql for (sql,) in cursor.fetchall() if sql.startswith('SELECT "accounts_user"."is_staff"')]
    assert answers == [(False, "Alice")] * 5
    assert len(statements) == expected


def terminate() -> None:
    """End this connection's server process, as a restart of PostgreSQL does, and wait until it has ended."""
    other = connection.copy()
    with other.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [connection.connection.info.backend_pid])
    other.close()


def touch() -> None:
    """Write by another connection: SQLite has no server that could hang up, so this is the most that can happen."""
    other = connection.copy()
    with other.cursor() as cursor:
        cursor.execute("UPDATE accounts_user SET is_staff = is_staff")
    other.close()


HANG_UP = {"postgresql": terminate, "sqlite": touch}


@pytest.mark.usefixtures("committed")
def test_a_request_after_the_database_hung_up_is_served_by_a_new_connection(
    api: Api, django_assert_num_queries: Any
) -> None:
    token = token_of(UserFactory())
    before = connection.connection
    HANG_UP[connection.vendor]()
    with django_assert_num_queries(1):
        assert api.get("/auth/me", token=token).status_code == 200
    assert (connection.connection is before) == (connection.vendor == "sqlite")


@pytest.mark.usefixtures("committed")
def test_a_connection_that_lives_is_kept_from_request_to_request(api: Api) -> None:
    token = token_of(UserFactory())
    before = connection.connection
    assert [api.get("/auth/me", token=token).status_code for _ in range(3)] == [200, 200, 200]
    assert connection.connection is before


@pytest.mark.usefixtures("committed")
def test_a_connection_that_is_closed_already_stays_so() -> None:
    connection.close()
    drop_dead_connections()
    assert connection.connection is None


@pytest.mark.usefixtures("db")
def test_a_connection_inside_a_transaction_is_left_alone() -> None:
    before = connection.connection
    drop_dead_connections()
    assert connection.in_atomic_block
    assert connection.connection is before


@pytest.mark.usefixtures("committed")
def test_a_connection_on_which_something_failed_is_looked_at_before_the_next_request(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = token_of(UserFactory())
    usable: list[bool] = []
    monkeypatch.setattr(connection, "is_usable", lambda: usable.append(False) or False)
    connection.errors_occurred = True
    before = connection.connection
    assert api.get("/auth/me", token=token).status_code == 200
    assert (usable, connection.connection is before, connection.errors_occurred) == ([False], False, False)


WATCHING = """
import django
django.setup()
from django.core.signals import request_finished, request_started
print(sorted(found().__name__ for signal in (request_started, request_finished) for _, found, *_ in signal.receivers))
"""


def test_of_djangos_resets_none_is_on_a_requests_path_but_that_of_the_log_of_queries_where_there_is_one() -> None:
    # In a process of its own: Django's test client connects them anew.
    said = {}
    for debug in ("false", "true"):
        environment = {**os.environ, "DEBUG": debug}
        command = [sys.executable, "-c", WATCHING]
        said[debug] = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT, env=environment)
    assert said["false"].stdout.strip() == "['drop_dead_connections']"
    assert said["true"].stdout.strip() == "['drop_dead_connections', 'reset_queries']"


def test_a_row_is_built_as_the_orm_builds_it(alice: User, django_assert_num_queries: Any) -> None:
    names = ("id", "username", "is_active")
    built, loaded = build(User, names, (alice.pk, "Alice", True, "more")), User.objects.only(*names).get()
    assert (built, built.__dict__.keys()) == (loaded, loaded.__dict__.keys())
    assert (built._state.adding, built._state.db) == (loaded._state.adding, loaded._state.db)
    with django_assert_num_queries(1):
        assert built.email == "alice@example.com"
