"""End everything of one owner: keys, sessions, links and console sessions, and nothing of it comes back."""

from __future__ import annotations

from io import StringIO
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import Session, User
from accounts.services import mail_links
from accounts.services.registration import get_or_create_service_account
from accounts.services.users import set_active
from apikeys import owners
from apikeys.models import APIKey, Secret
from audit.models import AuditEvent
from tests.audit.conftest import events
from tests.conftest import Api
from tests.factories import granted, make_key, pair_of


def statuses(api: Api, keys: list[str], tokens: list[str]) -> list[int]:
    answers = [api.get("/protected/any", key=key) for key in keys]
    return [answer.status_code for answer in answers + [api.get("/protected/any", token=token) for token in tokens]]


@pytest.mark.parametrize("disable", [False, True])
def test_all_of_an_owner_ends_and_nothing_of_others(api: Api, alice: User, bob: User, disable: bool) -> None:
    User.objects.filter(pk=alice.pk).update(is_staff=True, is_superuser=True)
    console = Client()
    console.force_login(User.objects.get(pk=alice.pk))
    keys = [make_key(alice, f"key {number}")[1] for number in range(3)]
    exchanged = api.post("/auth/token", key=keys[0]).json()["access_token"]
    tokens = [pair_of(alice).access_token, pair_of(alice).access_token, exchanged]
    links = [kind.make(granted(alice)) for kind in (mail_links.reset_tokens, mail_links.confirmation_tokens)]
    others = statuses(api, [make_key(bob)[1]], [pair_of(bob).access_token])
    assert (statuses(api, keys, tokens), console.get("/admin/").status_code) == ([200] * 6, 200)

    bob.is_superuser = True  # Alice is an operator
    ended = owners.end_everything(owner=granted(alice), reason="laptop stolen", actor=bob, disable=disable)

    assert (ended.keys, ended.sessions) == (3, 2)
    assert (statuses(api, keys, tokens), console.get("/admin/").status_code) == ([401] * 6, 302)
    for kind, link in zip((mail_links.reset_tokens, mail_links.confirmation_tokens), links, strict=True):
        with pytest.raises(ValidationError):
            kind.find(link)
    assert others == [200, 200]
    assert APIKey.objects.filter(owner=bob, revoked_at=None).count() == 1
    assert User.objects.get(pk=alice.pk).is_active is not disable


def test_enabling_again_revives_nothing(api: Api, alice: User) -> None:
    key, token = make_key(alice)[1], pair_of(alice).access_token
    owners.end_everything(owner=granted(alice), disable=True)
    set_active(user=alice, active=True)
    assert statuses(api, [key], [token]) == [401, 401]


def test_each_key_and_the_owner_have_an_event(alice: User, bob: User) -> None:
    for name in ("first", "second"):
        make_key(alice, name)
    pair_of(alice)
    before = len(events())
    owners.end_everything(owner=granted(alice), reason=" laptop stolen ", actor=bob, disable=True)
    assert events()[before:] == [
        ("session:ended", "bob", "Alice", "1 ended: everything ended"),
        ("user:everything_ended", "bob", "Alice", "laptop stolen"),
        ("user:disabled", "bob", "Alice", ""),
        ("api_key:revoked", "bob", "first", "laptop stolen"),
        ("api_key:revoked", "bob", "second", "laptop stolen"),
    ]
    keys = APIKey.objects.values_list("pk", "revoked_reason")
    assert set(AuditEvent.objects.filter(event="api_key:revoked").values_list("subject_id", "reason")) == set(keys)


def test_a_second_time_revokes_nothing_and_keeps_the_first_reason(alice: User) -> None:
    make_key(alice)
    owners.end_everything(owner=granted(alice), reason="first")
    assert owners.end_everything(owner=granted(alice), reason="second") == (0, 0)
    assert APIKey.objects.get().revoked_reason == "first"


def test_keys_are_revoked_in_batches_of_bounded_size(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(owners, "BATCH", 10)
    rows = APIKey.objects.bulk_create(
        APIKey(owner=alice, name=f"key {number}", expires_at=timezone.now()) for number in range(25)
    )
    sizes, record_all = [], owners.audit.record_all

    def record(*arguments: Any, **options: Any) -> None:
        sizes.append(len(options["subjects"]))
        record_all(*arguments, **options)

    monkeypatch.setattr(owners.audit, "record_all", record)
    with CaptureQueriesContext(connection) as queries:
        assert owners.revoke_all(owner=alice) == len(rows)
    assert sizes == [10, 10, 5]
    writes = [query["sql"].split()[0] for query in queries if query["sql"].split()[0] in {"UPDATE", "INSERT"}]
    assert writes == ["UPDATE", "INSERT"] * 3
    assert AuditEvent.objects.filter(event="api_key:revoked").count() == 25


def run(*arguments: str) -> str:
    err = StringIO()
    call_command("end_everything", *arguments, stderr=err)
    return err.getvalue()


def test_the_command_says_what_it_ended(alice: User) -> None:
    make_key(alice)
    make_key(alice)
    pair_of(alice)
    assert run("--user", "alice", "--reason", "leaked") == "Ended everything of Alice: 2 API keys, 1 sessions.\n"
    assert {*APIKey.objects.values_list("revoked_reason", flat=True)} == {"leaked"}
    sentence = "Ended everything of Alice: 0 API keys, 0 sessions; the user is disabled.\n"
    assert run("--user", "ALICE@example.com", "--disable") == sentence
    assert not User.objects.get().is_active


def test_the_command_takes_service_accounts(db: None) -> None:
    robot = get_or_create_service_account(name="robot")
    make_key(robot)
    assert run("--user", "robot").startswith("Ended everything of robot (service account): 1 API keys,")
    assert (Secret.objects.count(), Session.objects.count()) == (1, 0)
