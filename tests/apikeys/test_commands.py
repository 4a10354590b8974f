"""manage.py list_api_keys, and what all three commands have in common."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import connection

from accounts.models import User
from apikeys import services
from apikeys.models import APIKey
from tests.apikeys.conftest import CarolsKey, Manage, Ran
from tests.factories import make_key

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
UNKNOWN = "Error: there are arguments that this command does not know."
STATUS = "Error: argument --status: invalid choice: '***' (choose from 'active', 'expired', 'revoked')"
COMMANDS = [("issue_api_key", "--user", "carol", "--name", "x"), ("list_api_keys",), ("revoke_api_key", "1")]


@pytest.fixture
def three(carol: User) -> dict[str, CarolsKey]:
    """A key of Carol's of each status, by the status."""
    made = {status: make_key(carol, f"{status} key") for status in ("active", "expired", "revoked")}
    services.revoke_key(key=made["revoked"][0])
    APIKey.objects.filter(pk=made["expired"][0].pk).update(expires_at=LONG_AGO)
    return made


def test_the_list_is_a_table_newest_first_without_a_secret(manage: Manage, three: dict[str, CarolsKey]) -> None:
    ran = manage("list_api_keys")
    heading, *lines = ran.stdout.splitlines()
    assert heading.split() == ["id", "owner", "prefix", "status", "expires_at", "last_used_at", "name"]
    assert [line.split()[:4] for line in lines] == [
        [str(key.pk), "carol", plaintext[:11], status] for status, (key, plaintext) in reversed(three.items())
    ]
    assert {line.index("carol") for line in lines} == {heading.index("owner")}
    assert not [plaintext for _, plaintext in three.values() if plaintext[:12] in ran.stdout + ran.stderr]


@pytest.mark.parametrize("status", ["active", "expired", "revoked"])
def test_the_list_can_be_narrowed_to_a_status_and_a_user(
    manage: Manage, three: dict[str, CarolsKey], bob_too: User, status: str
) -> None:
    ran = manage("list_api_keys", "--status", status, "--user", "CAROL@example.com", "--json")
    (row,) = json.loads(ran.stdout)
    assert (row["id"], row["owner"], row["status"]) == (three[status][0].pk, "carol", status)
    assert set(row) == {
        "id", "owner", "name", "prefix", "scopes", "status", "is_enabled", "is_revoked", "allowed_ips", "rate_limit",
        "metadata", "created_at", "expires_at", "revoked_at", "last_used_at",
    }  # fmt: skip


@pytest.fixture
def bob_too(committed: None) -> User:
    """Somebody else with a key."""
    bob = User.objects.create_user("bob", "bob@example.com")
    make_key(bob)
    return bob


def test_nothing_to_list_is_a_heading_or_an_empty_array(manage: Manage, carol: User) -> None:
    assert manage("list_api_keys", "--user", "carol").stdout.split()[0] == "id"
    assert manage("list_api_keys", "--user", "carol", "--json") == Ran(0, "[]\n", "")


@pytest.mark.parametrize(
    "words",
    [
        ("issue_api_key",),
        ("issue_api_key", "--user", "carol"),
        ("issue_api_key", "--name", "x"),
        ("issue_api_key", "--user"),
        *((*command, "--wrong") for command in COMMANDS),
        *((*command, "one", "too", "many") for command in COMMANDS),
        ("list_api_keys", "--status", "lost"),
    ],
    ids=" ".join,
)
def test_wrong_arguments_are_one_sentence(manage: Manage, carol: User, words: tuple[str, ...]) -> None:
    ran = manage(*words)
    assert (ran.status, ran.stdout, len(ran.stderr.splitlines())) == (1, "", 1)
    assert "usage:" not in ran.stderr
    assert not carol.api_keys.exists()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("list_api_keys", "--user", "KEY"), "There is no user '***'."),
        (("list_api_keys", "--status", "KEY"), STATUS),
        (("list_api_keys", "--KEY"), UNKNOWN),
        (("list_api_keys", "KEY"), UNKNOWN),
        (("issue_api_key", "--user", "KEY", "--name", "x"), "There is no user '***'."),
        (("issue_api_key", "--user", "carol", "--name", "x", "--scope", "KEY"), "There is no scope '***'."),
        (
            ("issue_api_key", "--user", "carol", "--name", "x", "--expires-in-days", "KEY"),
            "--expires-in-days must be a whole number, not '***'.",
        ),
        (("rotate_api_key", "ID", "--overlap", "KEY"), "--overlap must be a whole number, not '***'."),
        (("rotate_api_key", "KEY"), "ID must be a whole number: the key's id, not the key."),
        (("end_everything", "--user", "KEY"), "There is no user '***'."),
        (("end_sessions", "--user", "KEY"), "There is no user '***'."),
        (("grant_role", "KEY", "admin"), "There is no user '***'."),
        (("revoke_role", "carol", "KEY"), "There is no role '***'."),
        (("prune_audit", "--older-than", "KEY"), "--older-than must be a whole number, not '***'."),
        (
            ("after_restore", "--revocations", "KEY"),
            "The file '***' cannot be read: No such file or directory.",
        ),
    ],
    ids=lambda value: "" if isinstance(value, str) else " ".join(value),
)
def test_a_key_in_a_wrong_argument_is_not_repeated(
    manage: Manage, carols_key: CarolsKey, words: tuple[str, ...], sentence: str
) -> None:
    key, plaintext = carols_key
    ran = manage(*(word.replace("KEY", plaintext).replace("ID", str(key.pk)) for word in words))
    assert ran == Ran(1, "", f"{sentence}\n")


@pytest.mark.usefixtures("database_away")
@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: words[0])
def test_a_database_that_is_away_is_one_sentence(manage: Manage, words: tuple[str, ...]) -> None:
    ran = manage(*words)
    assert (ran.status, ran.stdout, len(ran.stderr.splitlines())) == (1, "", 1)
    assert ran.stderr.startswith("The database cannot be used: ")


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: words[0])
def test_a_database_that_nobody_has_migrated_is_one_sentence(
    manage: Manage, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    connection.close()
    options = {**connection.settings_dict["OPTIONS"], "options": "-c search_path=nowhere"}
    empty = {"sqlite": ("NAME", str(tmp_path / "empty.sqlite3")), "postgresql": ("OPTIONS", options)}
    with monkeypatch.context() as patch:
        patch.setitem(connection.settings_dict, *empty[connection.vendor])
        ran = manage(*words)
    assert (ran.status, ran.stdout, len(ran.stderr.splitlines())) == (1, "", 1)
    assert ran.stderr.startswith("The database lacks a table ")
