"""What every answer carries: an id, safe headers; and what HTTPS, CORS and the admin's cookies change."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.conf import settings
from django.test import Client

from authsvc.web import middleware
from tests.conftest import Api
from tests.factories import UserFactory, granted

ORIGIN = "http://localhost:3000"
EVERYWHERE = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
PREFLIGHT = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization, x-api-key"}


def cors_of(response: Any) -> dict[str, str]:
    """Return the headers by which a browser decides."""
    return {name: value for name, value in response.headers.items() if name.lower().startswith("access-control-")}


@pytest.mark.parametrize("given", ["a", "A-z_0.9", "1" * 128, ".", "--"])
def test_a_well_formed_request_id_is_kept(api: Api, given: str) -> None:
    assert api.get("/livez", headers={"X-Request-ID": given})["X-Request-ID"] == given
    assert api.get("/nowhere", headers={"X-Request-ID": given})["X-Request-ID"] == given


@pytest.mark.parametrize(
    "given",
    [
        *("", " ", "1" * 129, "a b", "a\n", "a\r\nX-Evil: 1", "a/b", "\xe9", "\N{ARABIC-INDIC DIGIT THREE}", "a,b"),
        *(f"sk_{'a' * 49}", f"x-sk_{'a' * 49}-x", "eyJhbGciOi.eyJzdWIi.c2ln-_"),
    ],
)
def test_any_other_request_id_is_replaced(api: Api, given: str) -> None:
    replaced = api.get("/livez", headers={"X-Request-ID": given})["X-Request-ID"]
    assert re.fullmatch(r"[0-9a-f]{32}", replaced)
    assert replaced != given


def test_each_request_without_an_id_gets_one_of_its_own(api: Api) -> None:
    given = {api.get("/livez")["X-Request-ID"] for _ in range(5)}
    assert len(given) == 5
    assert all(re.fullmatch(r"[0-9a-f]{32}", request_id) for request_id in given)


@pytest.mark.parametrize(
    "path", ["/livez", "/auth/me", "/nowhere", "/openapi.json", "/auth/login", "/adminx/", "/docsx"]
)
def test_an_answer_of_the_api_may_not_run_be_framed_or_be_kept(api: Api, path: str) -> None:
    headers = api.get(path).headers
    assert headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert (headers["Cache-Control"], headers["X-Frame-Options"]) == ("no-store", "DENY")
    assert {name: headers[name] for name in EVERYWHERE} == EVERYWHERE


@pytest.mark.django_db
@pytest.mark.parametrize(("path", "inline"), [("/docs", False), ("/redoc", False), ("/admin/login/", True)])
def test_a_page_runs_scripts_of_this_site_only(api: Api, path: str, inline: bool) -> None:
    headers = api.get(path).headers
    policy = headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'self'; object-src 'none';")
    assert ("script-src 'self' 'unsafe-inline'" in policy) is inline
    assert {name: headers[name] for name in EVERYWHERE} == EVERYWHERE


def test_a_file_may_be_kept(api: Api) -> None:
    response = api.get("/static/authsvc/swagger.js")
    assert b"".join(response.streaming_content)
    assert (response.status_code, response["Cache-Control"]) == (200, "max-age=3600, public")
    assert "Content-Security-Policy" not in response.headers


@pytest.mark.parametrize("path", ["/auth/login", "/keys", "/protected/any", "/livez", "/nowhere"])
def test_a_page_of_an_allowed_origin_may_call_the_api(api: Api, path: str) -> None:
    response = api.call("OPTIONS", path, headers={"Origin": ORIGIN, **PREFLIGHT})
    allowed = cors_of(response)
    assert (response.status_code, allowed["access-control-allow-origin"]) == (200, ORIGIN)
    assert (response.content, "Content-Type" in response.headers) == (b"", False)
    assert {"authorization", "content-type", "x-api-key"} < set(allowed["access-control-allow-headers"].split(", "))
    assert "access-control-allow-credentials" not in allowed


@pytest.mark.parametrize(
    "name",
    [
        *("accept", "content-type", "traceparent", "tracestate", "baggage", "sentry-trace", "x-requested-with"),
        *("idempotency-key", "if-none-match"),
    ],
)
def test_a_page_may_send_what_tracing_and_fetch_wrappers_add(api: Api, name: str) -> None:
    headers = {"Origin": ORIGIN, **PREFLIGHT, "Access-Control-Request-Headers": name}
    allowed = cors_of(api.call("OPTIONS", "/auth/login", headers=headers))
    assert name in allowed["access-control-allow-headers"].split(", ")


def refused_origins(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what was logged of refused origins."""
    return [record.getMessage() for record in caplog.records if "CORS_ORIGINS" in record.getMessage()]


def test_an_origin_that_is_refused_is_logged_once_with_the_name_of_the_setting(
    api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    for origin in ["https://app.example.com", "https://app.example.com", "http://localhost:3001"]:
        api.call("OPTIONS", "/auth/login", headers={"Origin": origin, **PREFLIGHT})
        api.get("/auth/me", headers={"Origin": origin})
    assert refused_origins(caplog) == [
        f"browsers keep answers from pages of {origin}: it is not one of CORS_ORIGINS"
        for origin in ("https://app.example.com", "http://localhost:3001")
    ]


@pytest.mark.parametrize("origin", [ORIGIN, "http://testserver", "null", "junk", "http://a\tb", "http://" + "a" * 300])
def test_an_origin_that_is_allowed_or_our_own_or_none_is_not_logged(
    api: Api, caplog: pytest.LogCaptureFixture, origin: str
) -> None:
    api.get("/auth/me", headers={"Origin": origin, "Host": "testserver"})
    assert refused_origins(caplog) == []


def test_a_flood_of_origins_is_logged_up_to_a_bound(
    api: Api, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(middleware, "KNOWN_HOSTS", 3)
    for number in range(5):
        api.get("/auth/me", headers={"Origin": f"https://{number}.example.com"})
    assert len(refused_origins(caplog)) == 3


def test_a_page_of_an_allowed_origin_may_read_the_answers_headers(api: Api) -> None:
    allowed = cors_of(api.get("/auth/me", headers={"Origin": ORIGIN}))
    assert allowed["access-control-allow-origin"] == ORIGIN
    exposed = {"x-request-id", "link", "retry-after", "www-authenticate", "ratelimit", "ratelimit-policy"}
    assert set(allowed["access-control-expose-headers"].split(", ")) == exposed


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "null",
        "http://localhost:3001",
        "https://localhost:3000",
        "http://localhost:3000.evil.example",
        "http://evil.example#http://localhost:3000",
        "http://[",
        "*",
        "",
    ],
)
def test_a_page_of_another_origin_may_not(api: Api, origin: str) -> None:
    assert cors_of(api.call("OPTIONS", "/auth/login", headers={"Origin": origin, **PREFLIGHT})) == {}
    assert cors_of(api.get("/auth/me", headers={"Origin": origin})) == {}
    assert api.get("/auth/me", headers={"Origin": origin}).status_code == 401


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/admin/login/", "/static/authsvc/swagger.js"])
def test_no_page_of_another_site_may_read_the_admin(api: Api, path: str) -> None:
    response = api.get(path, headers={"Origin": ORIGIN})
    assert cors_of(response) == {}
    assert response.status_code == 200
    response.close()


def test_the_answer_differs_by_origin_so_that_no_cache_mixes_them_up(api: Api) -> None:
    assert "origin" in api.get("/auth/me")["Vary"].lower()
    assert "origin" in api.get("/auth/me", headers={"Origin": ORIGIN})["Vary"].lower()


@pytest.mark.django_db
def test_the_api_sets_no_cookie_and_takes_none_for_a_credential(api: Api, alice: Any) -> None:
    api.client.force_login(alice)
    response = api.get("/auth/me")
    assert (response.status_code, response.cookies) == (401, {})
    assert "cookie" not in response["Vary"].lower()


@pytest.mark.django_db
def test_the_admin_wants_a_csrf_token_and_the_api_none(api: Api) -> None:
    api.client.handler.enforce_csrf_checks = True
    assert (
        api.post("/admin/login/", "username=a&password=b", content_type="application/x-www-form-urlencoded").status_code
        == 403
    )
    assert api.post("/auth/login", {"username": "a", "password": "b"}).status_code == 401


@pytest.mark.django_db
@pytest.mark.parametrize("logged_in", [False, True])
def test_a_form_has_no_more_parts_than_fields(logged_in: bool, db: None) -> None:
    operator, most = Client(), settings.DATA_UPLOAD_MAX_NUMBER_FIELDS if logged_in else 100
    if logged_in:
        operator.force_login(granted(UserFactory(is_staff=True)))
    for count, status in ((most, 200), (most + 1, 400)):
        body = b"--a\r\n" * count + b"--a--"  # parts without a head
        path = "/admin/password_change/" if logged_in else "/admin/login/"
        answer = operator.generic("POST", path, body, "multipart/form-data; boundary=a")
        assert answer.status_code == status


def test_what_is_typed_in_the_console_is_in_no_address(db: None) -> None:
    operator = Client()
    operator.force_login(granted(UserFactory(is_staff=True, is_superuser=True)))
    assert "/admin/search/" not in operator.get("/admin/").content.decode()
    assert operator.get("/admin/search/?s=a&extended=1").status_code == 404


@pytest.mark.parametrize(("size", "status"), [(64 * 1024, 200), (64 * 1024 + 1, 413)])
def test_a_form_of_a_stranger_has_64_kib_at_most(size: int, status: int) -> None:
    form = b"username=" + b"a" * (size - len("username="))
    response = Client().generic("POST", "/admin/login/", form, "application/x-www-form-urlencoded")
    assert response.status_code == status


@pytest.mark.parametrize("path", ["/auth/me", "/docs", "/admin/", "/nowhere", "/livez/", "/livezx", "/x/readyz"])
def test_with_https_plain_http_is_sent_away(api: Api, use: Callable[..., None], path: str) -> None:
    use(HTTPS="true")
    response = api.get(path, headers={"X-Forwarded-Proto": "https"})
    assert (response.status_code, response["Location"]) == (301, f"https://testserver{path}")
    assert response["X-Request-ID"]


@pytest.mark.parametrize("path", ["/auth/login", "/keys?limit=1", "/nowhere"])
@pytest.mark.parametrize(
    ("method", "status"),
    [("GET", 301), ("HEAD", 301), ("POST", 308), ("PATCH", 308), ("DELETE", 308), ("OPTIONS", 308), ("BREW", 308)],
)
def test_with_https_a_program_is_sent_away_with_its_method_and_without_html(
    api: Api, use: Callable[..., None], method: str, status: int, path: str
) -> None:
    use(HTTPS="true")
    response = api.call(method, path, {"username": "a", "password": "b"})
    assert (response.status_code, response["Location"]) == (status, f"https://testserver{path}")
    assert (response.content, response["Content-Length"], "Content-Type" in response.headers) == (b"", "0", False)


def test_with_https_another_host_is_refused_like_anywhere(api: Api, use: Callable[..., None]) -> None:
    use(HTTPS="true")
    response = api.get("/auth/me", headers={"Host": "evil.example"})
    assert (response.status_code, response.json()["detail"]) == (400, "The service does not answer under this Host.")
    assert {name: response[name] for name in EVERYWHERE} == EVERYWHERE


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/livez", "/readyz", "/metrics"])
@pytest.mark.parametrize("host", ["10.0.0.7:8000", "[fd00::7]:8000", "localhost"])
def test_probes_and_scrapes_may_ask_a_process_by_its_address(api: Api, path: str, host: str) -> None:
    assert api.get(path, headers={"Host": host}).status_code == 200
    assert api.get(f"{path}/", headers={"Host": "10.0.0.7"}).status_code == 400


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/livez", "/readyz", "/metrics"])
def test_with_https_probes_may_come_over_plain_http(api: Api, use: Callable[..., None], path: str) -> None:
    use(HTTPS="true")
    response = api.get(path)
    assert response.status_code == 200
    assert "Strict-Transport-Security" not in response.headers


def test_with_https_browsers_are_told_to_stay_with_it(api: Api, use: Callable[..., None]) -> None:
    use(HTTPS="true")
    response = api.client.get("/auth/me", secure=True)
    assert response.status_code == 401
    assert response["Strict-Transport-Security"] == "max-age=31536000; includeSubDomains"


def test_the_proxys_word_on_the_scheme_counts_where_there_is_one(api: Api, use: Callable[..., None]) -> None:
    use(HTTPS="true", TRUSTED_PROXIES="1")
    assert api.get("/auth/me", headers={"X-Forwarded-Proto": "https"}).status_code == 401
    assert api.get("/auth/me", headers={"X-Forwarded-Proto": "http"}).status_code == 301
    assert api.get("/auth/me").status_code == 301


@pytest.mark.django_db
def test_with_https_the_admins_cookies_travel_by_it_alone(api: Api, use: Callable[..., None]) -> None:
    use(HTTPS="true")
    cookie = api.client.get("/admin/login/", secure=True).cookies["csrftoken"]
    assert (cookie["secure"], cookie["samesite"]) == (True, "Lax")


def test_without_https_nothing_is_redirected_and_no_header_binds_browsers(api: Api) -> None:
    response = api.get("/auth/me", headers={"X-Forwarded-Proto": "https"})
    assert response.status_code == 401
    assert "Strict-Transport-Security" not in response.headers
