"""What threads with connections of their own do to one key at the same moment."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier, Event
from typing import Any

import pytest
from django.core import mail
from django.db import connection, connections, transaction
from django.utils import timezone

from accounts.models import User
from apikeys import keys, last_use, services, validators, views
from apikeys.models import APIKey, Secret
from apikeys.queries import key_by_digest
from audit.models import AuditEvent
from authsvc.mail import _outbox
from authsvc.request.context import NONE
from tests.conftest import BAD_CREDENTIAL, IMPATIENCE, Api
from tests.factories import make_key, token_of

OUTGOING = {
    "type": "about:blank",
    "title": "Forbidden",
    "status": 403,
    "detail": "An outgoing secret cannot rotate its key.",
}

pytestmark = pytest.mark.django_db(transaction=True)


def at_once(calls: list[Callable[[], Any]]) -> list[Any]:
    """Make calls at the same moment, each in a thread with a connection of its own, and return what they return."""
    barrier = Barrier(len(calls), timeout=30)

    def run(call: Callable[[], Any]) -> Any:
        barrier.wait()
        try:
            return call()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(calls)) as pool:
        return [future.result(60) for future in [pool.submit(run, call) for call in calls]]


def use(plaintext: str) -> int:
    return int(Api().get("/protected/service", key=plaintext).status_code)


def events(event: str) -> int:
    return AuditEvent.objects.filter(event=event).count()


def test_of_twenty_parallel_rotations_two_secrets_live_and_the_record_has_all(api: Api, alice: User) -> None:
    key, first = make_key(alice)
    token = token_of(alice)
    answers = at_once([lambda: Api().post(f"/keys/{key.pk}/rotate", {}, token=token)] * 20)
    plaintexts = [answer.json()["key"] for answer in answers]
    secrets = Secret.objects.filter(api_key=key)
    assert (len(set(plaintexts)), secrets.count(), events("api_key:rotated")) == (20, 21, 20)
    in_force = secrets.get(retires_at=None)
    assert bytes(in_force.digest) in {keys.digest(plaintext) for plaintext in plaintexts}
    assert Counter(use(plaintext) for plaintext in [first, *plaintexts]) == {200: 2, 401: 19}
    # Truthful: each rotation took over from the one before, so that the events make one chain from first to last.
    steps = dict(e.reason.split(" to ") for e in AuditEvent.objects.filter(event="api_key:rotated"))
    prefix, length = first[:11], 0
    while prefix in steps:
        prefix, length = steps[prefix], length + 1
    assert (prefix, length) == (in_force.prefix, 20)


@pytest.mark.parametrize("overlap", [0, 86_400], ids=["no overlap", "overlap"])
def test_of_parallel_rotations_by_the_key_itself_one_is_made(alice: User, overlap: int) -> None:
    key, first = make_key(alice)
    body = {"overlap_seconds": overlap}
    answers = at_once([lambda: Api().post(f"/keys/{key.pk}/rotate", body, key=first)] * 10)
    (made,) = [answer for answer in answers if answer.status_code == 201]
    refused = {answer.status_code for answer in answers if answer is not made}
    assert refused == {403 if overlap else 401}
    assert events("api_key:rotated") == 1
    assert Secret.objects.filter(api_key=key).count() == 2
    assert (use(made.json()["key"]), use(first)) == (200, 200 if overlap else 401)


@pytest.mark.parametrize(
    ("overlap", "status", "body"), [(0, 401, BAD_CREDENTIAL), (86_400, 403, OUTGOING)], ids=["no overlap", "overlap"]
)
def test_a_key_that_another_rotation_overtakes_is_refused_as_at_its_next_use(
    api: Api, alice: User, monkeypatch: pytest.MonkeyPatch, overlap: int, status: int, body: dict[str, Any]
) -> None:
    key, first = make_key(alice)
    parse = views.parse

    def overtaken(*arguments: Any) -> dict[str, Any]:
        """Read the body, while the owner rotates the key that has been let in."""
        monkeypatch.setattr(views, "parse", parse)
        rotated = Api().post(f"/keys/{key.pk}/rotate", {"overlap_seconds": overlap}, token=token_of(alice))
        assert rotated.status_code == 201
        return parse(*arguments)

    monkeypatch.setattr(views, "parse", overtaken)
    answer = api.post(f"/keys/{key.pk}/rotate", {"retire_old": "on_first_use"}, key=first)
    assert (answer.status_code, answer.json()) == (status, body)
    assert (events("api_key:rotated"), APIKey.objects.get().retire_on_first_use) == (1, False)


@pytest.mark.parametrize("overlap", [0, 86_400], ids=["no overlap", "overlap"])
def test_a_revocation_beside_rotations_wins_and_nothing_lives(api: Api, alice: User, overlap: int) -> None:
    token = token_of(alice)
    for _ in range(3):
        key, first = make_key(alice)
        path = f"/keys/{key.pk}"
        rotations: list[Callable[[], Any]] = [
            lambda path=path: Api().post(f"{path}/rotate", {"overlap_seconds": overlap}, token=token)  # type: ignore[misc]
        ] * 3
        *rotated, revoked = at_once([*rotations, lambda path=path: Api().delete(path, token=token)])  # type: ignore[misc]
        assert (revoked.status_code, {answer.status_code for answer in rotated} <= {201, 409}) == (204, True)
        plaintexts = [first, *(answer.json()["key"] for answer in rotated if answer.status_code == 201)]
        assert {use(plaintext) for plaintext in plaintexts} == {401}
        assert Secret.objects.filter(api_key=key).count() == len(plaintexts)
        assert api.get(path, token=token).json()["is_revoked"] is True


def test_of_twenty_first_uses_one_is_recorded_as_the_first(alice: User) -> None:
    key, plaintext = make_key(alice)
    assert at_once([lambda: use(plaintext)] * 20) == [200] * 20
    assert events("api_key:first_used") == 1
    assert APIKey.objects.get(pk=key.pk).last_used_at is not None


def test_of_twenty_first_uses_of_a_new_secret_one_ends_the_old(api: Api, alice: User) -> None:
    key, old = make_key(alice)
    body = {"retire_old": "on_first_use"}
    new = api.post(f"/keys/{key.pk}/rotate", body, token=token_of(alice)).json()["key"]
    assert at_once([lambda: use(new)] * 20) == [200] * 20
    assert (events("api_key:outgoing_secret_retired"), use(old), use(new)) == (1, 401, 200)


def test_a_use_beside_a_revocation_does_not_undo_it(api: Api, alice: User) -> None:
    token = token_of(alice)
    for _ in range(3):
        key, plaintext = make_key(alice)
        path = f"/keys/{key.pk}"
        uses: list[Callable[[], Any]] = [lambda plaintext=plaintext: use(plaintext)] * 4  # type: ignore[misc]
        *used, revoked = at_once([*uses, lambda path=path: Api().delete(path, token=token).status_code])  # type: ignore[misc]
        assert (revoked, set(used) <= {200, 401}) == (204, True)
        assert (use(plaintext), api.get(path, token=token).json()["is_revoked"]) == (401, True)


def test_a_use_beside_a_disabling_does_not_undo_it(api: Api, alice: User) -> None:
    token, off = token_of(alice), {"is_enabled": False}
    for _ in range(3):
        key, plaintext = make_key(alice)
        path = f"/keys/{key.pk}"
        uses: list[Callable[[], Any]] = [lambda plaintext=plaintext: use(plaintext)] * 4  # type: ignore[misc]
        *used, changed = at_once([*uses, lambda path=path: Api().patch(path, off, token=token).status_code])  # type: ignore[misc]
        assert (changed, set(used) <= {200, 401}) == (200, True)
        assert (use(plaintext), api.get(path, token=token).json()["is_enabled"]) == (401, False)


def test_of_parallel_reports_of_one_leak_one_revokes_and_tells_the_owner(alice: User) -> None:
    _, plaintext = make_key(alice)
    answers = at_once([lambda: Api().post("/keys/report", {"key": plaintext}).status_code] * 10)
    _outbox.submit(lambda: None).result(60)
    assert (answers, events("api_key:revoked_leak")) == ([202] * 10, 1)
    assert [message.to for message in mail.outbox] == [["alice@example.com"]]


def test_changes_of_different_fields_at_once_are_all_kept(api: Api, alice: User) -> None:
    key, _ = make_key(alice)
    path, token = f"/keys/{key.pk}", token_of(alice)
    changes: list[dict[str, Any]] = [{"name": "new"}, {"rate_limit": "5/day"}, {"metadata": {"a": 1}}]
    calls: list[Callable[[], Any]] = [
        *(lambda change=change: Api().patch(path, change, token=token).status_code for change in changes),  # type: ignore[misc]
        lambda: Api().post(f"{path}/rotate", {}, token=token).status_code,
    ]
    assert at_once(calls) == [200, 200, 200, 201]
    kept = api.get(path, token=token).json()
    assert (kept["name"], kept["rate_limit"], kept["metadata"]) == ("new", "5/day", {"a": 1})


def test_a_use_that_was_verified_late_does_not_turn_the_last_use_back(alice: User) -> None:
    key, plaintext = make_key(alice)
    early, late = key_by_digest(keys.digest(plaintext)), timezone.now()
    assert (use(plaintext), early is not None) == (200, True)
    used = APIKey.objects.get(pk=key.pk).last_used_at
    last_use.update_last_use(key=early, now=late, context=NONE)  # type: ignore[arg-type]
    row = APIKey.objects.get(pk=key.pk)
    assert (row.last_used_at, row.last_used_address) == (used, "127.0.0.1")
    assert Secret.objects.get(api_key=key).last_used_at == used


@pytest.mark.parametrize("hours", [1, None], ids=["again", "for the first time"])
def test_a_use_that_is_noted_while_its_key_is_rotated_waits_and_neither_fails(
    alice: User, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, hours: int | None
) -> None:
    key, plaintext = make_key(alice)
    began = timezone.now()
    for rows in (APIKey.objects.filter(pk=key.pk), Secret.objects.filter(api_key=key)):
        rows.update(last_used_at=hours and began - timedelta(hours=hours))
    rotating, days = Event(), validators.clean_days

    def held(number: int) -> int:
        """Stop the rotation, which has the key's row by now and not yet the secrets', until the use has come to it."""
        rotating.set()
        time.sleep(0.5)
        return days(number)

    def late_use() -> int:
        rotating.wait(30)
        return use(plaintext)

    monkeypatch.setattr(validators, "clean_days", held)
    rotate: Callable[[], Any] = lambda: services.rotate_key(key=key, expires_in_days=5)  # noqa: E731
    new, status = at_once([rotate, late_use])
    assert (status, use(plaintext), use(new)) == (200, 200, 200)
    assert [record.message for record in caplog.records if record.levelname != "INFO"] == []
    assert began < APIKey.objects.get(pk=key.pk).last_used_at  # type: ignore[operator]
    assert began < Secret.objects.get(api_key=key, retires_at__isnull=False).last_used_at  # type: ignore[operator]


def test_a_use_that_a_second_rotation_overtakes_ends_nothing_new(api: Api, alice: User) -> None:
    key, _ = make_key(alice)
    path, body, token = f"/keys/{key.pk}/rotate", {"retire_old": "on_first_use"}, token_of(alice)
    second = api.post(path, body, token=token).json()["key"]
    overtaken, when = key_by_digest(keys.digest(second)), timezone.now()  # a request that has read its row, so far
    third = api.post(path, body, token=token).json()["key"]
    services.retire_outgoing(key=overtaken, now=when)  # type: ignore[arg-type]
    assert [use(second), use(third), use(second)] == [200, 200, 401]
    assert events("api_key:outgoing_secret_retired") == 1  # the first secret was ended by the second rotation


def test_of_two_first_uses_one_ends_the_outgoing_secret(api: Api, alice: User) -> None:
    key, _ = make_key(alice)
    second = api.post(f"/keys/{key.pk}/rotate", {"retire_old": "on_first_use"}, token=token_of(alice)).json()["key"]
    late, when = key_by_digest(keys.digest(second)), timezone.now()  # a request that has read its row, so far
    assert use(second) == 200
    ended = Secret.objects.get(api_key=key, retires_at__isnull=False).retires_at
    services.retire_outgoing(key=late, now=when)  # type: ignore[arg-type]
    assert Secret.objects.get(api_key=key, retires_at__isnull=False).retires_at == ended
    assert events("api_key:outgoing_secret_retired") == 1


@pytest.mark.parametrize("rotated", [False, True], ids=["", "the first use after a rotation"])
@pytest.mark.parametrize("hours", [1, None], ids=["again", "for the first time"])
def test_a_good_key_is_not_refused_because_its_use_cannot_be_written_down_just_now(
    api: Api, alice: User, caplog: pytest.LogCaptureFixture, hours: int | None, rotated: bool
) -> None:
    key, plaintext = make_key(alice)
    if rotated:
        body = {"retire_old": "on_first_use"}
        plaintext = api.post(f"/keys/{key.pk}/rotate", body, token=token_of(alice)).json()["key"]
    last = hours and timezone.now() - timedelta(hours=hours)
    held, answered = Event(), Event()
    APIKey.objects.update(last_used_at=last)

    def hold() -> None:
        with transaction.atomic():
            APIKey.objects.update(last_used_at=last)
            Secret.objects.update(last_used_at=last)
            held.set()
            answered.wait(30)

    def impatient() -> int:
        held.wait(30)
        with connection.cursor() as cursor:
            cursor.execute(IMPATIENCE[connection.vendor])
        try:
            return use(plaintext)
        finally:
            answered.set()

    assert at_once([hold, impatient])[1] == 200
    assert "the use of a key could not be recorded" in caplog.text
    assert APIKey.objects.get(pk=key.pk).last_used_at == last
    assert events("api_key:outgoing_secret_retired") == 0
    assert (use(plaintext), events("api_key:first_used")) == (200, 0 if last else 1)
    assert APIKey.objects.get(pk=key.pk).last_used_at != last
    assert events("api_key:outgoing_secret_retired") == rotated
