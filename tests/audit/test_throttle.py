"""Refusals of a key: told once a minute for each key, reason and address, however many processes are asked."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.db import connection, transaction

from accounts.models import User
from apikeys.models import APIKey
from audit import services
from audit.events import Event
from audit.models import AuditEvent
from tests.audit.conftest import events
from tests.conftest import BAD_CREDENTIAL, Api
from tests.factories import make_key

NOON = 1_900_000_020.0  # the twentieth second of a minute


def refusals() -> list[tuple[str, str | None]]:
    """Return (reason, address) of each refusal told."""
    return list(AuditEvent.objects.filter(event="api_key:refused").order_by("id").values_list("reason", "address"))


def use(api: Api, key: str, address: str = "192.0.2.1") -> None:
    """Use a key that is refused."""
    api.client.defaults["REMOTE_ADDR"] = address
    assert api.get("/protected/service", key=key).json() == BAD_CREDENTIAL


@pytest.fixture
def disabled(alice: User) -> str:
    return make_key(alice, "disabled", expires_in_days=3650, is_enabled=False)[1]


def test_a_refusal_is_told_with_its_key_and_reason(api: Api, disabled: str) -> None:
    use(api, disabled)
    assert events()[-1] == ("api_key:refused", "", "disabled", "disabled")
    row = AuditEvent.objects.latest("id")
    assert (row.subject_type, row.subject_id, row.address) == ("apikey", APIKey.objects.get().pk, "192.0.2.1")


def test_within_a_minute_it_is_told_once_and_the_second_time_costs_no_write(
    api: Api, disabled: str, django_assert_num_queries: Any
) -> None:
    with time_machine.travel(NOON, tick=False) as clock:
        use(api, disabled)
        clock.shift(39)
        with django_assert_num_queries(1):
            use(api, disabled)
    assert refusals() == [("disabled", "192.0.2.1")]


def test_each_minute_it_is_told_anew(api: Api, disabled: str) -> None:
    with time_machine.travel(NOON, tick=False) as clock:
        for _ in range(3):
            use(api, disabled)
            use(api, disabled)
            clock.shift(60)
    assert refusals() == [("disabled", "192.0.2.1")] * 3


def test_another_process_does_not_tell_it_again(api: Api, disabled: str) -> None:
    with time_machine.travel(NOON, tick=False):
        for _ in range(3):
            use(api, disabled)
            services.written.items.clear()
    assert refusals() == [("disabled", "192.0.2.1")]


def test_another_address_reason_or_key_is_told_by_itself(api: Api, alice: User, disabled: str) -> None:
    with time_machine.travel(NOON, tick=False):
        use(api, disabled)
        use(api, disabled, "192.0.2.2")
        use(api, disabled, "2001:db8::1")
        use(api, disabled, "junk")
        use(api, make_key(alice, expires_in_days=3650, is_enabled=False)[1])
        APIKey.objects.update(is_enabled=True, expires_at=AuditEvent.objects.latest("id").at - timedelta(days=1))
        use(api, disabled)
    assert refusals() == [
        ("disabled", "192.0.2.1"),
        ("disabled", "192.0.2.2"),
        ("disabled", "2001:db8::1"),
        ("disabled", None),
        ("disabled", "192.0.2.1"),
        ("expired", "192.0.2.1"),
    ]


@pytest.mark.parametrize(
    "key",
    [pytest.param("junk", id="junk"), pytest.param("sk_" + "0" * 43 + "000000", id="a wrong checksum")],
)
@pytest.mark.django_db
def test_a_key_that_nobody_has_is_not_told(api: Api, key: str) -> None:
    use(api, key)
    assert events() == []


@pytest.mark.django_db(transaction=True)
def test_of_parallel_refusals_in_many_processes_one_is_told(api: Api) -> None:
    user = User.objects.create_user("racer", "racer@example.com")
    key = make_key(user, is_enabled=False)[0]

    def tell(_: int) -> None:
        services.written.items.clear()
        services.record_once_a_minute(Event.KEY_REFUSED, subject=key, reason="disabled")
        connection.close()

    with time_machine.travel(NOON, tick=False), ThreadPoolExecutor(8) as pool:
        assert list(pool.map(tell, range(40))) == [None] * 40
    assert refusals() == [("disabled", None)]


@pytest.mark.django_db(transaction=True)
def test_a_refusal_outlives_its_request_and_an_event_falls_with_its_change(api: Api) -> None:
    user = User.objects.create_user("keeper", "keeper@example.com")
    use(api, make_key(user, "disabled", is_enabled=False)[1])
    with transaction.atomic():
        services.record(Event.USER_CHANGED, subject=user)
        transaction.set_rollback(True)
    assert [event for event, *_ in events()] == ["api_key:issued", "api_key:refused"]


def test_a_flood_of_addresses_does_not_fill_the_memory() -> None:
    recent = services.Recent(3)
    assert [recent.add(item) for item in "aabcd"] == [False, True, False, False, False]
    assert list(recent.items) == ["b", "c", "d"]
    assert recent.add("a") is False
