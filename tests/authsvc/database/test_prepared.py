"""The one query: what the ORM would answer, as plain SQL."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.models import QuerySet

from accounts.models import User
from apikeys import keys
from apikeys.models import Secret
from apikeys.services import issue_key
from authsvc.database.prepared import PreparedQuery, PreparedUpdate, build
from tests.factories import UserFactory

Rows = QuerySet[Any, Any]
NOON = datetime(2026, 3, 1, 12, 0, 0, 120, tzinfo=UTC)


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


RENAME = "UPDATE accounts_user SET username = %s, last_login = %s, email = %s WHERE id = %s AND username <> %s"


@pytest.mark.usefixtures("committed")
@pytest.mark.parametrize("moment", [NOON, NOON.replace(microsecond=0), None])
@pytest.mark.parametrize("name", ["Bob", "100 % $1 '\\", "żółć 😀"])
def test_a_prepared_update_writes_what_the_orm_reads(moment: datetime | None, name: str) -> None:
    alice, other, rename = UserFactory(username="alice"), UserFactory(username="other"), PreparedUpdate(RENAME)
    for expected in (1, 0, 0):
        assert rename.execute(name, moment, None, alice.pk, name) == expected
    with transaction.atomic():
        assert [rename.execute(name, moment, None, pk, name) for pk in (alice.pk, 0)] == [0, 0]
    alice.refresh_from_db()
    assert (alice.username, alice.last_login, alice.email) == (name, moment, None)
    assert User.objects.filter(last_login=moment).count() == (1 if moment else 2)
    other.refresh_from_db()
    assert other.username == "other"


@pytest.mark.usefixtures("committed")
def test_a_prepared_update_that_breaks_a_rule_of_the_database_raises_what_django_does_and_may_be_tried_again() -> None:
    alice, _, rename = UserFactory(username="alice"), UserFactory(username="bob"), PreparedUpdate(RENAME)
    with pytest.raises(IntegrityError):
        rename.execute("bob", None, None, alice.pk, "")
    assert rename.execute("carol", None, None, alice.pk, "") == 1


@pytest.mark.usefixtures("committed")
def test_a_prepared_update_in_a_transaction_ends_with_it(django_assert_num_queries: Any) -> None:
    alice, rename = UserFactory(username="alice"), PreparedUpdate(RENAME)
    with transaction.atomic():
        assert rename.execute("bob", None, None, alice.pk, "") == 1
        transaction.set_rollback(True)
    assert User.objects.get().username == "alice"
    connection.close()
    with django_assert_num_queries(1):
        assert rename.execute("bob", None, None, alice.pk, "") == 1
    assert User.objects.get().username == "bob"


def test_a_row_is_built_as_the_orm_builds_it(alice: User, django_assert_num_queries: Any) -> None:
    names = ("id", "username", "is_active")
    built, loaded = build(User, names, (alice.pk, "Alice", True, "more")), User.objects.only(*names).get()
    # What the ORM read is kept for a later save(), which what is built here never meets.
    assert (built, built.__dict__.keys()) == (loaded, loaded.__dict__.keys() - {"loaded"})
    assert (built._state.adding, built._state.db) == (loaded._state.adding, loaded._state.db)
    with django_assert_num_queries(1):
        assert built.email == "alice@example.com"
