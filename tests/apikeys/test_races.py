"""What happens when many do the same at once: threads, each with a connection of its own, on a real database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from accounts.models import User
from apikeys import keys, last_use, services
from apikeys.models import APIKey, Secret
from apikeys.queries import key_by_digest
from audit.models import AuditEvent
from authsvc.request.context import NONE
from tests.apikeys.conftest import CarolsKey, in_parallel
from tests.conftest import Api
from tests.factories import make_key, token_of

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def used(key: APIKey) -> datetime | None:
    """Return when a key was last used, as it is stored."""
    return APIKey.objects.values_list("last_used_at", flat=True).get(pk=key.pk)


def test_of_twenty_revocations_at_once_exactly_one_revokes(carols_key: CarolsKey) -> None:
    key, _ = carols_key
    results = in_parallel([partial(services.revoke_key, key=key, reason=f"reason {number}") for number in range(20)])
    once = APIKey.objects.values().get(pk=key.pk)
    assert sorted(results) == [False] * 19 + [True]
    assert once["revoked_reason"] == f"reason {results.index(True)}"
    assert services.revoke_key(key=key, reason="later") is False
    assert APIKey.objects.values().get(pk=key.pk) == once


def test_of_ten_deletions_at_once_all_are_content(carol: User, carols_key: CarolsKey) -> None:
    token, path = token_of(carol), f"/keys/{carols_key[0].pk}"
    answers = in_parallel([partial(Api().delete, path, token=token)] * 10)
    assert [answer.status_code for answer in answers] == [204] * 10
    assert Api().get("/protected/service", key=carols_key[1]).status_code == 401


def test_of_ten_first_uses_at_once_all_are_let_in_and_one_is_noted(carols_key: CarolsKey) -> None:
    key, plaintext = carols_key
    answers = in_parallel([partial(Api().get, "/protected/service", key=plaintext)] * 10)
    first = used(key)
    assert [answer.status_code for answer in answers] == [200] * 10
    assert first is not None
    assert Api().get("/protected/service", key=plaintext).status_code == 200
    assert used(key) == first


def note(plaintext: str, moments: list[datetime]) -> datetime | None:
    """Note a use at each of some moments, all at once, and return the moment that is stored in the end."""
    copies = [copy for _ in moments if (copy := key_by_digest(keys.digest(plaintext)))]
    in_parallel(
        [
            partial(last_use.update_last_use, key=copy, now=moment, context=NONE)
            for copy, moment in zip(copies, moments, strict=True)
        ]
    )
    return used(copies[0])


@pytest.mark.parametrize("seconds", [1, 59], ids=lambda seconds: f"within {seconds} s")
def test_uses_within_a_minute_that_are_noted_out_of_order_leave_one_note(carols_key: CarolsKey, seconds: int) -> None:
    moments = [NOON + timedelta(seconds=seconds * number / 8) for number in range(8)]
    noted = note(carols_key[1], moments)
    assert noted in moments
    assert note(carols_key[1], [NOON - timedelta(days=1), NOON - timedelta(hours=1)]) == noted
    assert AuditEvent.objects.filter(event="api_key:first_used", subject_id=carols_key[0].pk).count() == 1


def test_a_later_use_is_never_overwritten_by_an_earlier_one_that_comes_late(carols_key: CarolsKey) -> None:
    moments = [NOON + timedelta(minutes=5 * number) for number in range(8)]
    # Whichever comes first, the last of all moments gets through, and none that comes after it.
    assert note(carols_key[1], moments) == moments[-1]
    assert carols_key[0].secrets.get().last_used_at == moments[-1]


def test_uses_during_a_revocation_do_not_undo_it(carol: User, carols_key: CarolsKey) -> None:
    key, plaintext = carols_key
    use = partial(Api().get, "/protected/service", key=plaintext)
    answers = in_parallel([use, use, partial(Api().delete, f"/keys/{key.pk}", token=token_of(carol)), use, use])
    assert answers.pop(2).status_code == 204
    assert {answer.status_code for answer in answers} <= {200, 401}
    assert Api().get("/protected/service", key=plaintext).status_code == 401
    assert APIKey.objects.get(pk=key.pk).is_revoked


def test_renames_during_a_revocation_do_not_undo_it(carol: User, carols_key: CarolsKey) -> None:
    key, path, token = carols_key[0], f"/keys/{carols_key[0].pk}", token_of(carol)
    renames = [partial(Api().patch, path, {"name": f"name {number}"}, token=token) for number in range(4)]
    answers = in_parallel([*renames, partial(Api().delete, path, token=token)])
    assert answers.pop().status_code == 204
    assert {answer.status_code for answer in answers} <= {200, 409}
    assert APIKey.objects.get(pk=key.pk).is_revoked


def test_keys_made_at_once_are_all_different_and_all_open(carol: User) -> None:
    made = in_parallel([partial(make_key, carol, f"key {number}") for number in range(10)])
    assert len({plaintext for _, plaintext in made}) == len({key.pk for key, _ in made}) == 10
    assert Secret.objects.filter(api_key__owner=carol).count() == 10
    assert {Api().get("/protected/service", key=plaintext).status_code for _, plaintext in made} == {200}
