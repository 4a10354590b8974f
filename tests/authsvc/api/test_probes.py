"""Probes."""

from typing import Any

import pytest
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder

from tests.conftest import Api


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_process_that_is_up_says_so_without_asking_the_database(
    api: Api, method: str, django_assert_num_queries: Any, db: None
) -> None:
    with django_assert_num_queries(0):
        response = api.call(method, "/livez")
    assert response.status_code == 200
    assert response.content == {"GET": b'{"status": "ok"}', "HEAD": b""}[method]


@pytest.mark.usefixtures("db")
def test_a_process_with_its_database_in_order_is_ready(api: Api) -> None:
    response = api.get("/readyz")
    assert response.status_code == 200
    assert response.json() == {"status": "ok", "database": "ok", "migrations": "ok", "rate_limits": "memory"}


@pytest.mark.usefixtures("db")
def test_a_process_whose_database_lacks_a_migration_is_not_ready(api: Api) -> None:
    MigrationRecorder(connection).record_unapplied("accounts", "0002_roles_and_scopes")
    response = api.get("/readyz")
    assert response.json()["status"] == response.status_code == 503
    assert response.json()["detail"] == "The database lacks 1 migrations; run manage.py migrate."


@pytest.mark.usefixtures("db")
def test_a_migration_of_newer_code_does_not_stop_the_older_during_a_rollout(api: Api) -> None:
    MigrationRecorder(connection).record_applied("accounts", "9999_from_the_future")
    assert api.get("/readyz").status_code == 200


@pytest.mark.usefixtures("database_away")
def test_a_process_without_its_database_is_not_ready_but_up(api: Api) -> None:
    response = api.get("/readyz")
    assert response.json() == {
        "type": "about:blank",
        "title": "Service Unavailable",
        "status": 503,
        "detail": "The database cannot be reached.",
    }
    assert (response.status_code, api.get("/livez").status_code) == (503, 200)
