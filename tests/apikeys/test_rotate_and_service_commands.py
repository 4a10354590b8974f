"""The commands of a key's life: rotate, issue for a service account, revoke with a reason."""

from __future__ import annotations

import json
import re
import sys
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from accounts.models import Scope, User
from apikeys import keys
from apikeys.models import APIKey, Secret
from audit.models import AuditEvent
from tests.conftest import BAD_CREDENTIAL, Api
from tests.factories import PASSWORD, make_key, make_role


def run(*arguments: str) -> tuple[str, str]:
    """Run a command and return its stdout and stderr."""
    out, err = StringIO(), StringIO()
    call_command(*arguments, stdout=out, stderr=err, no_color=True)
    return out.getvalue(), err.getvalue()


def opens(api: Api, plaintext: str, path: str = "/protected/service") -> bool:
    return bool(api.get(path, key=plaintext).status_code == 200)


def rows() -> tuple[int, ...]:
    return tuple(table.objects.count() for table in (User, APIKey, Secret, AuditEvent))  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("arguments", "end", "old_opens"),
    [
        pytest.param((), "ends in 86400 seconds", True, id="a day when nothing is said"),
        pytest.param(("--overlap", "60"), "ends in 60 seconds", True, id="a minute"),
        pytest.param(("--overlap", "0"), "has ended", False, id="none"),
        pytest.param(("--overlap", "2592000"), "ends in 2592000 seconds", True, id="30 days"),
    ],
)
def test_a_rotation_prints_the_new_secret_alone(
    api: Api, alice: User, arguments: tuple[str, ...], end: str, old_opens: bool
) -> None:
    key, old = make_key(alice, "export")
    out, err = run("rotate_api_key", str(key.pk), *arguments)
    assert keys.is_well_formed(out.removesuffix("\n"))
    assert err == f"Rotated key {key.pk} (export); the old secret {end}.\n"
    assert (opens(api, out.strip()), opens(api, old)) == (True, old_opens)
    event = AuditEvent.objects.get(event="api_key:rotated")
    assert (event.actor_name, event.actor_id, event.address) == ("manage.py", None, None)


@pytest.mark.parametrize(
    ("life", "told"),
    [
        pytest.param(timedelta(hours=1), r"ends in 3[56]\d\d seconds", id="an hour"),
        pytest.param(timedelta(hours=-1), "has ended", id="expired"),
    ],
)
def test_a_rotation_tells_when_the_old_secret_ends_also_where_its_key_ends_before(
    api: Api, alice: User, life: timedelta, told: str
) -> None:
    key, old = make_key(alice, "export", expires_at=timezone.now() + life)
    out, err = run("rotate_api_key", str(key.pk))
    assert re.fullmatch(rf"Rotated key {key.pk} \(export\); the old secret {told}\.\n", err)
    assert opens(api, old) == (life > timedelta(0))
    assert Secret.objects.filter(api_key=key).count() == len(out.split()) + 1


@pytest.mark.parametrize("name", ["", " "])
def test_a_service_without_a_name_is_refused_by_the_options_name(db: None, name: str) -> None:
    with pytest.raises(CommandError) as refused:
        run("issue_api_key", "--service", name, "--name", "x")
    assert str(refused.value) == "--service must be the name of an account, not empty."


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        pytest.param(("ID", "--overlap", "2592001"), "--overlap must be from 0 to 2592000 seconds.", id="over 30 days"),
        pytest.param(("ID", "--overlap", "9" * 18), "--overlap must be from 0 to 2592000 seconds.", id="an age"),
        pytest.param(("ID", "--overlap", "1.5"), "--overlap must be a whole number, not '1.5'.", id="fraction"),
        pytest.param(("ID", "--overlap", "9" * 19), "--overlap must be from 0 to 2592000 seconds.", id="long"),
        pytest.param(("ID", "--overlap="), "--overlap must be a whole number, not ''.", id="nothing"),
        pytest.param(("ID", "--overlap", "-1"), "--overlap must be from 0 to 2592000 seconds.", id="negative"),
        pytest.param(("9" * 23,), f"There is no API key with the id {'9' * 23}.", id="beyond all ids"),
        pytest.param(("999999999",), "There is no API key with the id 999999999.", id="unknown"),
        pytest.param(("x",), "ID must be a whole number: the key's id, not the key.", id="no id"),
    ],
)
def test_a_rotation_that_cannot_be_is_one_sentence_and_changes_nothing(
    alice: User, arguments: tuple[str, ...], sentence: str
) -> None:
    key, _ = make_key(alice)
    before = rows()
    with pytest.raises(CommandError) as refused:
        run("rotate_api_key", *(str(key.pk) if argument == "ID" else argument for argument in arguments))
    assert (str(refused.value), rows()) == (sentence, before)


def test_a_revoked_key_is_not_rotated(alice: User) -> None:
    key, _ = make_key(alice, "export", revoked_at=timezone.now())
    with pytest.raises(CommandError) as refused:
        run("rotate_api_key", str(key.pk))
    assert str(refused.value) == f"Key {key.pk} (export) is revoked and cannot be rotated."
    assert Secret.objects.count() == 1


def test_a_key_for_a_service_makes_the_account_and_the_next_one_finds_it(api: Api, db: None) -> None:
    first, told = run("issue_api_key", "--service", "nightly", "--name", "export")
    second, _ = run("issue_api_key", "--service", "NIGHTLY", "--name", "import")
    robot = User.objects.get()
    assert (robot.username, robot.email, robot.is_service, robot.is_staff) == ("nightly", None, True, False)
    key_id = APIKey.objects.earliest("id").pk
    assert told.startswith(f"Issued key {key_id} (export) for nightly (service account); it expires ")
    assert (opens(api, first.strip()), opens(api, second.strip())) == (True, True)
    made = list(AuditEvent.objects.exclude(event="api_key:first_used").order_by("id").values_list("event", "reason"))
    assert made == [("user:created", "service account"), ("api_key:issued", ""), ("api_key:issued", "")]


@pytest.mark.parametrize("password", ["", "!", PASSWORD], ids=["none", "mark", "some"])
def test_a_service_account_does_not_log_in_whatever_its_password(api: Api, db: None, password: str) -> None:
    run("issue_api_key", "--service", "nightly", "--name", "export")
    body = {"username": "nightly", "password": password}
    assert api.post("/auth/login", body).status_code in {400, 401}
    robot = User.objects.get()
    assert robot.has_usable_password() is False
    robot.set_password(PASSWORD)
    robot.save(update_fields=["password"])
    refused = api.post("/auth/login", {**body, "password": PASSWORD})
    assert (refused.status_code, refused.json()) == (401, BAD_CREDENTIAL)


@pytest.mark.parametrize("name", ["Alice", "alice", "ALICE", "\uff21lice"])
def test_a_persons_name_is_no_services(alice: User, name: str) -> None:
    before = rows()
    with pytest.raises(CommandError) as refused:
        run("issue_api_key", "--service", name, "--name", "x")
    assert str(refused.value) == "Alice is a person's account; give it with --user."
    assert rows() == before


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(("--service", "new", "--name", "x", "--scope", "no:such"), id="unknown scope"),
        pytest.param(("--service", "new", "--name", "x", "--scope", "reports:read"), id="scope of no role"),
        pytest.param(("--service", "new", "--name", "x", "--scope", "\udcff"), id="scope of half a character"),
        pytest.param(("--service", "new", "--name", "x", "--scope", ""), id="empty scope"),
        pytest.param(("--service", "new", "--name", " "), id="no name"),
        pytest.param(("--service", "new", "--name", "x\ny"), id="name of two lines"),
        pytest.param(("--service", "new", "--name", "\udcff"), id="name of half a character"),
        pytest.param(("--service", "new", "--name", "x", "--expires-in-days", "0"), id="no life"),
        pytest.param(("--service", "new", "--name", "x", "--expires-in-days", "99999"), id="too long a life"),
        pytest.param(("--service", "new", "--name", "x", "--expires-in-days", "soon"), id="life in words"),
        pytest.param(("--service", "", "--name", "x"), id="empty service"),
        pytest.param(("--service", "a b", "--name", "x"), id="space in a service"),
        pytest.param(("--service", "a@example.com", "--name", "x"), id="address for a service"),
        pytest.param(("--service", "\udcff", "--name", "x"), id="service of half a character"),
        pytest.param(("--service", "a" * 151, "--name", "x"), id="long service"),
        pytest.param(("--user", "\udcff", "--name", "x"), id="user of half a character"),
        pytest.param(("--user", "nobody", "--name", "x"), id="unknown user"),
        pytest.param(("--user", "a", "--service", "b", "--name", "x"), id="both"),
        pytest.param(("--name", "x"), id="neither"),
    ],
)
def test_what_cannot_be_issued_is_a_sentence_and_leaves_nothing_behind(db: None, arguments: tuple[str, ...]) -> None:
    with pytest.raises(CommandError) as refused:
        run("issue_api_key", *arguments)
    assert str(refused.value).strip()
    assert rows() == (0, 0, 0, 0)


def test_a_disabled_service_gets_no_key(db: None) -> None:
    run("issue_api_key", "--service", "nightly", "--name", "export")
    User.objects.update(is_active=False)
    with pytest.raises(CommandError) as refused:
        run("issue_api_key", "--service", "nightly", "--name", "import")
    assert (str(refused.value), APIKey.objects.count()) == ("The user 'nightly' is disabled.", 1)


def test_a_service_gets_the_scopes_that_its_roles_grant_and_all_of_it_as_json(api: Api, db: None) -> None:
    run("issue_api_key", "--service", "nightly", "--name", "first")
    User.objects.get().groups.add(make_role("analyst", "reports:read", "reports:write"))
    scopes = ("--scope", "reports:write", "--scope", "reports:read", "--scope", "reports:read")
    out, _ = run("issue_api_key", "--service", "nightly", "--name", "export", *scopes, "--json")
    body: dict[str, Any] = json.loads(out)
    assert (body["name"], body["scopes"]) == ("export", ["reports:read", "reports:write"])
    assert opens(api, body["key"], "/protected/reports")
    assert Scope.objects.filter(name__in=body["scopes"]).count() == 2


def test_a_revocation_keeps_its_reason(api: Api, alice: User) -> None:
    key, plaintext = make_key(alice, "export")
    out, err = run("revoke_api_key", str(key.pk), "--reason", "  the laptop was stolen ")
    assert (out, err, opens(api, plaintext)) == ("", f"Revoked key {key.pk} (export).\n", False)
    assert APIKey.objects.get().revoked_reason == "the laptop was stolen"
    again = run("revoke_api_key", str(key.pk), "--reason", "another")
    assert again == ("", f"Key {key.pk} (export) was revoked before.\n")
    assert AuditEvent.objects.get(event="api_key:revoked").reason == "the laptop was stolen"


@pytest.mark.parametrize("reason", ["a\nb", "\x1b[31m", "\u202e", "\udcff", "x" * 201])
def test_a_reason_that_is_not_one_short_line_revokes_nothing(api: Api, alice: User, reason: str) -> None:
    key, plaintext = make_key(alice)
    with pytest.raises(CommandError) as refused:
        run("revoke_api_key", str(key.pk), "--reason", reason)
    assert str(refused.value) == "A reason is one line of at most 200 characters."
    assert opens(api, plaintext)


@pytest.mark.parametrize("outgoing", [False, True], ids=["in force", "outgoing"])
def test_a_key_on_standard_input_is_revoked_by_either_secret(
    api: Api, alice: User, monkeypatch: pytest.MonkeyPatch, outgoing: bool
) -> None:
    key, old = make_key(alice)
    new = run("rotate_api_key", str(key.pk))[0].strip()
    monkeypatch.setattr(sys, "stdin", StringIO(f"{old if outgoing else new}\r\nmore\n"))
    out, err = run("revoke_api_key", "--key", "-", "--reason", "seen in a log")
    assert (out, err) == ("", f"Revoked key {key.pk} (a key).\n")
    assert (opens(api, old), opens(api, new)) == (False, False)


@pytest.mark.parametrize(
    "text",
    ["", "junk\n", f"{keys.generate('sk').plaintext}\n", "é\n", "\udcff\n"],
    ids=["nothing", "junk", "unknown key", "not ASCII", "not UTF-8"],
)
def test_what_is_no_key_on_standard_input_is_not_repeated(db: None, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(sys, "stdin", StringIO(text))
    with pytest.raises(CommandError) as refused:
        run("revoke_api_key", "--key", "-")
    assert str(refused.value) == "There is no API key like the one on standard input."


@pytest.mark.parametrize("arguments", [(), ("1", "--key", "-")], ids=["neither", "both"])
def test_a_revocation_names_one_key(db: None, arguments: tuple[str, ...]) -> None:
    with pytest.raises(CommandError) as refused:
        run("revoke_api_key", *arguments)
    assert str(refused.value) == "Give either the key's ID or --key -."


def test_a_key_does_not_belong_on_the_command_line(api: Api, alice: User) -> None:
    _, plaintext = make_key(alice)
    with pytest.raises(CommandError) as refused:
        run("revoke_api_key", "--key", plaintext)
    assert (plaintext in str(refused.value), opens(api, plaintext)) == (False, True)


def test_the_list_shows_whose_keys_they_are_and_none_of_the_secrets(alice: User, bob: User) -> None:
    (one, secret), (two, _) = make_key(alice, "one"), make_key(bob, "two", revoked_at=timezone.now())
    listed = json.loads(run("list_api_keys", "--json")[0])
    assert [(row["id"], row["owner"], row["status"]) for row in listed] == [
        (two.pk, "bob", "revoked"),
        (one.pk, "Alice", "active"),
    ]
    table = run("list_api_keys", "--user", "alice", "--status", "active")[0].splitlines()
    assert (len(table), table[1].split()[:3]) == (2, [str(one.pk), "Alice", secret[:11]])
    with pytest.raises(CommandError, match=r"There is no user 'nobody'\."):
        run("list_api_keys", "--user", "nobody")


def test_the_table_shows_a_key_that_is_switched_off_as_such(alice: User) -> None:
    ended = timezone.now()
    make_key(alice, "on")
    make_key(alice, "off", is_enabled=False)
    make_key(alice, "off-expired", is_enabled=False, expires_at=ended)
    make_key(alice, "off-revoked", is_enabled=False, revoked_at=ended)
    _, *rows = run("list_api_keys")[0].splitlines()
    assert {row.split()[-1]: row.split()[3] for row in rows} == {
        "on": "active",
        "off": "disabled",
        "off-expired": "expired",
        "off-revoked": "revoked",
    }
    listed = json.loads(run("list_api_keys", "--status", "active", "--json")[0])
    assert [(row["name"], row["status"], row["is_enabled"]) for row in listed] == [
        ("off", "active", False),
        ("on", "active", True),
    ]
