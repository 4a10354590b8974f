"""Errors: one shape for whatever a view raises, wherever it raises it, and nothing in it that is not for the caller."""

from typing import Any

import pytest

from authsvc import problems
from tests.authsvc.urls import SECRET
from tests.conftest import BAD_CREDENTIAL, NO_CREDENTIAL, NOT_FOUND, Api
from tests.factories import UserFactory

NOT_GRANTED = "The credential is good, but it does not grant this."
AWAY = "The database cannot be reached; try again shortly."
FAILED = "The service failed; the operator's log has the request's id."
BEARER, KEY = 'Bearer realm="authsvc"', 'ApiKey realm="authsvc"'

pytestmark = pytest.mark.usefixtures("broken")


def problem_of(response: Any) -> dict[str, Any]:
    """Return a response's problem document, after checking that it is one and says the response's own status."""
    assert response["Content-Type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    assert (body["type"], body["status"]) == ("about:blank", response.status_code)
    return body


@pytest.mark.parametrize(
    ("path", "status", "title", "detail"),
    [
        pytest.param("/open/operational", 503, "Service Unavailable", AWAY, id="database away"),
        pytest.param("/open/interface", 503, "Service Unavailable", AWAY, id="connection closed"),
        pytest.param("/open/programming", 500, "Internal Server Error", FAILED, id="own failure"),
        pytest.param("/open/denied", 403, "Forbidden", NOT_GRANTED, id="denied"),
        pytest.param("/open/denied by django", 403, "Forbidden", NOT_GRANTED, id="denied by Django"),
        pytest.param("/open/denied with a reason", 403, "Forbidden", "Only on Sundays.", id="denied with a reason"),
        pytest.param("/closed/denied", 403, "Forbidden", "Only on Sundays.", id="denied by a permission's message"),
        pytest.param("/open/absent", 404, "Not Found", NOT_FOUND["detail"], id="Http404"),
        pytest.param("/open/not found", 404, "Not Found", NOT_FOUND["detail"], id="NotFound"),
        pytest.param("/open/not acceptable", 406, "Not Acceptable", "Nobody reads that.", id="any other"),
        pytest.param("/open/bad request", 400, "Bad Request", "The request is not valid.", id="Django's bad request"),
        pytest.param("/plain/operational", 503, "Service Unavailable", AWAY, id="plain: database away"),
        pytest.param("/plain/interface", 503, "Service Unavailable", AWAY, id="plain: connection closed"),
        pytest.param("/plain/programming", 500, "Internal Server Error", FAILED, id="plain: own failure"),
        pytest.param("/plain/denied by django", 403, "Forbidden", NOT_GRANTED, id="plain: denied"),
        pytest.param("/plain/absent", 404, "Not Found", NOT_FOUND["detail"], id="plain: absent"),
        pytest.param("/plain/bad request", 400, "Bad Request", "The request is not valid.", id="plain: bad request"),
        pytest.param("/nowhere", 404, "Not Found", NOT_FOUND["detail"], id="unknown path"),
        pytest.param("/auth/me/", 404, "Not Found", NOT_FOUND["detail"], id="trailing slash"),
        pytest.param("/%ff%00%f0", 404, "Not Found", NOT_FOUND["detail"], id="path that is no UTF-8"),
        pytest.param(f"/{'a/' * 4000}", 404, "Not Found", NOT_FOUND["detail"], id="long path"),
    ],
)
def test_whatever_goes_wrong_is_answered_with_a_problem_of_one_sentence(
    api: Api, path: str, status: int, title: str, detail: str
) -> None:
    response = api.get(path)
    assert problem_of(response) == {"type": "about:blank", "title": title, "status": status, "detail": detail}
    assert response["X-Request-ID"]
    assert SECRET not in response.content.decode()


@pytest.mark.parametrize("path", ["/open/operational", "/plain/operational"])
def test_a_database_that_is_away_says_when_to_come_back_and_tells_the_operator_no_more_than_its_kind(
    api: Api, caplog: pytest.LogCaptureFixture, path: str
) -> None:
    assert api.get(path)["Retry-After"] == "5"
    (told,) = [record.getMessage() for record in caplog.records if record.name == "authsvc.problems"]
    assert told == "database away: OperationalError"


@pytest.mark.usefixtures("database_away")
@pytest.mark.parametrize("path", ["/auth/login", "/auth/signup"])
def test_a_database_that_cannot_be_reached_is_503(api: Api, path: str) -> None:
    person = {"username": "a", "password": "correct-horse-battery"}
    response = api.post(path, {**person, **{"/auth/signup": {"email": "a@example.com"}}.get(path, {})})
    assert problem_of(response)["detail"] == AWAY
    assert (response.status_code, response["Retry-After"]) == (503, "5")


@pytest.mark.usefixtures("database_away")
def test_a_database_away_behind_the_admins_session_is_503_too(api: Api) -> None:
    api.client.cookies["authsvc_session"] = "a" * 32
    assert problem_of(api.get("/admin/"))["detail"] == AWAY
    assert api.get("/livez").status_code == 200


@pytest.mark.parametrize(
    ("failure", "errors"),
    [
        pytest.param("validation", [("body", "invalid", "Two things clash.")], id="Django's, of the whole"),
        pytest.param("coded", [("body", "clash", "Two things clash.")], id="Django's, with a code"),
        pytest.param(
            "by field",
            [("a", "invalid", "One."), ("a", "invalid", "Two."), ("b", "third", "Three.")],
            id="Django's, by field",
        ),
        pytest.param(
            "nested",
            [("a.b", "invalid", "Deep."), ("c.d", "invalid", "In a list."), ("body", "invalid", "All.")],
            id="DRF's, nested",
        ),
        pytest.param("plain", [("body", "plain", "Plain.")], id="DRF's, of the whole"),
    ],
)
def test_each_single_fault_is_named_by_field_code_and_message(
    api: Api, failure: str, errors: list[tuple[str, str, str]]
) -> None:
    body = problem_of(api.get(f"/open/{failure}"))
    assert body == {
        "type": "about:blank",
        "title": "Bad Request",
        "status": 400,
        "detail": "The request has fields that are not valid.",
        "errors": [dict(zip(("field", "code", "message"), error, strict=True)) for error in errors],
    }


@pytest.mark.parametrize(
    ("path", "challenge"),
    [
        pytest.param("/open/bearer", f'{BEARER}, error="invalid_token"', id="no scheme of its own, bearer"),
        pytest.param("/open/credential in the body", BEARER, id="in the body"),
        pytest.param("/both/bearer", f'{BEARER}, error="invalid_token", {KEY}', id="bearer"),
        pytest.param("/both/key", f"{BEARER}, {KEY}", id="key"),
        pytest.param("/both/credential in the body", f"{BEARER}, {KEY}", id="in the body, both accepted"),
    ],
)
def test_every_bad_credential_reads_the_same_and_the_challenge_tells_what_is_accepted(
    api: Api, path: str, challenge: str
) -> None:
    response = api.get(path)
    assert problem_of(response) == BAD_CREDENTIAL
    assert response["WWW-Authenticate"] == challenge


def test_a_credential_that_was_not_sent_is_told_apart(api: Api) -> None:
    response = api.get("/both/nothing sent")
    assert problem_of(response) == NO_CREDENTIAL
    assert response["WWW-Authenticate"] == f"{BEARER}, {KEY}"


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "OPTIONS", "TRACE", "BREW"])
def test_a_method_that_a_view_lacks_is_answered_with_those_that_it_has(api: Api, method: str) -> None:
    response = api.call(method, "/auth/login")
    body = problem_of(response)
    assert (body["title"], body["detail"]) == ("Method Not Allowed", f'Method "{method}" not allowed.')
    assert response["Allow"] == "POST"


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/openapi.json", "/docs", "/redoc"])
def test_a_method_that_a_plain_view_lacks_is_a_problem_too(api: Api, path: str) -> None:
    response = api.post(path, {})
    assert (response.status_code, response["Allow"]) == (405, "GET, HEAD")
    assert problem_of(response)["title"] == "Method Not Allowed"


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "local host", "", "127.0.0.1:80:80", "@"])
@pytest.mark.parametrize("path", ["/openapi.json", "/auth/me", "/nowhere", "/admin/"])
def test_another_host_is_refused_with_a_problem_that_does_not_repeat_it(api: Api, host: str, path: str) -> None:
    response = api.get(path, headers={"Host": host})
    detail = "The service does not answer under this Host."
    assert problem_of(response) == {"type": "about:blank", "title": "Bad Request", "status": 400, "detail": detail}
    assert response.status_code == 400


def refused_hosts(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what was logged of refused hosts."""
    return [record.getMessage() for record in caplog.records if record.name == "authsvc.problems"]


@pytest.mark.parametrize("path", ["/auth/me", "/admin/", "/docs"])
def test_a_host_that_is_refused_is_logged_once_with_the_name_of_the_setting(
    api: Api, caplog: pytest.LogCaptureFixture, path: str
) -> None:
    hosts = ["auth.example.com", "Auth.Example.COM.:8443", "10.0.0.7:8000", "[2001:DB8::7]:8000", "10.0.0.7"]
    assert {api.get(path, headers={"Host": host}).status_code for host in hosts} == {400}
    assert refused_hosts(caplog) == [
        f"requests for {name} are refused: it is not one of ALLOWED_HOSTS"
        for name in ("auth.example.com", "10.0.0.7", "[2001:db8::7]")
    ]


@pytest.mark.parametrize(
    "host",
    [
        *("", " ", "a b", "a_b", "a\tb", "@", "a@b", "a/b", "a..b", ".a", ".", "[::1].", "[1]", "a:x", "a:123456"),
        *("é", "a" * 64, "a." * 131, f"sk_{'a' * 49}"),
    ],
)
def test_a_host_that_is_no_name_is_refused_and_not_logged(
    api: Api, caplog: pytest.LogCaptureFixture, host: str
) -> None:
    assert api.get("/auth/me", headers={"Host": host}).status_code == 400
    assert refused_hosts(caplog) == []


def test_a_request_without_a_host_is_refused_and_not_logged(
    api: Api, caplog: pytest.LogCaptureFixture, settings: Any
) -> None:
    settings.ALLOWED_HOSTS = ["auth.example.com"]
    assert api.get("/auth/me").status_code == 400
    assert refused_hosts(caplog) == []


def test_a_flood_of_hosts_is_logged_up_to_a_bound(
    api: Api, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(problems, "MOST_HOSTS", 3)
    assert {api.get("/auth/me", headers={"Host": f"{n}.example"}).status_code for n in range(5)} == {400}
    assert len(refused_hosts(caplog)) == len(problems.refused_hosts) == 3


def test_a_body_that_django_itself_finds_too_large_is_413(api: Api) -> None:
    response = api.post("/plain/reads", b"a" * (1024 * 1024 + 1))
    assert problem_of(response)["title"] == "Content Too Large"
    assert response.status_code == 413


@pytest.mark.django_db
@pytest.mark.parametrize(("path", "status"), [("/admin/accounts/user/", 403), ("/admin/nowhere/", 404)])
def test_the_admin_answers_people_in_html(api: Api, path: str, status: int) -> None:
    api.client.force_login(UserFactory(is_staff=True))
    response = api.get(path)
    assert response.status_code == status
    assert response["Content-Type"].startswith("text/html")
