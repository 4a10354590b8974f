"""manage.py after_restore: what a backup brings back to life ends again. Restores are acted here; a flow makes one."""

from __future__ import annotations

from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import orjson
import pytest
import time_machine
from django.contrib.auth.models import Group, Permission
from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.core.management.base import CommandError
from django.test import Client
from django.utils import timezone

from accounts.models import Scope, Session, SigningKey, User
from accounts.services import mail_links, signing_keys
from accounts.services.registration import get_or_create_service_account
from apikeys.models import APIKey, Secret
from audit import journal, services
from audit.events import Event
from audit.models import AuditEvent
from tests.accounts.mails import mailed
from tests.audit.conftest import add
from tests.conftest import Api
from tests.factories import PASSWORD, UserFactory, granted, make_key, make_role, pair_of, token_of

HEADING = "Ended 0 sessions and 0 console sessions; mailed links are void."


def lost(event: Event, subject: Any = None, reason: str = "", **changed: Any) -> dict[str, Any]:
    """Return the line of an event that a restore has lost: it is in the log and not in the audit."""
    row = services.build(event, subject=subject, reason=reason)
    return {"logger": "audit", "request_id": "r1", "message": "audit", **journal.line(row, subject), **changed}


class Restore:
    """Runs the command on a log of given lines."""

    def __init__(self, folder: Path) -> None:
        self.log = folder / "audit.log"

    def __call__(self, *lines: Any, dry_run: bool = False) -> dict[str, list[str]]:
        self.log.write_text("\n".join(line if isinstance(line, str) else orjson.dumps(line).decode() for line in lines))
        out = StringIO()
        call_command("after_restore", "--revocations", str(self.log), dry_run=dry_run, stdout=out)
        report: dict[str, list[str]] = {"": []}
        section = report[""]
        for line in out.getvalue().splitlines():
            if line.startswith("  "):
                section.append(line.strip())
            elif line.rpartition(": ")[2].isdecimal():
                section = report.setdefault(line.split()[0].strip(",:"), [])
            else:
                report[""].append(line)
        return report


@pytest.fixture
def restore(tmp_path: Path) -> Restore:
    return Restore(tmp_path)


def opens(api: Api, key: str) -> bool:
    return bool(api.get("/protected/service", key=key).status_code == 200)


def logs_in(api: Api, username: str = "alice", password: str = PASSWORD) -> bool:
    return bool(api.post("/auth/login", {"username": username, "password": password}).status_code == 200)


# --- Sessions, links and console sessions ---------------------------------------------------------------------------


def test_every_session_link_and_console_session_ends_and_nothing_else(api: Api, alice: User, bob: User) -> None:
    UserFactory(username="root", is_staff=True, is_superuser=True)
    console = Client()
    console.force_login(User.objects.get(username="root"))
    tokens, key = [token_of(alice), token_of(bob)], make_key(alice)[1]
    pair, link = pair_of(alice), mailed(api, "/auth/password/reset", "alice@example.com")
    stamps = set(User.objects.values_list("security_stamp", flat=True))
    out = StringIO()
    call_command("after_restore", stdout=out)
    assert out.getvalue().splitlines()[0] == "Ended 3 sessions and 1 console sessions; mailed links are void."
    assert [api.get("/auth/me", token=token).status_code for token in tokens] == [401, 401]
    assert api.post("/auth/refresh", {"refresh_token": pair.refresh_token}).status_code == 401
    assert console.get("/admin/").status_code == 302
    with pytest.raises(ValidationError):
        mail_links.reset_tokens.find(link)
    fresh = set(User.objects.values_list("security_stamp", flat=True))
    assert (len(fresh), stamps & fresh, {len(stamp) for stamp in fresh}) == (3, set(), {32})
    assert (opens(api, key), logs_in(api)) == (True, True)
    assert AuditEvent.objects.get(event="database:restored").reason == "3 sessions ended, 0 revocations repeated"


def test_a_session_that_had_ended_keeps_its_end(alice: User) -> None:
    pair_of(alice)
    ended = timezone.now() - timedelta(days=1)
    Session.objects.update(ended_at=ended, ended_reason="logout")
    call_command("after_restore", stdout=StringIO())
    assert Session.objects.filter(ended_at=ended, ended_reason="logout").exists()


FOREIGN = {
    "empty": b"",
    "another's": b"root:x:0:0:root:/root:/bin/bash\ndaemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin\n",
    "bytes": bytes(range(256)) * 64,
    "in UTF-16": "api_key 1\n".encode("utf-16"),
    "requests alone": b'{"level":"INFO","logger":"authsvc.telemetry.access","request_id":"-","message":"request"}\n',
}


@pytest.mark.parametrize("content", FOREIGN.values(), ids=FOREIGN)
@pytest.mark.parametrize("dry_run", [False, True])
def test_a_file_without_an_event_is_refused_and_changes_nothing(
    api: Api, alice: User, tmp_path: Path, content: bytes, dry_run: bool
) -> None:
    token, log = token_of(alice), tmp_path / "log"
    log.write_bytes(content)
    with pytest.raises(CommandError) as refused:
        call_command("after_restore", "--revocations", str(log), dry_run=dry_run)
    assert str(refused.value) == (
        f"The file '{log}' has no event of the service's log, and no line 'api_key ID' or 'user NAME'."
    )
    assert api.get("/auth/me", token=token).status_code == 200
    assert not AuditEvent.objects.filter(event="database:restored").exists()


def test_a_revocation_is_found_behind_what_journalctl_writes_before_it(api: Api, alice: User, restore: Restore) -> None:
    key, plaintext = make_key(alice, "deploy")
    prefix, line = "Nov 25 20:26:00 host authsvc[123]: ", orjson.dumps(lost(Event.KEY_REVOKED, key, "leaked")).decode()
    started = "Nov 25 20:26:00 host systemd[1]: Started authsvc."
    assert restore(started, f"{prefix}{line}", "-- Boot 1 --") == {
        "": [HEADING, "2 lines were not understood."],
        "Repeated": [f"apikey #{key.pk} ({key}): revoked"],
        "Unchanged": [],
        "Not": [],
    }
    assert not opens(api, plaintext)


# --- Keys -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("event", [Event.KEY_REVOKED, Event.KEY_REVOKED_LEAK])
def test_a_revoked_key_is_revoked_again_for_its_reason(api: Api, alice: User, restore: Restore, event: Event) -> None:
    key, plaintext = make_key(alice, "deploy")
    lines = [lost(event, key, "found\u2028in a gist")]
    report = restore(*lines)
    assert report["Repeated"] == [f"apikey #{key.pk} (deploy (#{key.pk})): revoked"]
    key.refresh_from_db()
    assert (opens(api, plaintext), key.revoked_reason) == (False, "foundin a gist")
    assert AuditEvent.objects.filter(event=event, subject_id=key.pk).count() == 1
    assert restore(*lines)["Unchanged"] == [f"apikey #{key.pk} (deploy (#{key.pk})): {event.value}"]
    assert AuditEvent.objects.filter(event=event, subject_id=key.pk).count() == 1


def test_a_key_that_was_renamed_is_found_and_another_with_its_id_is_not(
    api: Api, alice: User, restore: Restore
) -> None:
    (key, first), (other, second) = make_key(alice, "old name"), make_key(alice, "deploy")
    later = (timezone.now() + timedelta(seconds=1)).isoformat()
    report = restore(
        lost(Event.KEY_REVOKED, key, subject_name="new name"),
        lost(Event.KEY_REVOKED, other, subject_created_at=later),
        lost(Event.KEY_REVOKED, other, subject_created_at=None, subject_name="another"),
        lost(Event.KEY_REVOKED, other, "why", subject_id=other.pk + 1),
    )
    assert [opens(api, first), opens(api, second)] == [False, True]
    assert report["Not"] == [
        f"apikey #{other.pk} (deploy): api_key:revoked",
        f"apikey #{other.pk} (another): api_key:revoked",
        f"apikey #{other.pk + 1} (deploy): api_key:revoked why",
    ]


def test_a_line_without_a_time_of_making_matches_by_name(api: Api, alice: User, restore: Restore) -> None:
    key, plaintext = make_key(alice, "deploy")
    restore(lost(Event.KEY_REVOKED, key, subject_created_at=None))
    assert not opens(api, plaintext)


def test_a_key_that_was_rotated_is_revoked_for_its_new_secret_is_lost(api: Api, alice: User, restore: Restore) -> None:
    key, plaintext = make_key(alice, "deploy")
    report = restore(lost(Event.KEY_ROTATED, key, f"{plaintext[:11]} to sk_AAAAAAAA"))
    assert report["Repeated"] == [f"apikey #{key.pk} (deploy (#{key.pk})): rotated: revoked, issue another"]
    assert not opens(api, plaintext)
    assert restore(lost(Event.KEY_ROTATED, key, f"{plaintext[:11]} to sk_AAAAAAAA"))["Repeated"] == []


def test_a_rotation_that_the_backup_has_is_left(api: Api, alice: User, restore: Restore) -> None:
    key, plaintext = make_key(alice)
    report = restore(lost(Event.KEY_ROTATED, key, f"sk_AAAAAAAA to {plaintext[:11]}"))
    assert (len(report["Unchanged"]), opens(api, plaintext)) == (1, True)


def test_an_outgoing_secret_ends_again(api: Api, alice: User, restore: Restore) -> None:
    key, old = make_key(alice)
    body = {"retire_old": "on_first_use"}
    new = api.post(f"/keys/{key.pk}/rotate", body, token=token_of(alice)).json()["key"]
    line = lost(Event.KEY_OUTGOING_RETIRED, key)
    assert [opens(api, old), len(restore(line)["Repeated"])] == [True, 1]
    assert [opens(api, old), opens(api, new)] == [False, True]
    assert not APIKey.objects.get().retire_on_first_use
    api.post(f"/keys/{key.pk}/rotate", token=token_of(alice))
    assert [len(restore(line)["Unchanged"]), Secret.objects.filter(retires_at__gt=timezone.now()).count()] == [1, 1]


def test_a_disabled_key_is_disabled_again_unless_it_was_enabled_since(api: Api, alice: User, restore: Restore) -> None:
    (key, plaintext), (other, others), (dead, _) = (make_key(alice) for _ in range(3))
    APIKey.objects.filter(pk=dead.pk).update(revoked_at=timezone.now())
    lines = [lost(Event.KEY_DISABLED, row) for row in (key, other, dead)] + [lost(Event.KEY_ENABLED, other)]
    report = restore(*lines)
    assert (len(report["Repeated"]), len(report["Unchanged"])) == (1, 1)
    assert [opens(api, plaintext), opens(api, others)] == [False, True]
    assert len(restore(*lines)["Unchanged"]) == 2


@pytest.mark.parametrize("changed", ["scope", "allowed_ips", "name scope"])
def test_a_key_whose_limits_were_changed_is_disabled(api: Api, alice: User, restore: Restore, changed: str) -> None:
    key, plaintext = make_key(alice, "deploy")
    line = lost(Event.KEY_CHANGED, key, changed)
    assert restore(line)["Repeated"] == [
        f"apikey #{key.pk} (deploy (#{key.pk})): {changed} changed: disabled, set and enable it again"
    ]
    assert not opens(api, plaintext)
    APIKey.objects.update(is_enabled=True)
    assert (len(restore(line)["Unchanged"]), opens(api, plaintext)) == (1, True)


def test_a_change_of_less_or_of_before_the_backup_disables_nothing(api: Api, alice: User, restore: Restore) -> None:
    key, plaintext = make_key(alice)
    assert api.patch(f"/keys/{key.pk}", {"allowed_ips": ["127.0.0.1"]}, token=token_of(alice)).status_code == 200
    at = AuditEvent.objects.get(event="api_key:changed").at.isoformat()
    report = restore(lost(Event.KEY_CHANGED, key, "name metadata"), lost(Event.KEY_CHANGED, key, "allowed_ips", at=at))
    assert (report["Repeated"], len(report["Unchanged"]), opens(api, plaintext)) == ([], 1, True)


# --- People ---------------------------------------------------------------------------------------------------------


def test_a_disabled_user_is_disabled_again(api: Api, alice: User, bob: User, restore: Restore) -> None:
    lines = [*(lost(Event.USER_DISABLED, user) for user in (alice, bob)), lost(Event.USER_ENABLED, bob)]
    assert restore(*lines)["Repeated"] == [f"user #{alice.pk} (Alice): disabled"]
    assert (logs_in(api), logs_in(api, "bob")) == (False, True)
    assert restore(*lines)["Unchanged"] == [f"user #{alice.pk} (Alice): user:disabled"]


@pytest.mark.parametrize(
    ("event", "reason"),
    [(Event.USER_PASSWORD_CHANGED, ""), (Event.USER_PASSWORD_RESET, ""), (Event.USER_CHANGED, "password")],
    ids=str,
)
def test_a_password_that_was_changed_is_void_until_a_mail_sets_one(
    api: Api, alice: User, restore: Restore, event: Event, reason: str
) -> None:
    line = lost(event, alice, reason)
    assert restore(line)["Repeated"] == [f"user #{alice.pk} (Alice): password void: set a new one by mail"]
    assert not logs_in(api)
    token = mailed(api, "/auth/password/reset", "alice@example.com")
    body = {"token": token, "new_password": "another-horse-battery"}
    assert api.post("/auth/password/reset/confirm", body).status_code == 204
    assert len(restore(line)["Unchanged"]) == 1
    assert logs_in(api, password="another-horse-battery")
    assert AuditEvent.objects.get(event=event, reason=reason, at=line["at"]).subject_id == alice.pk


def test_an_address_that_was_changed_gets_no_mail(api: Api, alice: User, restore: Restore) -> None:
    lines = [lost(Event.USER_CHANGED, alice, "email"), lost(Event.USER_PASSWORD_CHANGED, alice)]
    first = restore(*lines)
    assert (len(first["Repeated"]), logs_in(api)) == (1, False)
    assert "address was changed" in first["Repeated"][0]
    user = User.objects.get()
    assert (user.has_usable_password(), user.email_verified_at) == (False, None)
    again = restore(*lines)
    assert (again["Repeated"], len(again["Unchanged"])) == ([], 2)


@pytest.mark.parametrize("column", ["is_staff", "is_superuser", "user_permissions"])
def test_an_operator_whose_rights_were_changed_has_none(alice: User, restore: Restore, column: str) -> None:
    User.objects.update(is_staff=True, is_superuser=True)
    alice.user_permissions.set(Permission.objects.all()[:3])
    line = lost(Event.USER_CHANGED, alice, column)
    assert len(restore(line)["Repeated"]) == 1
    user = User.objects.get()
    assert (user.is_staff, user.is_superuser, user.user_permissions.count()) == (False, False, 0)
    User.objects.update(is_staff=True)
    assert (len(restore(line)["Unchanged"]), User.objects.get().is_staff) == (1, True)


def test_what_the_audit_pruned_was_in_the_backup(api: Api, alice: User, restore: Restore) -> None:
    add(age=timedelta(days=3))
    old = (timezone.now() - timedelta(days=4)).isoformat()
    report = restore(lost(Event.USER_PASSWORD_CHANGED, alice, at=old))
    assert (len(report["Unchanged"]), logs_in(api)) == (1, True)


def test_a_deleted_user_is_deleted_again(alice: User, bob: User, restore: Restore) -> None:
    line = lost(Event.USER_DELETED, alice)
    assert restore(line)["Repeated"] == [f"user #{alice.pk} (Alice): deleted"]
    assert [user.username for user in User.objects.all()] == ["bob"]
    assert restore(line)["Not"] == [f"user #{alice.pk} (Alice): user:deleted"]


def test_a_deleted_user_with_keys_is_disabled_with_all_that_is_left(api: Api, alice: User, restore: Restore) -> None:
    plaintext, line = make_key(alice)[1], lost(Event.USER_DELETED, alice)
    assert len(restore(line)["Repeated"]) == 1
    assert (opens(api, plaintext), logs_in(api), APIKey.objects.filter(revoked_at=None).count()) == (False, False, 0)
    assert len(restore(line)["Unchanged"]) == 1


def test_the_plain_form_revokes_keys_and_disables_users(api: Api, alice: User, bob: User, restore: Restore) -> None:
    key, plaintext = make_key(alice)
    report = restore(f"api_key {key.pk}", "user BOB@example.com", "api_key 999999", "user nobody", "# end")
    assert (len(report["Repeated"]), opens(api, plaintext), logs_in(api, "bob")) == (2, False, False)
    assert report["Not"] == ["apikey #999999 (None): api_key:revoked", "user #None (nobody): user:disabled"]
    assert APIKey.objects.get().revoked_reason == "repeated after a restore"


def test_a_service_account_is_found(db: None, restore: Restore) -> None:
    robot = get_or_create_service_account(name="robot")
    restore(lost(Event.USER_DISABLED, robot, subject_created_at=None))
    assert not User.objects.get().is_active


# --- Roles, scopes and signing keys ---------------------------------------------------------------------------------


def test_a_role_that_was_taken_away_is_taken_again(alice: User, bob: User, restore: Restore) -> None:
    alice.groups.add(make_role("admin"), make_role("reporter"))
    bob.groups.add(make_role("admin"))
    lines = [
        lost(Event.ROLE_REVOKED, alice, "admin"),
        lost(Event.ROLE_REVOKED, bob, "admin"),
        lost(Event.ROLE_GRANTED, bob, "admin"),
    ]
    assert restore(*lines)["Repeated"] == [f"user #{alice.pk} (Alice): role admin taken away"]
    assert (granted(alice).roles, granted(bob).roles) == (("reporter",), ("admin",))
    assert len(restore(*lines)["Unchanged"]) == 1


@pytest.mark.parametrize("reason", ["no longer grants reports:read", "analyst no longer grants reports:read"])
def test_a_scope_that_was_taken_from_a_role_is_taken_again(alice: User, restore: Restore, reason: str) -> None:
    role = make_role("analyst", "reports:read", "files:read")
    alice.groups.add(role)
    line = lost(Event.ROLE_CHANGED, role, reason)
    assert restore(line)["Repeated"] == [f"group #{role.pk} (analyst): no longer grants reports:read"]
    assert granted(alice).scopes == {"files:read"}
    assert len(restore(line)["Unchanged"]) == 1


def test_roles_and_scopes_that_were_deleted_are_deleted_again(alice: User, restore: Restore) -> None:
    role, other = make_role("analyst", "files:read"), make_role("other", "reports:write")
    alice.groups.add(role, other)
    scope = Scope.objects.get(name="reports:write")
    lines = [lost(Event.ROLE_DELETED, role, subject_type="role"), lost(Event.SCOPE_DELETED, scope)]
    assert len(restore(*lines)["Repeated"]) == 2
    assert (granted(alice).roles, granted(alice).scopes) == (("other",), frozenset())
    assert len(restore(*lines)["Not"]) == 2


def test_the_permissions_of_a_role_that_were_changed_are_taken(db: None, restore: Restore) -> None:
    role = Group.objects.get(name="admin")
    role.permissions.set(Permission.objects.all()[:3])
    line = lost(Event.ROLE_CHANGED, role, "permissions")
    assert (len(restore(line)["Repeated"]), role.permissions.count()) == (1, 0)
    role.permissions.set(Permission.objects.all()[:3])
    assert (len(restore(line)["Unchanged"]), role.permissions.count()) == (1, 3)


def test_a_signing_key_that_had_leaked_signs_no_more(db: None, settings: Any, restore: Restore) -> None:
    settings.JWT_ALGORITHM = "ES256"
    leaked = signing_keys.rotate()
    line = lost(Event.SIGNING_KEY_ROTATED, SigningKey(kid="x", pk=99), "at once")
    with time_machine.travel(timezone.now() + timedelta(seconds=1)):
        assert restore(line)["Repeated"] == ["signing keys: signing keys void: a new one signs"]
        leaked.refresh_from_db()
        assert leaked.retires_at is not None
        assert leaked.retires_at <= timezone.now()
        assert (len(restore(line)["Unchanged"]), SigningKey.objects.count()) == (1, 2)
    settings.JWT_ALGORITHM = "HS256"
    assert len(restore({**line, "at": timezone.now().isoformat()})["Unchanged"]) == 1


# --- The command ----------------------------------------------------------------------------------------------------


def test_a_dry_run_reports_and_changes_nothing(api: Api, alice: User, restore: Restore) -> None:
    key, plaintext = make_key(alice)
    token, events = token_of(alice), AuditEvent.objects.count()
    report = restore(lost(Event.KEY_REVOKED, key), lost(Event.USER_PASSWORD_CHANGED, alice), dry_run=True)
    assert report[""] == [
        "Dry run: nothing was changed.",
        "Ended 1 sessions and 0 console sessions; mailed links are void.",
    ]
    assert len(report["Repeated"]) == 2
    assert (opens(api, plaintext), api.get("/auth/me", token=token).status_code, logs_in(api)) == (True, 200, True)
    assert AuditEvent.objects.exclude(event__in=["api_key:first_used", "user:logged_in"]).count() == events - 1


def test_events_of_sessions_and_of_nothing_ended_are_passed_over(alice: User, restore: Restore) -> None:
    pair_of(alice)
    lines = [
        lost(Event.SESSION_ENDED, Session.objects.get()),
        lost(Event.USER_EVERYTHING_ENDED, alice),
        lost(Event.KEY_ISSUED, make_key(alice)[0]),
        lost(Event.KEY_REVOKED, alice),
    ]
    report = restore(*lines)
    assert [report[section] for section in ("Repeated", "Unchanged", "Not")] == [[], [], []]


@pytest.mark.parametrize("kind", ["missing", "folder", ""])
def test_a_file_that_cannot_be_read_is_one_sentence_and_changes_nothing(
    api: Api, alice: User, tmp_path: Path, kind: str
) -> None:
    token, path = token_of(alice), {"missing": tmp_path / "missing", "folder": tmp_path}.get(kind, "")
    with pytest.raises(CommandError, match=r"^The file '.*' cannot be read: [^.]+\.$"):
        call_command("after_restore", "--revocations", str(path))
    assert api.get("/auth/me", token=token).status_code == 200
