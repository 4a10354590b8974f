"""``manage.py grant_role`` and ``revoke_role``: done and recorded, or one sentence and nothing changed."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection, connections

from accounts.models import Scope, User
from accounts.services import roles
from audit.models import AuditEvent
from tests.audit.conftest import events
from tests.factories import UserFactory, granted, make_role

pytestmark = pytest.mark.django_db
ROOT = Path(__file__).resolve().parents[2]


def run(*arguments: str) -> str:
    """Run a command that says nothing on stdout and return what it says beside it."""
    out, err = StringIO(), StringIO()
    call_command(*arguments, stdout=out, stderr=err)
    assert out.getvalue() == ""
    return err.getvalue()


def refusal(*arguments: str) -> str:
    """Run a command that fails and return its sentence, after seeing that nothing has changed."""
    before = state()
    with pytest.raises(CommandError) as error:
        run(*arguments)
    assert state() == before
    sentence = str(error.value)
    assert "\n" not in sentence
    return sentence


def state() -> list[Any]:
    """Return who has which role, what roles grant, and the record."""
    members, grants = User.groups.through.objects.values_list, Scope.roles.through.objects.values_list
    roles = Group.objects.order_by("name").values_list("name", flat=True)
    held = members("user__username", "group__name").order_by("id")
    return [list(roles), list(held), list(grants("group__name", "scope__name").order_by("id")), events()]


def grants_of(user: User) -> tuple[tuple[str, ...], frozenset[str]]:
    """Return the roles and scopes of a user, read anew."""
    found = granted(user)
    assert found is not None
    return found.roles, found.scopes


@pytest.mark.parametrize("name", ["alice", "ALICE", "alice@example.com"])
def test_a_role_is_given_and_recorded(alice: User, name: str) -> None:
    assert run("grant_role", name, "admin") == "Alice has the role admin.\n"
    assert grants_of(alice) == (("admin",), frozenset())
    assert events() == [("role:granted", "manage.py", "Alice", "admin")]


def test_a_role_that_is_missing_is_made_and_granted_its_scopes(alice: User) -> None:
    scopes = ["--scope", "reports:read", "--scope=tokens:introspect", "--scope", "reports:read"]
    assert run("grant_role", "alice", "auditor", *scopes) == "Alice has the role auditor.\n"
    assert grants_of(alice) == (("auditor",), {"reports:read", "tokens:introspect"})
    assert events() == [
        ("role:changed", "manage.py", "auditor", "grants reports:read"),
        ("role:changed", "manage.py", "auditor", "grants tokens:introspect"),
        ("role:granted", "manage.py", "Alice", "auditor"),
    ]


def test_giving_it_again_changes_and_records_nothing(alice: User) -> None:
    run("grant_role", "alice", "auditor", "--scope", "reports:read")
    before = state()
    assert run("grant_role", "alice", "auditor", "--scope", "reports:read") == "Alice has the role auditor.\n"
    assert state() == before


def test_more_scopes_come_to_those_that_the_role_grants(alice: User, bob: User) -> None:
    make_role("auditor", "reports:read").user_set.add(bob)
    run("grant_role", "alice", "auditor", "--scope", "tokens:introspect")
    assert grants_of(bob) == grants_of(alice) == (("auditor",), {"reports:read", "tokens:introspect"})
    assert [event for event, *_ in events()] == ["role:changed", "role:granted"]


def test_a_role_is_taken_away_and_recorded_once(alice: User, bob: User) -> None:
    make_role("auditor", "reports:read").user_set.add(alice, bob)
    assert run("revoke_role", "Alice", "auditor") == "Alice no longer has the role auditor.\n"
    assert run("revoke_role", "Alice", "auditor") == "Alice did not have the role auditor.\n"
    assert grants_of(alice) == ((), frozenset())
    assert grants_of(bob) == (("auditor",), {"reports:read"})
    assert events() == [("role:taken_away", "manage.py", "Alice", "auditor")]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        pytest.param(["grant_role", "nobody", "admin"], "There is no user 'nobody'.", id="user"),
        pytest.param(["grant_role", "", "admin"], "There is no user ''.", id="no name"),
        pytest.param(["grant_role", "no@example.com", "admin"], "There is no user 'no@example.com'.", id="address"),
        pytest.param(
            ["grant_role", "alice", "new", "--scope", "reports:write"], "There is no scope 'reports:write'.", id="scope"
        ),
        pytest.param(
            ["grant_role", "alice", "new", "--scope", "reports:read", "--scope", ""],
            "There is no scope ''.",
            id="empty",
        ),
        pytest.param(
            ["grant_role", "alice", "new", "--scope", "reports:read,tokens:introspect"],
            "There is no scope 'reports:read,tokens:introspect'.",
            id="two in one",
        ),
        pytest.param(["revoke_role", "nobody", "admin"], "There is no user 'nobody'.", id="revoke, user"),
        pytest.param(["revoke_role", "alice", "admni"], "There is no role 'admni'.", id="revoke, role"),
        pytest.param(["revoke_role", "alice", "ADMIN"], "There is no role 'ADMIN'.", id="revoke, another case"),
    ],
)
@pytest.mark.usefixtures("alice")
def test_what_does_not_exist_is_one_sentence_and_changes_nothing(arguments: list[str], sentence: str) -> None:
    assert refusal(*arguments) == sentence
    assert not Group.objects.filter(name="new").exists()


@pytest.mark.parametrize(
    "role",
    [
        pytest.param("", id="empty"),
        pytest.param("two words", id="a space, which separates the names of roles"),
        pytest.param("a,b", id="a comma, likewise"),
        pytest.param("-x", id="an option"),
        pytest.param("admin\n", id="a line break"),
        pytest.param("ådmin", id="beyond ASCII"),
        pytest.param("a" * 151, id="longer than its column"),
    ],
)
@pytest.mark.usefixtures("alice")
def test_a_role_that_cannot_be_named_so_is_not_made(role: str) -> None:
    assert refusal("grant_role", "alice", "--", role).endswith(".")
    assert Group.objects.count() == 1


def test_what_is_no_text_is_one_sentence(alice: User) -> None:
    assert refusal("grant_role", "\udcff", "admin") == "An argument has characters that are not text."
    assert refusal("revoke_role", "alice", "\udcff") == "An argument has characters that are not text."


@pytest.mark.django_db(transaction=True)
def test_from_the_shell_a_failure_is_one_line_on_stderr_and_status_1(tmp_path: Path) -> None:
    environment = {
        "SECRET_KEY": "x" * 40,
        "DATABASE_URL": f"sqlite:///{tmp_path}/none.sqlite3",
        "DJANGO_SETTINGS_MODULE": "authsvc.settings",
    }
    command = [sys.executable, "manage.py", "grant_role"]
    for arguments in (["x", "admin"], ["x"], ["x", "admin", "--scop", "y", "z"]):
        done = subprocess.run(
            [*command, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert (done.returncode, done.stdout) == (1, "")
        assert len(done.stderr.splitlines()) == 1


@pytest.mark.django_db(transaction=True)
def test_of_parallel_grants_of_one_role_one_is_recorded() -> None:
    users = [UserFactory() for _ in range(4)]

    def grant(number: int) -> None:
        roles.grant_role(user=users[number % 4], role=f"role{number // 16}", scopes=["reports:read"])
        connections.close_all()

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(grant, range(64))) == [None] * 64
    counted = AuditEvent.objects.filter(event="role:granted").count()
    assert (counted, User.groups.through.objects.count()) == (16, 16)
    assert AuditEvent.objects.filter(event="role:changed").count() == 4


@pytest.mark.django_db(transaction=True)
def test_of_parallel_takings_of_one_role_one_is_recorded() -> None:
    user = UserFactory()
    make_role("auditor").user_set.add(user)

    def take(_: int) -> bool:
        taken = roles.revoke_role(user=user, role="auditor")
        connection.close()
        return taken

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(take, range(16))) == 1
    assert [event for event, *_ in events()] == ["role:taken_away"]
