"""``manage.py prune_audit``: the one way out of the record, and an event itself, which the database writes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from io import StringIO

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import DatabaseError, transaction
from django.utils import timezone

from audit import services
from audit.models import AuditEvent, Retention
from tests.audit.conftest import add, events

pytestmark = pytest.mark.django_db
NOW = datetime(2024, 3, 1, 12, 0, 0, tzinfo=UTC)


def at(moment: datetime, name: str) -> AuditEvent:
    return AuditEvent.objects.create(event="user:changed", subject_name=name, at=moment)


def names() -> list[str]:
    return [subject for event, _, subject, _ in events() if event != "audit:pruned"]


def test_what_is_older_goes_and_what_is_as_old_or_younger_stays() -> None:
    edge = NOW - timedelta(days=1)  # the leap day
    for name, moment in {
        "older by far": edge - timedelta(days=400),
        "older": edge - timedelta(microseconds=1),
        "as old": edge,
        "younger": edge + timedelta(microseconds=1),
    }.items():
        at(moment, name)
    assert services.prune(older_than=timedelta(days=1), now=NOW) == 2
    assert names() == ["as old", "younger"]


def test_pruning_is_an_event_and_leaves_no_permit_behind() -> None:
    at(NOW - timedelta(days=31), "old")
    services.prune(older_than=timedelta(days=30), now=NOW)
    assert events() == [("audit:pruned", "database", "", "1 events from before 2024-01-31T12:00:00Z")]
    event = AuditEvent.objects.get()
    assert abs(timezone.now() - event.at) < timedelta(minutes=1)
    assert (event.actor_id, event.address, event.request_id, event.once) == (None, None, "-", None)
    assert not Retention.objects.exists()


def test_pruning_twice_is_two_events_and_what_was_pruned_stays_gone() -> None:
    add("old", age=timedelta(days=31))
    assert [services.prune(older_than=timedelta(days=30)) for _ in range(2)] == [1, 0]
    assert [event for event, *_ in events()] == ["audit:pruned"] * 2


def test_a_transaction_that_fails_keeps_every_row() -> None:
    at(NOW - timedelta(days=31), "old")
    with transaction.atomic():
        assert services.prune(older_than=timedelta(days=30), now=NOW) == 1
        transaction.set_rollback(True)
    assert events() == [("user:changed", "", "old", "")]
    assert not Retention.objects.exists()


def test_after_pruning_the_record_is_held_again() -> None:
    at(NOW - timedelta(days=31), "old")
    services.prune(older_than=timedelta(days=30), now=NOW)
    at(NOW - timedelta(days=400), "older still")
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        AuditEvent.objects.all().delete()
    assert names() == ["older still"]


def test_a_year_that_no_calendar_of_the_service_knew_deletes_nothing() -> None:
    add("young")
    assert services.prune(older_than=timedelta(days=36500)) == 0
    assert names() == ["young"]


def test_the_command_deletes_and_says_how_many() -> None:
    add("old", age=timedelta(days=91))
    add("young", age=timedelta(days=89))
    out, err = StringIO(), StringIO()
    call_command("prune_audit", "--older-than", "90", stdout=out, stderr=err)
    assert (out.getvalue(), err.getvalue()) == ("", "Deleted 1 audit events older than 90 days.\n")
    assert names() == ["young"]


@pytest.mark.parametrize(
    ("days", "sentence"),
    [
        pytest.param("0", "--older-than must be from 1 to 36500 days.", id="zero"),
        pytest.param("36501", "--older-than must be from 1 to 36500 days.", id="too many"),
        pytest.param("9" * 18, "--older-than must be from 1 to 36500 days.", id="far too many"),
        pytest.param("9" * 19, "--older-than must be from 1 to 36500 days.", id="no bigint"),
        pytest.param("-1", "--older-than must be from 1 to 36500 days.", id="negative"),
        pytest.param("1.5", "--older-than must be a whole number, not '1.5'.", id="a fraction"),
        pytest.param("", "--older-than must be a whole number, not ''.", id="nothing"),
        pytest.param("all", "--older-than must be a whole number, not 'all'.", id="a word"),
        pytest.param("٩", "--older-than must be a whole number, not '٩'.", id="another script's digit"),
    ],
)
def test_a_wrong_number_of_days_is_one_sentence_and_deletes_nothing(days: str, sentence: str) -> None:
    add("old", age=timedelta(days=9999))
    with pytest.raises(CommandError) as refusal:
        call_command("prune_audit", f"--older-than={days}")
    assert str(refusal.value) == sentence
    assert [event for event, *_ in events()] == ["user:changed"]


def test_without_a_number_of_days_nothing_is_deleted() -> None:
    add("old", age=timedelta(days=9999))
    with pytest.raises(CommandError, match="--older-than"):
        call_command("prune_audit")
    assert names() == ["old"]
