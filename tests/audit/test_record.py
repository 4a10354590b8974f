"""What a row says: who did what to whom, from where, and with which request; and never a secret."""

from __future__ import annotations

import base64
import hashlib
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.hashers import make_password
from django.core.management import call_command
from django.db import connection
from django.utils import timezone

from accounts.models import Session, User
from apikeys.models import APIKey, Secret
from audit import services
from audit.events import Event
from audit.models import AuditEvent, Retention
from tests.audit.conftest import events
from tests.conftest import BAD_CREDENTIAL, Api
from tests.factories import PASSWORD, UserFactory, make_key

pytestmark = pytest.mark.django_db
WHO = {"username": "Carol", "email": "carol@example.com", "password": PASSWORD}


def row() -> dict[str, Any]:
    """Return the one row of the record, without what differs from run to run."""
    (found,) = AuditEvent.objects.values()
    assert abs(found.pop("at") - timezone.now()) < timedelta(minutes=1)
    return {name: value for name, value in found.items() if name not in {"id", "once"}}


def test_a_sign_up_is_recorded_whole(api: Api) -> None:
    user_id = api.post("/auth/signup", WHO, headers={"User-Agent": "curl/8", "X-Request-ID": "abc"}).json()["id"]
    assert row() == {
        "event": "user:signed_up",
        "actor_id": user_id,
        "actor_name": "Carol",
        "subject_type": "user",
        "subject_id": user_id,
        "subject_name": "Carol",
        "address": "127.0.0.1",
        "user_agent": "curl/8",
        "request_id": "abc",
        "reason": "",
    }


@pytest.mark.parametrize("name", ["alice", "ALICE", "alice@example.com"])
def test_a_login_is_recorded_under_the_users_own_name(api: Api, alice: User, name: str) -> None:
    assert api.post("/auth/login", {"username": name, "password": PASSWORD}).status_code == 200
    assert events() == [("user:logged_in", "Alice", "Alice", f"session #{Session.objects.get().pk}")]


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        pytest.param({}, "password wrong", id="password"),
        pytest.param({"is_active": False, "password": make_password("typed")}, "user disabled", id="disabled"),
        pytest.param({"is_service": True, "password": make_password("typed")}, "service account", id="service account"),
    ],
)
def test_a_failed_login_is_recorded_with_its_reason(api: Api, fields: dict[str, Any], reason: str) -> None:
    user = UserFactory(username="dave", **fields)
    response = api.post("/auth/login", {"username": "dave", "password": "typed"})
    assert response.json() == BAD_CREDENTIAL
    assert events() == [("user:login_failed", "", str(user), reason)]


def test_the_name_typed_in_is_not_kept_where_nobody_has_it(api: Api) -> None:
    assert api.post("/auth/login", {"username": "hunter2-is-my-pw", "password": "x"}).status_code == 401
    assert row() | {"request_id": ""} == {
        "event": "user:login_failed",
        "actor_id": None,
        "actor_name": "",
        "subject_type": "",
        "subject_id": None,
        "subject_name": "",
        "address": "127.0.0.1",
        "user_agent": "",
        "request_id": "",
        "reason": "user unknown",
    }
    assert "hunter2" not in dump()


@pytest.mark.parametrize(
    "body",
    [
        pytest.param({**WHO, "username": "alice"}, id="name taken"),
        pytest.param({**WHO, "email": "ALICE@example.com"}, id="address taken"),
        pytest.param({**WHO, "password": "1234"}, id="weak password"),
        pytest.param({"username": "Carol"}, id="half of it"),
    ],
)
def test_a_sign_up_that_is_refused_is_none(api: Api, alice: User, body: dict[str, str]) -> None:
    assert api.post("/auth/signup", body).status_code == 400
    assert events() == []


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        pytest.param("", "", id="none"),
        pytest.param("curl/8.0 (x86_64)", "curl/8.0 (x86_64)", id="plain"),
        pytest.param("a\x00b\x1b[31mc\x7f\r\nd\te", "a?b?[31mc???d?e", id="control characters"),
        pytest.param("é \x85 \xad \xa0.", "é ? ? ?.", id="invisible Latin-1"),
        pytest.param("x" * 10_240, "x" * 200, id="10 kB"),
        pytest.param("\x00" * 10_240, "?" * 200, id="10 kB of nulls"),
        pytest.param("\u202eevil \ud800", "?evil ?", id="turned around, and half a pair"),
    ],
)
def test_a_user_agent_is_kept_so_that_it_can_be_stored_and_shown(api: Api, sent: str, kept: str) -> None:
    api.client.defaults["HTTP_USER_AGENT"] = sent
    assert api.post("/auth/login", {"username": "x", "password": "x"}).status_code == 401
    assert AuditEvent.objects.get().user_agent == kept


def test_what_no_request_asked_for_is_the_commands() -> None:
    services.record(Event.USER_CHANGED, reason="x" * 500)
    found = AuditEvent.objects.get()
    assert (found.actor_name, found.address, found.user_agent, found.request_id) == ("manage.py", None, "", "-")
    assert found.reason == "x" * 200
    assert str(found) == "user:changed"


def test_a_record_outlives_what_it_tells_of(alice: User, bob: User) -> None:
    services.record(Event.USER_DISABLED, actor=bob, subject=alice)
    User.objects.all().delete()
    assert events() == [("user:disabled", "bob", "Alice", "")]
    assert str(AuditEvent.objects.get()) == "user:disabled Alice"


def test_a_permit_says_how_far_it_goes() -> None:
    moment = timezone.now()
    assert str(Retention(before=moment)) == f"before {moment}"
    assert not Retention.objects.exists()


def test_every_event_is_a_subject_and_an_action() -> None:
    for event in Event:
        subject, _, action = event.value.partition(":")
        assert subject.replace("_", "").isalpha()
        assert action.replace("_", "").isalpha()
    assert {value for value, _ in AuditEvent._meta.get_field("event").choices} == {event.value for event in Event}


def dump() -> str:
    """Return all that the table holds, as the database has it."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM audit_auditevent ORDER BY id")
        return "\n".join(repr(found) for found in cursor.fetchall())


def test_no_secret_is_anywhere_in_the_record(api: Api) -> None:
    api.post("/auth/signup", WHO)
    api.post("/auth/login", {**WHO, "email": None} | {"password": "not-the-password"})
    tokens = api.post("/auth/login", {"username": "Carol", "password": PASSWORD}).json()
    token = tokens["access_token"]
    made = api.post("/keys", {"name": "a key", "rate_limit": "1/day"}, token=token).json()
    path, keys = f"/keys/{made['id']}", [made["key"]]
    for _ in range(2):
        api.get("/protected/service", key=made["key"])
    keys.append(api.post(f"{path}/rotate", {"retire_old": "on_first_use"}, token=token).json()["key"])
    api.patch(path, {"rate_limit": None, "is_enabled": False}, token=token)
    api.get("/protected/service", key=keys[1])
    api.patch(path, {"is_enabled": True}, token=token)
    api.get("/protected/service", key=keys[1])
    api.get("/protected/service", key=keys[0])
    api.post("/keys/report", {"key": keys[1]})
    call_command("grant_role", "Carol", "admin")
    told, text = {event for event, *_ in events()}, dump()
    assert told >= {"api_key:issued", "api_key:rotated", "api_key:refused", "api_key:revoked_leak", "role:granted"}
    digests = [bytes(digest) for digest in Secret.objects.values_list("digest", flat=True)]
    assert sorted(digests) == sorted(hashlib.sha256(key.encode()).digest() for key in keys)
    secrets = [key[11:] for key in keys] + [PASSWORD, User.objects.get().password, *tokens["access_token"].split(".")]
    for digest in digests:
        secrets += [digest.hex(), base64.b64encode(digest).decode(), repr(digest)[2:-1]]
    assert [secret for secret in [*secrets, "not-the-password", tokens["refresh_token"]] if secret in text] == []


def test_a_key_that_is_used_first_tells_it_once(api: Api, alice: User) -> None:
    key = make_key(alice, "export")[1]
    assert [api.get("/protected/service", key=key).status_code for _ in range(3)] == [200] * 3
    assert events() == [
        ("api_key:issued", "manage.py", "export", ""),
        ("api_key:first_used", "Alice", "export", ""),
    ]
    assert APIKey.objects.get().last_used_address == "127.0.0.1"
