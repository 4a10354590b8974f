"""What is told of a request: a line in the log and a few counts, with the route and never the address."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from django.test import Client
from prometheus_client.parser import text_string_to_metric_families

from accounts.models import User
from tests.conftest import Api
from tests.factories import PASSWORD, UserFactory, make_key, pair_of, token_of


def told(api: Api) -> dict[tuple[str, ...], float]:
    """Return what /metrics tells, by name and labels."""
    response = api.get("/metrics")
    assert (response.status_code, response["Content-Type"].split(";")[0]) == (200, "text/plain")
    families = text_string_to_metric_families(response.content.decode())
    return {
        (sample.name, *sorted(sample.labels.values())): sample.value for family in families for sample in family.samples
    }


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Any:
    """Return the lines of the requests since it was called last, each as the fields that it adds."""
    caplog.set_level(logging.INFO, "authsvc.telemetry.access")

    def read() -> list[dict[str, Any]]:
        names = ("method", "route", "status", "user_id", "key_id")
        found = [record for record in caplog.records if record.name == "authsvc.telemetry.access"]
        assert all(isinstance(record.milliseconds, float) for record in found)  # type: ignore[attr-defined]
        rows = [{name: getattr(record, name) for name in names} for record in found]
        caplog.clear()
        return rows

    return read


def line(route: str, status: int, user: Any = None, key: Any = None, method: str = "GET") -> dict[str, Any]:
    return {"method": method, "route": route, "status": status, "user_id": user, "key_id": key}


def test_each_request_is_a_line_with_who_came_by_what(api: Api, alice: User, lines: Any) -> None:
    key, plaintext = make_key(alice)
    token, of_key = token_of(alice), api.post("/auth/token", key=plaintext).json()["access_token"]
    lines()
    api.get("/protected/user", token=token)
    api.get("/protected/service", key=plaintext)
    api.get("/protected/any", token=of_key)
    api.get("/auth/verify", key=plaintext)
    api.get("/protected/user")
    assert lines() == [
        line("/protected/user", 200, alice.pk),
        line("/protected/service", 200, alice.pk, key.pk),
        line("/protected/any", 200, alice.pk, str(key.pk)),
        line("/auth/verify", 200, alice.pk, key.pk),
        line("/protected/user", 401),
    ]


def test_an_address_is_told_by_its_route_and_what_has_none_not_at_all(api: Api, alice: User, lines: Any) -> None:
    key, plaintext = make_key(alice)
    for path in (f"/keys/{key.pk}", f"/{plaintext}", f"/keys/{plaintext}", f"/livez?key={plaintext}", "/static/x.js"):
        api.get(path, token=token_of(alice))
    assert [row["route"] for row in lines()] == ["/keys/<int:key_id>", "unknown", "unknown", "/livez", "unknown"]


@pytest.mark.django_db
def test_an_operator_is_told_in_the_console(api: Api, lines: Any) -> None:
    root = UserFactory(username="root", is_staff=True, is_superuser=True)
    api.client.force_login(root)
    api.get("/admin/")
    Client().get("/admin/")
    assert lines() == [line("/admin/", 200, root.pk), line("/admin/", 302)]


def test_at_a_lower_level_there_is_no_line(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "authsvc.telemetry.access")
    assert api.get("/livez").status_code == 200
    assert caplog.records == []


@pytest.mark.parametrize(
    ("sent", "labels"),
    [
        pytest.param("a token", ("jwt", "ok"), id="a token"),
        pytest.param("a key", ("api_key", "ok"), id="a key"),
        pytest.param("a bad token", ("jwt", "refused"), id="a bad token"),
        pytest.param("a bad key", ("api_key", "refused"), id="a bad key"),
        pytest.param("no scope", ("api_key", "forbidden"), id="no scope"),
        pytest.param("no more", ("api_key", "limited"), id="no more"),
        pytest.param("another scheme", ("none", "refused"), id="another scheme"),
    ],
)
def test_a_verification_is_counted_by_how_it_ended(api: Api, alice: User, sent: str, labels: tuple[str, str]) -> None:
    _, plaintext = make_key(alice)
    _, limited = make_key(alice, rate_limit="1/hour")
    calls: dict[str, dict[str, Any]] = {
        "a token": {"token": token_of(alice)},
        "a key": {"key": plaintext},
        "a bad token": {"token": "junk"},
        "a bad key": {"key": "junk"},
        "no scope": {"key": plaintext},
        "no more": {"key": limited},
        "another scheme": {"headers": {"Authorization": "Basic eDp5"}},
    }
    if sent == "no more":
        api.get("/auth/verify", key=limited)
    name = ("authsvc_verifications_total", *sorted(labels))
    before = told(api).get(name, 0)
    api.get(f"/auth/verify{'?scope=reports:read' if sent == 'no scope' else ''}", **calls[sent])
    assert told(api)[name] == before + 1


def test_requests_and_their_time_are_counted_by_route(api: Api) -> None:
    names = [("authsvc_requests_total", "/livez", "200"), ("authsvc_request_seconds_count", "/livez")]
    before = [told(api).get((name, *sorted(labels)), 0) for name, *labels in names]
    assert api.get("/livez").status_code == 200
    after = [told(api)[(name, *sorted(labels))] for name, *labels in names]
    assert after == [count + 1 for count in before]


def test_logins_and_revocations_are_counted(api: Api, alice: User) -> None:
    names = [
        *(("authsvc_logins_total", outcome) for outcome in ("ok", "failed", "locked_out")),
        *(("authsvc_revocations_total", kind) for kind in ("api_key", "session")),
    ]
    before = [told(api).get(name, 0) for name in names]
    key, _ = make_key(alice)
    token = token_of(alice)
    statuses = [
        api.post("/auth/login", {"username": "alice", "password": word}).status_code
        for word in (PASSWORD, *["wrong"] * 5, PASSWORD)
    ]
    assert statuses == [200, *[401] * 5, 429]
    pair_of(alice)
    assert [api.delete(f"/keys/{key.pk}", token=token).status_code for _ in range(2)] == [204, 204]
    assert api.delete("/auth/sessions", token=token).status_code == 204
    assert [told(api)[name] - count for name, count in zip(names, before, strict=True)] == [1, 5, 1, 1, 3]


@pytest.mark.parametrize(("url", "up"), [("", 1), ("redis://127.0.0.1:1/0", 0)], ids=["memory", "Redis away"])
def test_it_is_told_whether_limits_can_be_counted(api: Api, alice: User, settings: Any, url: str, up: int) -> None:
    settings.REDIS_URL = url
    before = told(api)
    api.get("/auth/verify", key=make_key(alice, rate_limit="9/hour")[1])
    after = told(api)
    assert after[("authsvc_rate_limit_backend_up",)] == up
    uncounted = ("authsvc_rate_limit_uncounted_total",)
    assert after[uncounted] - before[uncounted] == 1 - up


def test_metrics_are_read_only(api: Api) -> None:
    assert [api.call(method, "/metrics").status_code for method in ("HEAD", "POST", "DELETE")] == [200, 405, 405]
    assert api.get("/metrics")["Cache-Control"] == "no-store"
