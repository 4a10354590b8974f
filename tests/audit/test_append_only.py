"""What is recorded stays as it is, whoever asks the database to change it and in whatever words."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from importlib import import_module

import pytest
from django.apps import apps
from django.db import DatabaseError, connection, transaction
from django.db.models import Model
from django.utils import timezone

from audit.models import AuditEvent, Retention
from tests.audit.conftest import add, events

pytestmark = pytest.mark.django_db
COLUMNS = "event, actor_name, subject_type, subject_name, user_agent, request_id, reason, at"
FORGED = "'user:forged', '', '', '', '', '', '', '2026-01-01'"


@contextmanager
def refused() -> Iterator[None]:
    """Expect the database itself to refuse, and the record to be as before."""
    before = list(AuditEvent.objects.order_by("id").values())
    with pytest.raises(DatabaseError, match="audit events are append-only"), transaction.atomic():
        yield
    assert list(AuditEvent.objects.order_by("id").values()) == before


def run(sql: str) -> None:
    """Execute one statement of raw SQL."""
    with connection.cursor() as cursor:
        cursor.execute(sql)


def save_a_change(event: AuditEvent) -> None:
    event.reason = "never mind"
    event.save(update_fields=["reason"])


@pytest.mark.parametrize(
    "sql",
    [
        pytest.param("UPDATE audit_auditevent SET reason = 'never mind'", id="update"),
        pytest.param("UPDATE audit_auditevent SET reason = reason", id="update to the same"),
        pytest.param("UPDATE audit_auditevent SET id = id + 1000", id="renumber"),
        pytest.param("UPDATE audit_auditevent SET at = '1999-01-01'", id="make old enough to prune"),
        pytest.param("DELETE FROM audit_auditevent", id="delete all"),
        pytest.param("DELETE FROM audit_auditevent WHERE id = (SELECT max(id) FROM audit_auditevent)", id="delete one"),
        pytest.param(
            f"INSERT INTO audit_auditevent (id, {COLUMNS}) SELECT max(id), {FORGED} FROM audit_auditevent WHERE true "
            "ON CONFLICT (id) DO UPDATE SET reason = 'never mind'",
            id="upsert",
        ),
    ],
)
def test_raw_sql_cannot_change_the_record(sql: str) -> None:
    add("one")
    add("two", once="x")
    with refused():
        run(sql)


WORDS = {
    "sqlite": [
        f"REPLACE INTO audit_auditevent (id, {COLUMNS}) SELECT max(id), {FORGED} FROM audit_auditevent",
        f"INSERT OR REPLACE INTO audit_auditevent (id, {COLUMNS}) SELECT max(id), {FORGED} FROM audit_auditevent",
        f"REPLACE INTO audit_auditevent (rowid, {COLUMNS}) SELECT max(id), {FORGED} FROM audit_auditevent",
        "UPDATE OR REPLACE audit_auditevent SET id = (SELECT min(id) FROM audit_auditevent)",
    ],
    "postgresql": [
        "TRUNCATE audit_auditevent",
        "TRUNCATE audit_auditevent RESTART IDENTITY CASCADE",
        "WITH gone AS (DELETE FROM audit_auditevent RETURNING id) SELECT count(*) FROM gone",
        "MERGE INTO audit_auditevent a USING (SELECT 1) s ON true WHEN MATCHED THEN DELETE",
    ],
}


@pytest.mark.parametrize("which", range(4))
def test_the_words_that_only_one_database_knows_cannot_either(which: int) -> None:
    add("one")
    add("two", once="x")
    with refused():
        run(WORDS[connection.vendor][which])


ONCE_AGAIN = {
    "sqlite": f"INSERT OR REPLACE INTO audit_auditevent (once, {COLUMNS}) VALUES ('x', {FORGED})",
    "postgresql": f"INSERT INTO audit_auditevent (once, {COLUMNS}) VALUES ('x', {FORGED}) ON CONFLICT DO NOTHING",
}


def test_what_is_told_once_cannot_be_told_otherwise() -> None:
    add("two", once="x")
    run(ONCE_AGAIN[connection.vendor])
    assert [subject for _, _, subject, _ in events()] == ["two"]


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda event: event.delete(), id="delete"),
        pytest.param(lambda event: event.save(), id="save"),
        pytest.param(save_a_change, id="save with update_fields"),
        pytest.param(lambda event: AuditEvent.objects.update(reason="x"), id="update"),
        pytest.param(lambda event: AuditEvent.objects.all().delete(), id="delete all"),
        pytest.param(lambda event: AuditEvent.objects.bulk_update([event], ["reason"]), id="bulk_update"),
        pytest.param(lambda event: AuditEvent.objects.filter(pk=event.pk)._raw_delete("default"), id="raw delete"),
        pytest.param(
            lambda event: AuditEvent.objects.bulk_create(
                [event], update_conflicts=True, unique_fields=["id"], update_fields=["reason"]
            ),
            id="upsert",
        ),
    ],
)
def test_the_orm_cannot_change_the_record(change: Callable[[Model], object]) -> None:
    event = add("one")
    with refused():
        change(event)


def test_the_refusal_undoes_all_that_its_transaction_did() -> None:
    add("before")
    with refused():
        add("beside the deletion")
        AuditEvent.objects.filter(subject_name="before").delete()
    assert [subject for _, _, subject, _ in events()] == ["before"]


def test_a_permit_lets_go_what_is_older_and_nothing_else() -> None:
    add("old", age=timedelta(days=3)), add("less old", age=timedelta(days=2)), add("young")
    before = timezone.now() - timedelta(days=2, hours=1)
    Retention.objects.create(before=before)
    assert [subject for _, _, subject, _ in events()] == ["less old", "young", ""]
    assert events()[-1] == ("audit:pruned", "database", "", f"1 events from before {before:%Y-%m-%dT%H:%M:%SZ}")
    with refused():
        AuditEvent.objects.filter(subject_name="less old").delete()


def test_a_row_whose_moment_is_the_permits_own_stays() -> None:
    event = add("at the edge", age=timedelta(days=2))
    Retention.objects.create(before=event.at)
    assert AuditEvent.objects.filter(pk=event.pk).exists()
    Retention.objects.create(before=event.at + timedelta(microseconds=1))
    assert [reason.split()[0] for _, _, _, reason in events()] == ["0", "1"]


@pytest.mark.django_db(transaction=True)
def test_the_triggers_come_and_go_with_their_migrations() -> None:
    names = ("audit.migrations.0002_append_only", "audit.migrations.0004_retention_by_trigger")
    guards, retention = (import_module(name) for name in names)
    add("one")
    with connection.schema_editor() as editor:
        retention.release(apps, editor)
    add("old", age=timedelta(days=2))
    # As it was before: a permit stays, and lets go.
    permit = Retention.objects.create(before=timezone.now() - timedelta(days=1))
    assert AuditEvent.objects.filter(subject_name="old").delete()[0] == 1
    permit.delete()
    with connection.schema_editor() as editor:
        guards.release(apps, editor)
    assert AuditEvent.objects.update(reason="changed") == 1
    with connection.schema_editor() as editor:
        guards.hold(apps, editor)
        retention.hold(apps, editor)
    with refused():
        AuditEvent.objects.update(reason="changed again")
    assert Retention.objects.create(before=timezone.now() - timedelta(days=1))
    assert not Retention.objects.exists()
