"""The table that lets events go: whatever is put there, in whatever words, nothing young goes and nothing untold."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import DatabaseError, connection, transaction
from django.utils import timezone

from audit.models import AuditEvent, Retention
from tests.audit.conftest import add, events
from tests.audit.test_append_only import run

DAY = timedelta(days=1)

pytestmark = pytest.mark.django_db
POSTGRESQL = pytest.mark.skipif("connection.vendor != 'postgresql'", reason="only PostgreSQL knows these words")


def moment(age: timedelta) -> str:
    """Return the moment of an age as both databases read it."""
    return f"{timezone.now() - age:%Y-%m-%d %H:%M:%S.%f}"


def kept() -> list[str]:
    """Return the subjects of the record without what pruning told."""
    return [subject for event, _, subject, _ in events() if event != "audit:pruned"]


def told() -> list[str]:
    """Return what pruning told."""
    return [reason for event, _, _, reason in events() if event == "audit:pruned"]


@pytest.mark.parametrize(
    "before",
    [
        pytest.param("infinity", id="infinity"),
        pytest.param("9999-12-31 23:59:59", id="the end of time"),
        pytest.param("now", id="now"),
        pytest.param("tomorrow", id="tomorrow"),
        pytest.param("2999-01-01T00:00:00Z", id="another form"),
        pytest.param(timedelta(0), id="this moment"),
        pytest.param(timedelta(hours=23, minutes=59, seconds=50), id="seconds less than a day"),
        pytest.param("zzz", id="nonsense"),
        pytest.param("", id="nothing"),
    ],
)
@pytest.mark.parametrize("verb", ["INSERT", "INSERT OR IGNORE", "INSERT OR REPLACE", "REPLACE"])
def test_a_permit_for_what_is_younger_than_a_day_is_refused(verb: str, before: str | timedelta) -> None:
    before = before if isinstance(before, str) else moment(before)
    verb = verb if connection.vendor == "sqlite" else "INSERT"
    add("old", age=timedelta(days=9))
    with pytest.raises(DatabaseError), transaction.atomic():
        run(f"{verb} INTO audit_retention (before) VALUES ('{before}')")
    assert (kept(), told(), Retention.objects.exists()) == (["old"], [], False)


@pytest.mark.parametrize("value", ["NULL", "9e99", "x'ff'", "1"])
def test_what_is_no_moment_lets_nothing_go(value: str) -> None:
    add("old", age=timedelta(days=9))
    try:
        with transaction.atomic():
            run(f"INSERT INTO audit_retention (before) VALUES ({value})")
    except DatabaseError:
        assert told() == []
    assert (kept(), Retention.objects.exists()) == (["old"], False)


@pytest.mark.parametrize("verb", ["INSERT", "INSERT OR IGNORE", "INSERT OR REPLACE", "REPLACE"])
def test_every_permit_is_told_with_its_limit_and_number_and_is_gone(verb: str) -> None:
    verb = verb if connection.vendor == "sqlite" else "INSERT"
    for age in (9, 5, 3):
        add(f"{age} days", age=timedelta(days=age))
    run(f"{verb} INTO audit_retention (before) VALUES ('2020-01-01 00:00:00'), ('{moment(4 * DAY)}')")
    assert kept() == ["3 days"]
    day = moment(4 * DAY)[:10]
    assert [reason[: -len("T00:00:00Z")] for reason in told()] == [
        "0 events from before 2020-01-01",
        f"2 events from before {day}",
    ]
    assert not Retention.objects.exists()
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        run("DELETE FROM audit_auditevent")


def test_an_old_trace_of_a_deletion_goes_no_other_way_than_by_a_deletion_that_leaves_one() -> None:
    add("old", age=timedelta(days=9))
    for _ in range(3):
        run(f"INSERT INTO audit_retention (before) VALUES ('{moment(DAY)}')")
    assert [reason.split()[0] for reason in told()] == ["1", "0", "0"]


@pytest.mark.django_db(transaction=True)
def test_a_permit_that_is_committed_leaves_the_record_held() -> None:
    run(f"INSERT INTO audit_retention (before) VALUES ('{moment(DAY)}')")
    add("old", age=timedelta(days=9))
    with pytest.raises(DatabaseError, match="append-only"):
        run("DELETE FROM audit_auditevent")
    assert (kept(), len(told())) == (["old"], 1)


def test_a_permit_is_not_good_for_the_next_statement_of_its_transaction_either() -> None:
    run(f"INSERT INTO audit_retention (before) VALUES ('{moment(2 * DAY)}')")
    add("old", age=timedelta(days=9))
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        run("DELETE FROM audit_auditevent WHERE subject_name = 'old'")
    assert kept() == ["old"]


def test_a_permit_is_not_changed_into_another() -> None:
    add("young")
    later = "UPDATE {} SET before = '9999-12-31 00:00:00'"
    upsert = "INSERT INTO audit_retention (id, before) VALUES (1, '2020-01-01 00:00:00') ON CONFLICT (id) DO "
    for sql in (later.format("audit_retention"), upsert + later.format("")):
        try:
            with transaction.atomic():
                run(sql)
        except DatabaseError as error:
            assert "a retention permit is not changed" in str(error)  # noqa: PT017  SQLite finds no row to refuse
    assert (kept(), Retention.objects.exists()) == (["young"], False)


WITH_A_PERMIT = "WITH p AS (INSERT INTO audit_retention (before) VALUES ('2024-01-02') RETURNING before)"


@POSTGRESQL
@pytest.mark.parametrize(
    "sql",
    [
        "TRUNCATE audit_auditevent",
        "TRUNCATE audit_retention, audit_auditevent CASCADE",
        f"{WITH_A_PERMIT} DELETE FROM audit_auditevent USING p WHERE at < p.before",
        f"{WITH_A_PERMIT} UPDATE audit_auditevent SET reason = '' FROM p",
        "UPDATE audit_retention SET before = 'infinity'",
    ],
)
def test_the_words_that_only_postgresql_knows_open_nothing(sql: str) -> None:
    AuditEvent.objects.create(event="user:changed", subject_name="old", at=timezone.now() - timedelta(days=9999))
    with pytest.raises(DatabaseError, match=r"append-only|not changed"), transaction.atomic():
        run(sql)
    assert (kept(), told()) == (["old"], [])


@POSTGRESQL
def test_no_permit_is_one_to_truncate() -> None:
    add("old", age=timedelta(days=9))
    run("INSERT INTO audit_retention (before) VALUES ('2020-01-01')")
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        run("TRUNCATE audit_auditevent")
    assert (kept(), told()) == (["old"], ["0 events from before 2020-01-01T00:00:00Z"])


@POSTGRESQL
def test_a_permit_since_ever_lets_nothing_go() -> None:
    add("old", age=timedelta(days=9))
    run("INSERT INTO audit_retention (before) VALUES ('-infinity')")
    assert (kept(), told()) == (["old"], ["0 events from before -infinity"])
