"""Changes of one key by threads at the same moment: the record tells what the row went through, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from accounts.models import User
from apikeys import services
from apikeys.models import APIKey
from audit.models import AuditEvent
from tests.apikeys.test_rotation_races import at_once
from tests.conftest import Api
from tests.factories import granted, make_key, token_of

pytestmark = pytest.mark.django_db(transaction=True)


def told(*events: str) -> list[str]:
    """Return the events of these kinds, oldest first."""
    return list(AuditEvent.objects.filter(event__in=events).order_by("id").values_list("event", flat=True))


def test_of_parallel_switches_the_events_alternate_and_the_last_one_agrees_with_the_row(alice: User) -> None:
    key, _ = make_key(alice)
    path, token = f"/keys/{key.pk}", token_of(alice)
    for _ in range(3):
        switches: list[Callable[[], Any]] = [
            lambda enabled=enabled: Api().patch(path, {"is_enabled": enabled}, token=token)  # type: ignore[misc]
            for enabled in (False, True) * 6
        ]
        answers = at_once(switches)
        assert [(a.status_code, a.json()["is_enabled"]) for a in answers] == [(200, False), (200, True)] * 6
        events = told("api_key:enabled", "api_key:disabled")
        # The first that can change anything disables, and from there on each undoes the one before.
        assert events == [("api_key:disabled", "api_key:enabled")[n % 2] for n in range(len(events))]
        assert APIKey.objects.get(pk=key.pk).is_enabled == (len(events) % 2 == 0)


def test_of_parallel_changes_to_the_same_one_is_recorded(alice: User) -> None:
    key, _ = make_key(alice)
    token, body = token_of(alice), {"name": "new", "is_enabled": False}
    answers = at_once([lambda: Api().patch(f"/keys/{key.pk}", body, token=token).status_code] * 10)
    assert answers == [200] * 10
    assert told("api_key:changed", "api_key:disabled") == ["api_key:disabled", "api_key:changed"]


def test_a_change_is_told_from_what_the_row_is_and_not_from_what_was_read_before(alice: User) -> None:
    key, _ = make_key(alice)
    stale, owner = APIKey.objects.get(pk=key.pk), granted(alice)
    assert services.change_key(key=key, owner=owner, is_enabled=False, name="new") is True
    assert services.change_key(key=stale, owner=owner, is_enabled=False, rate_limit="5/day") is True
    assert (stale.name, stale.is_enabled, stale.rate_limit) == ("new", False, "5/day")
    reasons = AuditEvent.objects.filter(event="api_key:changed").order_by("id").values_list("reason", flat=True)
    assert (told("api_key:disabled"), list(reasons)) == (["api_key:disabled"], ["name", "rate_limit"])


@pytest.mark.parametrize(("before", "after"), [(1, True), (1, 1.0), (0, False), ([1], [True])])
def test_values_that_only_python_takes_for_the_same_are_a_change(
    api: Api, alice: User, before: Any, after: Any
) -> None:
    key, _ = make_key(alice, metadata={"a": before})
    response = api.patch(f"/keys/{key.pk}", {"metadata": {"a": after}}, token=token_of(alice))
    assert repr(response.json()["metadata"]) == repr({"a": after})
    assert repr(APIKey.objects.get(pk=key.pk).metadata) == repr({"a": after})
    assert told("api_key:changed") == ["api_key:changed"]
