"""How often a key is used: counted in memory, written in batches, read by the owner."""

from __future__ import annotations

import atexit
import threading
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.db import connection
from django.test import Client
from django.utils import timezone

from accounts.models import User
from apikeys import usage
from apikeys.models import APIKey, Outcome, Secret, Usage
from authsvc.config.startup import serving
from tests.apikeys.test_rotation_races import at_once
from tests.conftest import NOT_FOUND, Api, errors_of
from tests.factories import make_key, make_role, token_of

NOW = datetime(2027, 1, 1, 23, 59, 59, tzinfo=UTC)
TODAY = NOW.date()
NONE = dict.fromkeys(("ok", "expired", "revoked", "disabled", "scope", "limited", "address"), 0)


def counted_day() -> date:
    """Return the day that uses are counted on now."""
    return timezone.now().date()


@pytest.fixture
def clock() -> Iterator[Any]:
    """A clock that only the test moves."""
    with time_machine.travel(NOW, tick=False) as clock:
        yield clock


@pytest.fixture
def key(clock: Any, alice: User) -> tuple[APIKey, str]:
    return make_key(alice)


def call(api: Api, plaintext: str, path: str = "/protected/service") -> int:
    return int(api.get(path, key=plaintext).status_code)


def usage_of(api: Api, key: APIKey, query: str = "") -> Any:
    response = api.get(f"/keys/{key.pk}/usage{query}", token=token_of(key.owner))
    assert response.status_code == 200, response.json()
    return response.json()


def stored() -> dict[tuple[int, date, str], int]:
    return {(row.api_key_id, row.day, row.outcome): row.count for row in Usage.objects.all()}


def test_a_key_that_was_never_used_has_thirty_days_of_nothing(api: Api, key: tuple[APIKey, str]) -> None:
    days = [{"day": f"{TODAY - timedelta(days=back)}", **NONE} for back in range(30)]
    nothing = {"last_used_at": None, "last_used_address": None, "outgoing_secret": None}
    assert usage_of(api, key[0]) == {**nothing, "days": days}
    assert stored() == {}


def test_uses_are_counted_by_how_they_ended(api: Api, clock: Any, alice: User) -> None:
    alice.groups.add(make_role("analyst", "reports:read"))
    key, plaintext = make_key(alice)
    rows = APIKey.objects.filter(pk=key.pk)

    def ends(status: int, **columns: Any) -> None:
        before = rows.values(*columns).get() if columns else {}
        rows.update(**columns)
        assert call(api, plaintext) == status
        rows.update(**before)

    ends(200)
    ends(200)
    ends(401, expires_at=NOW)
    ends(401, revoked_at=NOW)
    ends(401, is_enabled=False)
    ends(401, allowed_ips="192.0.2.1")
    ends(200, rate_limit="1/hour")
    ends(429, rate_limit="1/hour")
    assert call(api, plaintext, "/protected/reports") == 403
    User.objects.update(is_active=False)
    ends(401)
    User.objects.update(is_active=True)
    counts = {"ok": 3, "expired": 1, "revoked": 1, "disabled": 2, "scope": 1, "limited": 1, "address": 1}
    assert usage_of(api, key, "?days=1")["days"] == [{"day": f"{TODAY}", **counts}]


def test_the_outgoing_secret_is_shown_with_its_last_use_until_it_ends(api: Api, clock: Any, alice: User) -> None:
    key, old = make_key(alice)
    api.post(f"/keys/{key.pk}/rotate", {"overlap_seconds": 600}, token=token_of(alice))
    ending = {"prefix": old[:11], "retires_at": "2027-01-02T00:09:59Z"}
    unused = {"last_used_at": None, "last_used_address": None}
    assert usage_of(api, key)["outgoing_secret"] == {**ending, **unused}
    clock.shift(60)
    Client(REMOTE_ADDR="2001:db8::9").get("/protected/service", headers={"X-API-Key": old})
    used = {"last_used_at": "2027-01-02T00:00:59Z", "last_used_address": "2001:db8::9"}
    assert usage_of(api, key)["outgoing_secret"] == {**ending, **used}
    clock.shift(540)
    assert usage_of(api, key)["outgoing_secret"] is None
    call(api, old)
    assert usage_of(api, key, "?days=1")["days"] == [{"day": "2027-01-02", **NONE, "ok": 1, "revoked": 1}]


def test_a_day_ends_at_midnight_utc(api: Api, clock: Any, key: tuple[APIKey, str]) -> None:
    assert call(api, key[1]) == 200
    clock.shift(1)
    assert [call(api, key[1]), call(api, key[1])] == [200, 200]
    assert usage_of(api, key[0], "?days=2")["days"] == [
        {"day": "2027-01-02", **NONE, "ok": 2},
        {"day": "2027-01-01", **NONE, "ok": 1},
    ]


def test_a_request_that_midnight_overtakes_leaves_no_day_below_nothing(clock: Any, key: tuple[APIKey, str]) -> None:
    usage.count(key[0], Outcome.OK, timezone.now())
    clock.shift(1)
    usage.on_permission_refused(credential=key[0])
    usage.flush()
    assert min(stored().values()) >= 0
    assert sum(stored().values()) == 1


@pytest.mark.parametrize(("query", "days"), [("", 30), ("?days=1", 1), ("?days=366", 366)])
def test_the_window_is_as_long_as_was_asked_for(api: Api, key: tuple[APIKey, str], query: str, days: int) -> None:
    found = usage_of(api, key[0], query)["days"]
    assert len(found) == days
    assert (found[0]["day"], found[-1]["day"]) == (f"{TODAY}", f"{TODAY - timedelta(days=days - 1)}")


@pytest.mark.parametrize(
    ("days", "code"),
    [
        ("0", "min_value"),
        ("-1", "min_value"),
        ("367", "max_value"),
        *((junk, "invalid") for junk in ("x", "1.5", "1e2", "%00", "%ED%A0%80", "null")),
        ("9" * 5000, "invalid"),
    ],
    ids=lambda value: value[:8],
)
def test_a_window_that_cannot_be_is_refused(api: Api, key: tuple[APIKey, str], days: str, code: str) -> None:
    response = api.get(f"/keys/{key[0].pk}/usage?days={days}", token=token_of(key[0].owner))
    assert errors_of(response) == [("days", code)]
    assert stored() == {}


def test_the_use_of_somebody_elses_key_is_not_found_and_a_key_does_not_read_its_own(
    api: Api, key: tuple[APIKey, str], bobs_token: str
) -> None:
    response = api.get(f"/keys/{key[0].pk}/usage", token=bobs_token)
    assert (response.status_code, response.json()) == (404, NOT_FOUND)
    assert api.get("/keys/999999999/usage", token=bobs_token).json() == NOT_FOUND
    assert api.get(f"/keys/{key[0].pk}/usage", key=key[1]).status_code == 401


def test_a_flush_is_one_statement_and_two_add_up(key: tuple[APIKey, str], django_assert_num_queries: Any) -> None:
    for amount in (2, 3):
        usage.counts.add(key[0].pk, counted_day(), "ok", amount)
        usage.counts.add(key[0].pk, counted_day(), "limited")
        with django_assert_num_queries(1):
            usage.flush()
    assert stored() == {(key[0].pk, TODAY, "ok"): 5, (key[0].pk, TODAY, "limited"): 2}
    with django_assert_num_queries(0):
        usage.flush()


def test_what_came_to_nothing_is_not_written(api: Api, key: tuple[APIKey, str]) -> None:
    assert call(api, key[1], "/protected/reports") == 403
    assert api.get("/protected/reports", token=token_of(key[0].owner)).status_code == 403  # no key, no count
    usage.flush()
    assert [f"{row.api_key_id == key[0].pk} {row}" for row in Usage.objects.all()] == [f"True {TODAY} scope: 1"]


def test_a_large_batch_is_written_in_several_statements(key: tuple[APIKey, str]) -> None:
    others = range(key[0].pk, key[0].pk + usage.ROWS_A_STATEMENT + 1)
    for key_id in others:
        usage.counts.add(key_id, counted_day(), "ok")
    usage.flush()
    assert stored() == {(key_id, TODAY, "ok"): 1 for key_id in others}


def test_a_key_that_is_gone_does_not_keep_the_others_from_being_written(
    api: Api, key: tuple[APIKey, str], bob: User
) -> None:
    other, plaintext = make_key(bob)
    assert [call(api, key[1]), call(api, plaintext)] == [200, 200]
    other.delete()
    usage.flush()
    assert stored()[key[0].pk, TODAY, "ok"] == 1
    assert usage_of(api, key[0], "?days=1")["days"][0]["ok"] == 1


def test_what_cannot_be_written_is_kept_for_the_next_time(
    api: Api, key: tuple[APIKey, str], caplog: pytest.LogCaptureFixture
) -> None:
    assert call(api, key[1]) == 200

    def fail(execute: Any, sql: str, parameters: Any, many: bool, context: Any) -> Any:
        return execute("SELECT 1 FROM no_such_table" if "apikeys_usage" in sql else sql, None, many, context)

    # A real error of the database; the savepoint stands for the autocommit that a process has outside tests.
    with connection.execute_wrapper(fail), pytest.raises(RuntimeError), atomic_that_fails():
        usage.flush()
    assert "usage could not be written and is kept" in caplog.text
    assert stored() == {}
    usage.counts.add(key[0].pk, counted_day(), "ok")
    usage.flush()
    assert stored() == {(key[0].pk, TODAY, "ok"): 2}


class atomic_that_fails:  # noqa: N801  reads as the context manager that it is
    """A savepoint that is rolled back by RuntimeError at its end."""

    def __enter__(self) -> None:
        from django.db import transaction  # noqa: PLC0415  used here alone

        self.atomic = transaction.atomic()
        self.atomic.__enter__()

    def __exit__(self, *raised: Any) -> None:
        error = RuntimeError("roll back")
        self.atomic.__exit__(RuntimeError, error, None)
        raise error


@pytest.mark.django_db(transaction=True)
def test_flushes_of_many_processes_at_once_add_up(alice: User) -> None:
    keys = [make_key(alice)[0].pk for _ in range(5)]
    today = datetime.now(UTC).date()

    def write() -> None:
        for key_id in reversed(keys):
            usage.counts.add(key_id, counted_day(), "ok")
        usage.write(sorted((key_id, today, "limited", 1) for key_id in keys))
        usage.flush()

    at_once([write] * 8)
    assert stored() == {(key_id, today, outcome): 8 for key_id in keys for outcome in ("ok", "limited")}
    assert usage.counts.take() == {}


@pytest.mark.django_db(transaction=True)
def test_a_connection_that_died_does_not_end_the_writing(alice: User) -> None:
    key, _ = make_key(alice)
    connection.ensure_connection()
    connection.connection.close()  # as a restart of the database does, which a thread between requests never hears of
    usage.counts.add(key.pk, counted_day(), "ok")
    usage.flush()
    usage.counts.add(key.pk, counted_day(), "ok")
    usage.flush()
    kept = usage.counts.take()
    connection.close()  # whatever came of it, the next test gets a good one
    assert list(Usage.objects.values_list("count", flat=True)) == [2]
    assert kept == {}


@pytest.mark.django_db(transaction=True)
def test_a_process_that_serves_writes_every_few_seconds_and_once_more_at_its_exit(
    alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, _ = make_key(alice)
    exits: list[tuple[Any, ...]] = []  # what Python would call at its exit, which this process has still far to go to
    monkeypatch.setattr(atexit, "register", lambda *call: exits.append(call))
    monkeypatch.setattr(usage, "FLUSH_SECONDS", 0.02)
    usage.counts.add(key.pk, counted_day(), "ok")
    serving.send(sender=None)
    ((finish, stop),) = exits
    (thread,) = (thread for thread in threading.enumerate() if thread.name == "usage")
    while usage.counts.counter:
        stop.wait(0.01)
    stop.set()
    thread.join(10)
    assert (thread.is_alive(), Usage.objects.get().count) == (False, 1)
    usage.counts.add(key.pk, counted_day(), "ok")
    finish(stop)
    assert Usage.objects.get().count == 2


@pytest.mark.usefixtures("database_away")
def test_a_process_that_stops_without_its_database_says_how_much_it_loses(caplog: pytest.LogCaptureFixture) -> None:
    usage.counts.add(1, counted_day(), "ok", 3)
    usage.counts.add(2, counted_day(), "scope", 2)
    usage.flush()
    usage.finish(threading.Event())
    assert usage.counts.pending() == 5
    messages = [record.getMessage() for record in caplog.records]
    assert [message.partition(":")[0] for message in messages] == [
        "usage could not be written and is kept",
        "5 uses of keys could not be written before the process stopped, and are lost",
    ]


@pytest.mark.usefixtures("committed")
def test_a_stop_does_not_wait_for_a_writing_that_hangs(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(usage, "LAST_SECONDS", 0.05)
    usage.counts.add(1, counted_day(), "ok", 3)
    usage.counts.take()
    with usage.writing:
        usage.finish(threading.Event())
    usage.counts.__init__()  # type: ignore[misc]  # the next test begins with nothing
    assert [record.getMessage() for record in caplog.records] == [
        "3 uses of keys could not be written before the process stopped, and are lost"
    ]


def test_the_last_use_is_written_once_a_minute_and_forwards_only(api: Api, clock: Any, key: tuple[APIKey, str]) -> None:
    assert call(api, key[1]) == 200
    clock.shift(59.9)
    assert call(api, key[1]) == 200
    rows = (APIKey.objects.get(), Secret.objects.get())
    assert [row.last_used_at for row in rows] == [NOW, NOW]
    clock.shift(0.1)
    assert call(api, key[1]) == 200
    clock.shift(-120)
    assert call(api, key[1]) == 200
    rows = (APIKey.objects.get(), Secret.objects.get())
    assert [row.last_used_at for row in rows] == [NOW + timedelta(minutes=1)] * 2
    assert [row.last_used_address for row in rows] == ["127.0.0.1", "127.0.0.1"]
