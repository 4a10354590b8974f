"""A view that does not say who may call it is found before it is served, and lets nobody in besides."""

from collections.abc import Callable

import pytest
from django.conf import settings
from django.core.checks import ERROR, run_checks

from authsvc.config import checks
from authsvc.config.checks import TAG, clients_can_reach_the_service, every_view_declares_its_policy
from tests.authsvc.urls import SECRET
from tests.conftest import Api

HINT = "Say who may call it; for everybody, authentication_classes = [] and permission_classes = [AllowAny]."


def test_every_view_of_the_project_says_who_may_call_it() -> None:
    assert every_view_declares_its_policy() == []
    assert [message for message in run_checks(tags=[TAG]) if message.level >= ERROR] == []


@pytest.mark.usefixtures("broken")
def test_a_view_class_that_forgot_is_named_with_what_it_lacks_however_deep_its_route() -> None:
    found = [message for message in run_checks(tags=[TAG]) if message.level >= ERROR]
    sentences = [error.msg for error in found if error.obj.__name__ in {"Undeclared", "HalfDeclared", "Open", "Both"}]
    assert sentences == [
        "tests.authsvc.urls.Undeclared does not declare authentication_classes.",
        "tests.authsvc.urls.Undeclared does not declare permission_classes.",
        "tests.authsvc.urls.HalfDeclared does not declare permission_classes.",
    ]
    assert {(error.id, error.hint) for error in found} == {("authsvc.E001", HINT)}


@pytest.mark.usefixtures("broken")
def test_a_view_function_that_forgot_is_named_too() -> None:
    named = [error.obj.__name__ for error in every_view_declares_its_policy()]
    assert named.count("reads") == 2


@pytest.mark.usefixtures("broken")
@pytest.mark.parametrize("path", ["/undeclared", "/undeclared-function", "/nested/half-declared"])
def test_a_view_that_forgot_lets_nobody_in(api: Api, path: str) -> None:
    response = api.get(path)
    assert (response.status_code, response["Content-Type"]) == (403, "application/problem+json")
    assert SECRET not in response.content.decode()


@pytest.mark.django_db
@pytest.mark.parametrize("databases", [None, ["default"]])
def test_without_a_pooler_nothing_is_to_be_set_for_a_role(databases: list[str] | None) -> None:
    assert checks.poolers_leave_no_wait_without_an_end(databases) == []


def test_what_a_pooler_hinders_is_said_with_what_does_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(settings.DATABASES["default"], "USER", "auth")
    monkeypatch.setattr(checks.pooled, "missing_settings", lambda: {"lock_timeout": "5s", "jit": "off"})
    (found,) = checks.poolers_leave_no_wait_without_an_end(["default"])
    hint = "ALTER ROLE auth SET lock_timeout = '5s'; ALTER ROLE auth SET jit = 'off';"
    assert (found.id, found.hint) == ("authsvc.W002", hint)


@pytest.mark.usefixtures("database_away")
def test_a_database_that_is_away_is_no_finding_of_a_check() -> None:
    assert checks.poolers_leave_no_wait_without_an_end(["default"]) == []


@pytest.mark.parametrize(
    ("variables", "ids"),
    [
        pytest.param({}, ["authsvc.E010"], id="the default of PUBLIC_URL"),
        pytest.param({"PORT": "9000"}, ["authsvc.E010"], id="the default on another port"),
        pytest.param({"PUBLIC_URL": "https://auth.example.com"}, ["authsvc.W011"], id="a host that is not allowed"),
        pytest.param(
            {"PUBLIC_URL": "https://[2001:db8::1]/auth"}, ["authsvc.W011"], id="an address that is not allowed"
        ),
        pytest.param({"PUBLIC_URL": "https://[::1]:8443/auth"}, [], id="an address that is allowed"),
        pytest.param({"PUBLIC_URL": "https://a.example.com", "ALLOWED_HOSTS": ".example.com"}, [], id="allowed"),
        pytest.param({"PUBLIC_URL": "http://localhost", "HTTPS": "true"}, ["authsvc.W012"], id="HTTPS without a proxy"),
        pytest.param(
            {"PUBLIC_URL": "https://localhost", "HTTPS": "true", "TRUSTED_PROXIES": "1"}, [], id="HTTPS by a proxy"
        ),
    ],
)
def test_settings_that_do_not_agree_on_where_clients_come_in_are_found_before_deployment(
    use: Callable[..., None], variables: dict[str, str], ids: list[str]
) -> None:
    use(**variables)
    assert [message.id for message in clients_can_reach_the_service()] == ids
    assert not {"authsvc.E010", "authsvc.W011"} & {message.id for message in run_checks(tags=[TAG])}
