"""The prepared statement below the cursors: transactions, lost connections, poolers."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import psycopg
import pytest
from django.db import OperationalError, ProgrammingError, connection, transaction
from django.db.transaction import TransactionManagementError

from accounts.models import User
from authsvc.database.libpq import Statement
from authsvc.database.postgresql.driver import connect
from authsvc.database.prepared import PreparedQuery, PreparedUpdate
from tests.factories import UserFactory

ECHO = "SELECT %s::bigint, true"


def names() -> PreparedQuery:
    return PreparedQuery(lambda: User.objects.filter(pk=0).order_by().values_list("username"))


def prepared_here(like: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE %s", [like])
        return int(cursor.fetchone()[0])


@pytest.fixture
def raw() -> Iterator[Any]:
    """A connection below Django's that is nobody else's."""
    with connect(connection.get_connection_params()) as opened:
        yield opened


@pytest.mark.usefixtures("committed")
def test_outside_a_transaction_it_begins_none() -> None:
    user = UserFactory(username="carol")
    assert names().fetch(user.pk) == ("carol",)
    assert connection.connection.info.transaction_status.name == "IDLE"


@pytest.mark.usefixtures("committed")
def test_as_the_first_of_a_transaction_it_is_a_part_of_it() -> None:
    user = UserFactory(username="carol")
    with transaction.atomic():
        assert names().fetch(user.pk) == ("carol",)
        assert connection.connection.info.transaction_status.name == "INTRANS"


@pytest.mark.usefixtures("committed")
def test_in_a_transaction_it_reads_what_that_has_written_and_nobody_else_does() -> None:
    user, query = UserFactory(username="carol"), names()
    with transaction.atomic():
        User.objects.filter(pk=user.pk).update(username="dave")
        assert query.fetch(user.pk) == ("dave",)
        transaction.set_rollback(True)
    assert query.fetch(user.pk) == ("carol",)


@pytest.mark.usefixtures("committed")
def test_in_a_transaction_that_has_failed_it_is_refused_as_any_query_is() -> None:
    user, query = UserFactory(), names()
    with transaction.atomic():
        with pytest.raises(ProgrammingError), connection.cursor() as cursor:
            cursor.execute("SELECT nothing")
        connection.needs_rollback = True
        with pytest.raises(TransactionManagementError):
            query.fetch(user.pk)
        connection.needs_rollback = False
        transaction.set_rollback(True)


@pytest.mark.usefixtures("committed")
def test_a_lost_connection_is_an_operational_error_and_marks_it_as_broken() -> None:
    user, query = UserFactory(), names()
    query.fetch(user.pk)
    other = connection.copy()
    with other.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [connection.connection.info.backend_pid])
    other.close()
    with pytest.raises(OperationalError, match="the connection to the database is lost"):
        query.fetch(user.pk)
    assert connection.errors_occurred
    connection.close_if_unusable_or_obsolete()
    assert query.fetch(user.pk) == (user.username,)


@pytest.mark.usefixtures("committed")
def test_an_update_outside_a_transaction_begins_none_and_is_prepared_once() -> None:
    user, touch = UserFactory(), PreparedUpdate("UPDATE accounts_user SET is_staff = %s WHERE id = %s")
    assert [touch.execute(staff, user.pk) for staff in ("true", "false")] == [1, 1]
    assert connection.connection.info.transaction_status.name == "IDLE"
    assert prepared_here("UPDATE accounts_user SET is_staff = $1 WHERE id = $2") == 1


@pytest.mark.django_db
def test_an_update_on_a_lost_connection_is_an_error_of_it(raw: Any) -> None:
    raw.execute("CREATE TEMPORARY TABLE people (id bigint, name text)")
    statement = Statement(raw, "UPDATE people SET name = %s WHERE id = %s")
    assert statement.change(["carol", 1]) == 0
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [raw.info.backend_pid])
    with pytest.raises(psycopg.OperationalError, match="the connection to the database is lost"):
        statement.change(["carol", 1])


def test_of_an_update_all_rows_are_counted_and_null_is_none(raw: Any) -> None:
    raw.execute("CREATE TEMPORARY TABLE people (id bigint, name text, at timestamptz)")
    raw.execute("INSERT INTO people SELECT n, 'somebody' FROM generate_series(1, 3) AS n")
    statement = Statement(raw, "UPDATE people SET name = %s, at = %s WHERE id > %s")
    moment = datetime(2026, 3, 1, 12, 30, 0, 5, tzinfo=timezone(timedelta(hours=5)))
    assert [statement.change([None, moment, number]) for number in (1, 2, 3)] == [2, 1, 0]
    assert raw.execute("SELECT name, at FROM people ORDER BY id").fetchall()[1:] == [(None, moment)] * 2


def test_a_value_beyond_the_columns_type_is_an_error_of_the_data_and_the_statement_lives_on(raw: Any) -> None:
    statement = Statement(raw, ECHO)
    assert statement.fetch(2**63 - 1) == (2**63 - 1, True)
    with pytest.raises(psycopg.DataError):
        statement.fetch(2**63)
    assert statement.fetch(7) == (7, True)


def test_a_query_that_is_none_fails_when_it_is_prepared(raw: Any) -> None:
    with pytest.raises(psycopg.errors.SyntaxError):
        Statement(raw, "SELECT FROM WHERE %s").fetch(1)


def test_a_rollback_which_makes_psycopg_forget_all_that_is_prepared_is_not_felt(raw: Any) -> None:
    statement = Statement(raw, ECHO)
    assert statement.fetch(1) == (1, True)
    raw.execute("DEALLOCATE ALL")
    assert [statement.fetch(number) for number in (2, 3)] == [(2, True), (3, True)]
    raw.execute("SELECT 1", prepare=True)
    with raw.transaction(force_rollback=True):
        raw.execute("SELECT 1")
    assert statement.fetch(4) == (4, True)


def test_a_migration_beside_traffic_that_changes_a_columns_type_is_not_felt(raw: Any) -> None:
    raw.execute("CREATE TEMPORARY TABLE people (id bigint, name varchar(5))")
    raw.execute("INSERT INTO people VALUES (1, 'carol')")
    statement = Statement(raw, "SELECT name FROM people WHERE id = %s")
    assert statement.fetch(1) == ("carol",)
    for change in ("ALTER TABLE people ALTER name TYPE text", "UPDATE people SET name = 'caroline'"):
        raw.pgconn.exec_(change.encode())  # as another program does it: psycopg would forget what is prepared
    assert [statement.fetch(1) for _ in range(2)] == [("caroline",)] * 2


@pytest.mark.usefixtures("committed")
def test_each_connection_prepares_it_once() -> None:
    user, query = UserFactory(), names()
    assert [query.fetch(user.pk) for _ in range(3)] == [(user.username,)] * 3
    before = connection.connection
    connection.close()
    assert query.fetch(user.pk) == (user.username,)
    assert connection.connection is not before
    assert prepared_here('SELECT "accounts_user"."username"%$1') == 1


@pytest.mark.usefixtures("committed")
def test_behind_a_pooler_nothing_is_prepared_and_the_answer_is_the_same() -> None:
    user, query = UserFactory(), names()
    before = prepared_here("%")
    connection.connection.prepare_threshold = None
    try:
        assert [query.fetch(user.pk) for _ in range(3)] == [(user.username,)] * 3
        assert query.fetch(0) is None
        assert prepared_here("%") == before
    finally:
        connection.close()


@pytest.mark.usefixtures("committed")
def test_behind_a_pooler_an_update_is_not_prepared_and_writes_the_same() -> None:
    user, touch = UserFactory(), PreparedUpdate("UPDATE accounts_user SET last_login = %s WHERE id = %s")
    before, moment = prepared_here("%"), user.created_at
    connection.connection.prepare_threshold = None
    try:
        assert [touch.execute(moment, pk) for pk in (user.pk, user.pk, 0)] == [1, 1, 0]
        assert prepared_here("%") == before
    finally:
        connection.close()
    assert User.objects.get().last_login == moment
