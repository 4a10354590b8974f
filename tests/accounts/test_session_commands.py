"""``manage.py end_sessions`` and ``clear_expired``: done, told and recorded, or one sentence and nothing changed."""

from __future__ import annotations

import subprocess
import sys
from datetime import datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.contrib.sessions.models import Session as ConsoleLogin
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection
from django.utils import timezone

from accounts.models import Lockout, RefreshToken, Session, SigningKey, User
from accounts.services import cleanup, signing_keys
from tests.accounts.conftest import at_once
from tests.audit.conftest import events
from tests.conftest import Api
from tests.factories import make_key, pair_of, token_of

pytestmark = pytest.mark.django_db
ROOT = Path(__file__).resolve().parents[2]
NOTHING = "Removed 0 sessions, 0 operators' logins, 0 lockouts, 0 signing keys.\n"


def run(*arguments: str) -> tuple[str, str]:
    """Run a command and return what it says on stdout and beside it."""
    out, err = StringIO(), StringIO()
    call_command(*arguments, stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


# --- end_sessions ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["Alice", "alice", "ALICE@example.com"])
def test_the_sessions_of_a_user_end_and_nobody_elses(api: Api, alice: User, bobs_token: str, name: str) -> None:
    pairs = [pair_of(alice), pair_of(alice)]
    before = len(events())
    assert run("end_sessions", "--user", name) == ("", "Sessions of Alice ended: 2.\n")
    tokens = [*(pair.access_token for pair in pairs), bobs_token]
    assert [api.get("/auth/me", token=token).status_code for token in tokens] == [401, 401, 200]
    assert api.post("/auth/refresh", {"refresh_token": pairs[0].refresh_token}).status_code == 401
    assert events()[before:] == [("session:ended", "manage.py", "Alice", "2 ended: ended by an operator")]


def test_keys_stay_where_sessions_end(api: Api, alice: User) -> None:
    token, key = token_of(alice), make_key(alice)[1]
    run("end_sessions", "--user", "alice")
    assert api.get("/auth/me", token=token).status_code == 401
    assert api.get("/protected/service", key=key).status_code == 200


def test_where_no_session_is_left_nothing_is_recorded(alice: User) -> None:
    token_of(alice)
    run("end_sessions", "--user", "alice")
    before = len(events())
    assert run("end_sessions", "--user", "alice") == ("", "Sessions of Alice ended: 0.\n")
    assert len(events()) == before


def test_the_user_logs_in_again_at_once(api: Api, alice: User) -> None:
    token_of(alice)
    run("end_sessions", "--user", "alice")
    assert api.get("/auth/me", token=token_of(alice)).status_code == 200


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        pytest.param("nobody", "There is no user 'nobody'.", id="unknown"),
        pytest.param("", "There is no user ''.", id="no name"),
        pytest.param("no@example.com", "There is no user 'no@example.com'.", id="unknown address"),
        pytest.param("\udcff", "An argument has characters that are not text.", id="no text"),
    ],
)
def test_a_user_who_does_not_exist_is_one_sentence_and_nobodys_session_ends(
    api: Api, alices_token: str, name: str, sentence: str
) -> None:
    before = len(events())
    with pytest.raises(CommandError) as error:
        run("end_sessions", "--user", name)
    assert (str(error.value), len(events())) == (sentence, before)
    assert api.get("/auth/me", token=alices_token).status_code == 200


# --- clear_expired --------------------------------------------------------------------------------------------------


def add_sessions(user: User, number: int, **columns: Any) -> list[int]:
    """Store sessions in a state, and return their ids."""
    pairs = [pair_of(user) for _ in range(number)]
    ids = list(Session.objects.order_by("-id").values_list("pk", flat=True)[: len(pairs)])
    Session.objects.filter(pk__in=ids).update(**columns)
    return ids


def add_lockout(key: str, ends_at: datetime, failures: int = 5) -> None:
    Lockout.objects.create(key=key, address="192.0.2.1", failures=failures, limit=5, ends_at=ends_at)


def test_what_has_had_its_time_goes_and_what_lives_stays(api: Api, alice: User, settings: Any) -> None:
    now, token = timezone.now(), token_of(alice)
    kept = set(Session.objects.values_list("pk", flat=True))
    add_sessions(alice, 2, ended_at=now)
    add_sessions(alice, 1, expires_at=now - timedelta(seconds=1))
    add_lockout("past", now - timedelta(seconds=1))
    add_lockout("present", now + timedelta(minutes=5))
    ConsoleLogin.objects.create(session_key="past", session_data="", expire_date=now - timedelta(seconds=1))
    ConsoleLogin.objects.create(session_key="present", session_data="", expire_date=now + timedelta(hours=1))
    settings.JWT_ALGORITHM = "ES256"
    for _ in range(2):
        signing_keys.rotate()
    retired = SigningKey.objects.exclude(retires_at=None)
    assert retired.update(retires_at=now - timedelta(seconds=1)) == 1
    out, _ = run("clear_expired")
    assert out == "Removed 3 sessions, 1 operators' logins, 1 lockouts, 1 signing keys.\n"
    assert set(Session.objects.values_list("pk", flat=True)) == kept
    assert [row.key for row in Lockout.objects.all()] == ["present"]
    assert [row.session_key for row in ConsoleLogin.objects.all()] == ["present"]
    assert list(SigningKey.objects.values_list("retires_at", flat=True)) == [None]
    settings.JWT_ALGORITHM = "HS256"
    assert api.get("/auth/me", token=token).status_code == 200


def test_refresh_tokens_go_with_their_sessions_and_the_live_ones_go_on(api: Api, alice: User) -> None:
    pair = pair_of(alice)
    add_sessions(alice, 3, ended_at=timezone.now())
    run("clear_expired", "--quiet")
    assert RefreshToken.objects.count() == 1
    assert api.post("/auth/refresh", {"refresh_token": pair.refresh_token}).status_code == 200


def test_the_tokens_of_a_session_that_was_removed_stay_refused(api: Api, alice: User) -> None:
    pair = pair_of(alice)
    run("end_sessions", "--user", "alice")
    run("clear_expired", "--quiet")
    assert api.get("/auth/me", token=pair.access_token).status_code == 401
    answers = [api.post(f"/auth/{what}", {"refresh_token": pair.refresh_token}) for what in ("refresh", "logout")]
    assert [answer.status_code for answer in answers] == [401, 401]


def test_the_record_stays(alice: User) -> None:
    add_sessions(alice, 3, ended_at=timezone.now())
    before = events()
    run("clear_expired", "--quiet")
    assert events() == before


def test_rows_go_in_batches_and_the_progress_is_told_beside_the_result(
    alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cleanup, "BATCH", 2)
    add_sessions(alice, 5, ended_at=timezone.now())
    for number in range(3):
        add_lockout(str(number), timezone.now())
    assert run("clear_expired") == (
        "Removed 5 sessions, 0 operators' logins, 3 lockouts, 0 signing keys.\n",
        "\rsessions: 2\rsessions: 4\rsessions: 5\n\rlockouts: 2\rlockouts: 3\n",
    )


def test_more_rows_than_one_look_finds_all_go(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cleanup, "BATCH", 2)
    monkeypatch.setattr(cleanup, "FOUND", 3)
    add_sessions(alice, 7, ended_at=timezone.now())
    assert list(dict(cleanup.expired())["sessions"]) == [2, 1, 2, 1, 1]


def test_rows_that_somebody_else_removes_meanwhile_are_not_counted_and_end_nothing(
    alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cleanup, "BATCH", 1)
    add_sessions(alice, 3, ended_at=timezone.now())
    found = dict(cleanup.expired())["sessions"]
    assert next(found) == 1
    Session.objects.order_by("pk").first().delete()  # type: ignore[union-attr]  # there are two
    assert list(found) == [1]


def test_quiet_is_quiet(alice: User) -> None:
    add_sessions(alice, 2, ended_at=timezone.now())
    assert run("clear_expired", "--quiet") == (
        "Removed 2 sessions, 0 operators' logins, 0 lockouts, 0 signing keys.\n",
        "",
    )
    assert run("clear_expired", "--quiet") == (NOTHING, "")


def test_where_there_is_nothing_to_remove_one_line_says_so() -> None:
    assert run("clear_expired") == (NOTHING, "")
    assert events() == []


def test_one_batch_goes_after_the_other(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cleanup, "BATCH", 2)
    add_sessions(alice, 5, ended_at=timezone.now())
    found = dict(cleanup.expired())["sessions"]
    assert (next(found), Session.objects.count()) == (2, 3)
    assert (next(found), Session.objects.count()) == (2, 1)


def test_a_lockout_that_begins_anew_between_the_look_and_the_deletion_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    past = timezone.now() - timedelta(seconds=1)
    for key in ("over", "begins anew"):
        add_lockout(key, past)
    found = dict(cleanup.expired())["lockouts"]
    looked: list[str] = []

    def begin_anew(execute: Any, sql: str, parameters: Any, many: bool, context: Any) -> Any:
        if sql.startswith("DELETE") and not looked:
            looked.append(sql)
            Lockout.objects.filter(key="begins anew").update(ends_at=timezone.now() + timedelta(minutes=15))
        return execute(sql, parameters, many, context)

    with connection.execute_wrapper(begin_anew):
        assert list(found) == [1]
    assert (len(looked), [row.key for row in Lockout.objects.all()]) == (1, ["begins anew"])


@pytest.mark.django_db(transaction=True)
def test_two_at_once_and_logins_beside_them_are_all_well(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cleanup, "BATCH", 3)
    add_sessions(alice, 20, ended_at=timezone.now())

    def use() -> int:
        pair = pair_of(alice)
        return int(Api().post("/auth/refresh", {"refresh_token": pair.refresh_token}).status_code)

    clear = [lambda: run("clear_expired", "--quiet")[0].startswith("Removed ")] * 2
    assert at_once([*clear, *[use] * 6]) == [True, True, *[200] * 6]
    assert (Session.objects.count(), Session.objects.filter(ended_at=None).count()) == (6, 6)


# --- From the shell -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(["end_sessions"], id="no user"),
        pytest.param(["end_sessions", "--user"], id="user without a name"),
        pytest.param(["end_sessions", "--user", "x", "--all"], id="unknown option"),
        pytest.param(["end_sessions", "--user", "x"], id="no tables"),
        pytest.param(["clear_expired", "sessions"], id="argument too many"),
        pytest.param(["clear_expired"], id="no tables to clear"),
    ],
)
def test_from_the_shell_a_failure_is_one_line_on_stderr_and_status_1(tmp_path: Path, arguments: list[str]) -> None:
    environment = {
        "SECRET_KEY": "x" * 40,
        "DATABASE_URL": f"sqlite:///{tmp_path}/none.sqlite3",
        "DJANGO_SETTINGS_MODULE": "authsvc.settings",
    }
    done = subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert len(done.stderr.splitlines()) == 1
