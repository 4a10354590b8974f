"""Each audit event is one JSON line of the log as well, and such lines are read back."""

from __future__ import annotations

import logging
from collections.abc import Callable
from logging.config import DictConfigurator
from pathlib import Path
from typing import Any

import orjson
import pytest
from django.contrib.auth.models import Group
from django.db import transaction
from django.utils import timezone

from accounts.models import User
from apikeys import services as keys
from audit import journal, services
from audit.events import Event
from audit.lost import latest_revocations
from audit.models import AuditEvent
from authsvc.telemetry import logs
from tests.factories import make_key

Captured = Callable[..., Any]


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture, django_capture_on_commit_callbacks: Captured) -> Callable[..., Any]:
    """Return the lines that a call logs once what it does is committed, as the service writes them."""
    configured: Any = logs.config("INFO")["formatters"]["json"]
    formatter = DictConfigurator({}).configure_formatter({**configured})

    def lines(act: Callable[[], Any]) -> list[dict[str, Any]]:
        caplog.clear()
        with caplog.at_level(logging.INFO, logs.AUDIT), django_capture_on_commit_callbacks(execute=True):
            act()
        records = [record for record in caplog.records if record.name == logs.AUDIT]
        for record in records:
            record.request_id = "r1"
        return [orjson.loads(formatter.format(record)) for record in records]

    return lines


def test_a_line_has_what_the_event_has_but_address_and_user_agent(
    logged: Callable[..., Any], alice: User, bob: User
) -> None:
    key = make_key(alice, "deploy")[0]
    (line,) = logged(lambda: keys.revoke_key(key=key, reason="leaked", actor=bob))
    row = AuditEvent.objects.get(event="api_key:revoked")
    assert line == {
        "level": "INFO",
        "logger": "audit",
        "request_id": "r1",
        "message": "audit",
        "event": "api_key:revoked",
        "at": row.at.isoformat(),
        "subject_type": "apikey",
        "subject_id": key.pk,
        "subject_name": "deploy",
        "subject_created_at": key.created_at.isoformat(),
        "actor_id": bob.pk,
        "actor_name": "bob",
        "reason": "leaked",
        "timestamp": line["timestamp"],
    }


def test_a_line_of_text_has_what_a_person_asks(caplog: pytest.LogCaptureFixture, alice: User, bob: User) -> None:
    key = make_key(alice, "ci")[0]
    row = services.build(Event.KEY_REVOKED, actor=bob, subject=key, reason="leaked")
    with caplog.at_level(logging.INFO, logs.AUDIT):
        journal.emit([journal.line(row, key)])
    (line,) = (logs.TextFormatter().format(record) for record in caplog.records)
    assert line[8:] == f" INFO     audit api_key:revoked ci ({key.pk}) by bob: leaked"


def test_many_events_are_as_many_lines(logged: Callable[..., Any], alice: User, bob: User) -> None:
    found = logged(lambda: services.record_all(Event.USER_CHANGED, subjects=[alice, bob], reason="x"))
    assert [(line["subject_name"], line["reason"]) for line in found] == [("Alice", "x"), ("bob", "x")]
    assert [event.subject_name for event in AuditEvent.objects.all()] == ["Alice", "bob"]


def test_what_is_rolled_back_is_not_logged(logged: Callable[..., Any], alice: User) -> None:
    def act() -> None:
        with transaction.atomic():
            services.record(Event.USER_CHANGED, subject=alice)
            transaction.set_rollback(True)

    assert logged(act) == []


def test_a_refusal_is_logged_as_often_as_it_is_recorded(logged: Callable[..., Any], alice: User) -> None:
    def refuse() -> None:
        for _ in range(3):
            services.record_once_a_minute(Event.KEY_REFUSED, subject=alice, reason="expired")

    assert [line["event"] for line in logged(refuse)] == ["api_key:refused"]


@pytest.mark.django_db
def test_a_pruning_is_logged(logged: Callable[..., Any]) -> None:
    (line,) = logged(lambda: services.prune(older_than=timezone.timedelta(days=2)))
    assert (line["event"], line["subject_id"], line["reason"][:20]) == ("audit:pruned", None, "0 events from before")


def test_a_pasted_key_is_in_no_line(logged: Callable[..., Any], alice: User) -> None:
    plaintext = make_key(alice)[1]
    key = make_key(alice, plaintext)[0]
    (line,) = logged(lambda: keys.revoke_key(key=key, reason=f"found {plaintext}"))
    assert (line["subject_name"], line["reason"], plaintext in str(line)) == ("***", "found ***", False)


def test_a_log_that_fails_undoes_nothing(
    alice: User, monkeypatch: pytest.MonkeyPatch, django_capture_on_commit_callbacks: Captured
) -> None:
    def fail(*arguments: Any, **options: Any) -> None:
        raise OSError

    monkeypatch.setattr(journal.logger, "info", fail)
    with django_capture_on_commit_callbacks(execute=True):
        services.record(Event.USER_CHANGED, subject=alice)
    assert AuditEvent.objects.count() == 1


# --- Reading --------------------------------------------------------------------------------------------------------


def entry_of(event: Event, subject: Any = None, reason: str = "") -> dict[str, Any]:
    row = services.build(event, subject=subject, reason=reason)
    return {"logger": "audit", "request_id": "r1", "message": "audit", **journal.line(row, subject)}


def counted(path: Path, *lines: Any) -> tuple[list[journal.Entry], journal.Counts]:
    path.write_bytes(b"\n".join(line if isinstance(line, bytes) else orjson.dumps(line) for line in lines))
    counts = journal.Counts()
    return list(journal.read(str(path), counts)), counts


def read(path: Path, *lines: Any) -> list[journal.Entry]:
    return counted(path, *lines)[0]


def test_a_line_is_read_back(tmp_path: Path, alice: User) -> None:
    line = entry_of(Event.USER_DISABLED, alice, "why")
    (found,) = read(tmp_path / "log", line)
    assert (found.event, found.subject_type, found.subject_id, found.subject_name) == (
        *("user:disabled", "user"),
        *(alice.pk, "Alice"),
    )
    assert (found.reason, found.subject_created_at) == ("why", alice.created_at)
    assert found.at is not None
    assert found.at.isoformat() == line["at"]


def test_the_plain_form_names_keys_and_users(tmp_path: Path) -> None:
    found = read(tmp_path / "log", b"api_key 17", b"", b"# a comment", b"user Alice@example.com", b"  api_key  18  ")
    assert [(entry.event, entry.subject_type, entry.subject_id, entry.subject_name) for entry in found] == [
        ("api_key:revoked", "apikey", 17, None),
        ("user:disabled", "user", None, "Alice@example.com"),
        ("api_key:revoked", "apikey", 18, None),
    ]


OTHER = {
    "no JSON": b'{"logger":"audit",',
    "no text": b'\xff\xfe{"logger":"audit"}',
    "no object": b'["audit"]',
    "no message": {"logger": "authsvc.telemetry.access"},
    "no logger": {"message": "request"},
    "something of the audit": {"logger": "audit", "message": "audit", "event": "user:disabled"},
    "bytes": bytes(range(14, 256)),
    "plain and no number": b"api_key x",
    "plain and too long": b"api_key " + b"9" * 19,
    "plain without a name": b"user ",
    "other digits": "api_key \N{FULLWIDTH DIGIT ONE}".encode(),
    "another word": b"role admin",
}


@pytest.mark.parametrize("kind", OTHER)
def test_other_lines_are_skipped_and_counted(tmp_path: Path, kind: str) -> None:
    found, counts = counted(tmp_path / "log", OTHER[kind], b"api_key 1")
    assert found == read(tmp_path / "log", b"api_key 1")
    assert counts == journal.Counts(events=1, unknown=1)


def test_lines_of_requests_and_empty_ones_belong_to_a_log_and_are_not_counted(tmp_path: Path) -> None:
    request = {"logger": "authsvc.telemetry.access", "message": "request", "route": "audit"}
    prefixed = b"authsvc-1  | " + orjson.dumps(request)
    assert counted(tmp_path / "log", request, prefixed, b"", b" \t\r") == ([], journal.Counts())


PREFIXES = {
    "journalctl": "Nov 25 20:26:00 host authsvc[123]: ",
    "journalctl -o short-iso-precise": "2026-11-25T20:26:00.123456+00:00 host authsvc[123]: ",
    "syslog, RFC 5424": '<134>1 2026-11-25T20:26:00.123Z host authsvc 123 - [timeQuality tzKnown="1"] \ufeff',
    "docker compose": "authsvc-1  | ",
    "docker logs -t": "2026-11-25T20:26:00.123456789Z ",
    "a container's log": "2026-11-25T20:26:00.123456789Z stderr F ",
    "a byte order mark": "\ufeff",
    "space": " ",
}


@pytest.mark.parametrize("prefix", PREFIXES.values(), ids=PREFIXES)
def test_what_others_write_before_a_line_is_passed_over(tmp_path: Path, alice: User, prefix: str) -> None:
    line = entry_of(Event.USER_DISABLED, alice, "why {not}")
    prefixed = prefix.encode() + orjson.dumps(line) + b"\r"
    assert counted(tmp_path / "log", prefixed) == (read(tmp_path / "log", line), journal.Counts(events=1))


def test_an_event_that_somebody_wrote_into_a_reason_or_a_name_is_none(tmp_path: Path, alice: User) -> None:
    forged = orjson.dumps(entry_of(Event.USER_ENABLED, alice)).decode()
    row = services.build(Event.KEY_REVOKED, subject=alice, reason="x")
    record = logging.makeLogRecord({"name": "audit", "levelname": "INFO", "msg": "audit", **journal.line(row, alice)})
    record.reason = forged
    text = logs.TextFormatter().format(record).encode()
    assert text.endswith(forged.encode())
    inside = {**entry_of(Event.KEY_REVOKED, alice), "reason": forged}
    found, counts = counted(tmp_path / "log", text, PREFIXES["journalctl"].encode() + text, inside)
    assert ([entry.event for entry in found], counts) == (["api_key:revoked"], journal.Counts(events=1, unknown=2))


def test_a_user_whose_address_has_a_brace_is_named_by_a_plain_line(tmp_path: Path) -> None:
    (found,) = read(tmp_path / "log", b"user a{b}@example.com")
    assert (found.event, found.subject_name) == ("user:disabled", "a{b}@example.com")


@pytest.mark.parametrize(
    "change",
    [
        *({name: value} for name in ("event", "subject_type", "subject_name", "reason") for value in (None, 1, ["x"])),
        *({"subject_id": value} for value in ("1", 1.5, True, [1])),
        *({"at": value} for value in (None, 1, "", "yesterday", "2026-13-01T00:00:00Z", "2026-01-01T00:00:00")),
        {"logger": "another"},
    ],
    ids=str,
)
def test_a_line_that_is_not_as_ours_are_is_skipped(tmp_path: Path, alice: User, change: dict[str, Any]) -> None:
    assert read(tmp_path / "log", {**entry_of(Event.USER_DISABLED, alice), **change}) == []


def test_a_long_line_is_read_in_pieces_none_of_which_is_an_event(tmp_path: Path, alice: User) -> None:
    line = {**entry_of(Event.USER_DISABLED, alice), "x": "y" * (3 * journal.MAX_LINE)}
    hidden = b"x" * journal.MAX_LINE + b"api_key 7"
    exactly = b"x" * (journal.MAX_LINE - 1)
    found, counts = counted(tmp_path / "log", line, hidden, exactly, b"api_key 1", b"x" * 2 * journal.MAX_LINE)
    assert ([entry.subject_id for entry in found], counts) == ([1], journal.Counts(events=1, unknown=4))


@pytest.mark.django_db
def test_of_events_on_one_thing_the_last_counts_whatever_their_order(tmp_path: Path, alice: User) -> None:
    role = Group.objects.get(name="admin")
    lines = [
        entry_of(Event.USER_DISABLED, alice),
        entry_of(Event.USER_ENABLED, alice),
        entry_of(Event.ROLE_REVOKED, alice, "admin"),
        entry_of(Event.ROLE_GRANTED, alice, "admin"),
        entry_of(Event.ROLE_GRANTED, alice, "reporter"),
        entry_of(Event.ROLE_REVOKED, alice, "reporter"),
        entry_of(Event.ROLE_CHANGED, role, "grants files:read"),
        entry_of(Event.ROLE_CHANGED, role, "admin no longer grants files:read"),
        entry_of(Event.ROLE_CHANGED, role, "no longer grants reports:read"),
        entry_of(Event.ROLE_CHANGED, role, "admin grants reports:read"),
        entry_of(Event.USER_LOGGED_IN, alice),
        entry_of(Event.USER_CHANGED, alice, "username"),
        entry_of(Event.SIGNING_KEY_ROTATED, None, ""),
        {**entry_of(Event.USER_CHANGED, alice), "event": "user:of_another_version"},
    ]
    for ordered in (lines, lines[::-1]):
        assert sorted(aspect for aspect, _ in latest_revocations(read(tmp_path / "log", *ordered))) == [
            "grant files:read",
            "role reporter",
        ]
