"""A guess that cannot be counted is not answered: right and wrong passwords need the same write."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.test import Client

from accounts.models import Lockout, User
from authsvc.problems import DATABASE_AWAY
from tests.accounts.conftest import at_once
from tests.conftest import Api
from tests.factories import PASSWORD, UserFactory, token_of

NEW = "another-horse-battery"


def refusing(verbs: tuple[str, ...]) -> Callable[..., Any]:
    """Return a database whose table of failures takes no such statement, as where the disk is full."""

    def execute(call: Any, sql: str, parameters: Any, many: bool, context: Any) -> Any:
        if "accounts_lockout" in sql and sql.split(maxsplit=1)[0] in verbs:
            raise OperationalError("could not extend file: No space left on device")
        return call(sql, parameters, many, context)

    return execute


@pytest.fixture(params=["never counted", "counted before"])
def full_disk(request: Any, api: Api, alice: User) -> Iterator[None]:
    """A database that can still read, and cannot count guesses."""
    if request.param == "counted before":
        api.post("/auth/login", {"username": "alice", "password": "wrong"})
    with connection.execute_wrapper(refusing(("INSERT", "UPDATE", "DELETE"))):
        yield


@pytest.mark.parametrize("password", [PASSWORD, "wrong"], ids=["right", "wrong"])
@pytest.mark.parametrize("name", ["alice", "alice@example.com", "nobody"])
def test_a_login_that_cannot_be_counted_is_503(api: Api, full_disk: None, name: str, password: str) -> None:
    response = api.post("/auth/login", {"username": name, "password": password})
    assert (response.status_code, response.json()["detail"]) == (503, DATABASE_AWAY)
    assert response["Retry-After"]


@pytest.mark.parametrize("password", [PASSWORD, "wrong"], ids=["right", "wrong"])
def test_a_login_to_the_console_that_cannot_be_counted_is_503(full_disk: None, alice: User, password: str) -> None:
    User.objects.filter(pk=alice.pk).update(is_staff=True)
    client = Client(raise_request_exception=False)
    answer = client.post("/admin/login/", {"username": "alice", "password": password})
    assert (answer.status_code, client.get("/admin/").status_code) == (503, 302)


@pytest.mark.parametrize("password", [PASSWORD, "wrong"], ids=["right", "wrong"])
@pytest.mark.parametrize("new", [NEW, "1"], ids=["strong", "weak"])
def test_a_change_of_password_that_cannot_be_counted_is_503(
    api: Api, alice: User, full_disk: None, password: str, new: str
) -> None:
    body = {"current_password": password, "new_password": new}
    assert api.post("/auth/password", body, token=token_of(alice)).status_code == 503
    assert User.objects.get(pk=alice.pk).check_password(PASSWORD)


@pytest.mark.parametrize("password", [PASSWORD, "wrong"], ids=["right", "wrong"])
def test_an_operators_own_change_of_password_that_cannot_be_counted_is_503(
    alice: User, full_disk: None, password: str
) -> None:
    User.objects.filter(pk=alice.pk).update(is_staff=True)
    client = Client(raise_request_exception=False)
    client.force_login(alice)
    body = {"old_password": password, "new_password1": NEW, "new_password2": NEW}
    assert client.post("/admin/password_change/", body).status_code == 503


def test_both_verdicts_write_the_same_rows_of_the_counters(api: Api, alice: User) -> None:
    for password in (PASSWORD, "wrong", PASSWORD):
        api.post("/auth/login", {"username": "alice", "password": password})
        assert set(Lockout.objects.values_list("user__username", "limit")) == {("Alice", 5), (None, 100)}
    assert set(Lockout.objects.values_list("failures", "limit")) == {(0, 5), (1, 100)}


def test_right_passwords_at_the_same_moment_all_log_in(committed: None) -> None:
    UserFactory(username="carol")
    body = {"username": "carol", "password": PASSWORD}
    statuses = at_once([lambda: Api().post("/auth/login", body).status_code] * 24)
    Lockout.objects.all().delete()
    assert statuses == [200] * 24
