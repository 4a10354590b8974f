"""What is granted or revoked a second time changes nothing and is no event."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from django.contrib.auth.models import Permission

from accounts.jwt import keyring
from accounts.models import Scope, User
from accounts.services import administration
from apikeys import validators
from audit.events import Event
from audit.journal import Entry, parse_json
from audit.models import AuditEvent
from tests.factories import make_role

pytestmark = pytest.mark.django_db


def test_a_permission_is_granted_and_revoked_once(alice: User) -> None:
    (permission,) = Permission.objects.order_by("id")[:1]
    for of in (alice, make_role("reader")):
        before = AuditEvent.objects.count()
        for _ in range(2):
            administration.change_permissions(of=of, grant=[permission], actor=None)
        for _ in range(2):
            administration.change_permissions(of=of, revoke=[permission], actor=None)
        assert AuditEvent.objects.count() == before + 2


def test_a_scope_is_added_and_removed_once(db: None) -> None:
    role, scope = make_role("reader"), Scope.objects.get(name="reports:read")
    before = AuditEvent.objects.count()
    for _ in range(2):
        administration.change_scopes(role=role, grant=[scope], actor=None)
    for _ in range(2):
        administration.change_scopes(role=role, revoke=[scope], actor=None)
    assert AuditEvent.objects.count() == before + 2


def test_keys_that_another_thread_has_read_meanwhile_are_not_read_again(
    settings: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    keyring.invalidate()
    fresh = keyring.read()

    @contextmanager
    def reads_meanwhile(lock: object) -> Iterator[None]:
        monkeypatch.setattr(keyring, "_ring", fresh)
        yield

    monkeypatch.setattr(keyring.deadlines, "holding", reads_meanwhile)
    assert keyring.ring() is fresh


def test_more_networks_than_a_key_can_have_are_refused() -> None:
    with pytest.raises(validators.ValidationError):
        validators.clean_allowed_ips(["10.0.0.1"] * (validators.MAX_NETWORKS + 1))


def test_a_plain_line_has_no_time_and_another_line_is_none() -> None:
    entry = Entry(Event.KEY_REVOKED.value, subject_type="apikey", subject_id=1)
    assert (entry.at, entry.is_recorded()) == (None, False)
    assert parse_json('{"logger": "authsvc.telemetry.access"}') is None
