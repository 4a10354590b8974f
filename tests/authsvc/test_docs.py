"""The OpenAPI document says what the service does, and its readers are served from here."""

import re
from typing import Any

import pytest
from django.db import OperationalError
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from accounts.models import Scope
from tests.conftest import Api
from tests.factories import PASSWORD

pytestmark = pytest.mark.django_db

ROUTES = {
    "/auth/signup": {"post"},
    "/auth/login": {"post"},
    "/auth/refresh": {"post"},
    "/auth/logout": {"post"},
    "/auth/sessions": {"get", "delete"},
    "/auth/sessions/{session_id}": {"delete"},
    "/auth/password": {"post"},
    "/auth/password/reset": {"post"},
    "/auth/password/reset/confirm": {"post"},
    "/auth/email/verify": {"post"},
    "/auth/email/verify/confirm": {"post"},
    "/auth/me": {"get"},
    "/keys": {"get", "post"},
    "/keys/create": {"post"},
    "/keys/{key_id}": {"get", "patch", "delete"},
    "/keys/{key_id}/rotate": {"post"},
    "/keys/{key_id}/usage": {"get"},
    "/keys/report": {"post"},
    "/auth/verify": {"get"},
    "/auth/introspect": {"post"},
    "/auth/token": {"post"},
    "/protected/user": {"get"},
    "/protected/service": {"get"},
    "/protected/any": {"get"},
    "/protected/admin": {"get"},
    "/protected/reports": {"get"},
}
ANONYMOUS = {"/auth/signup", "/keys/report", "/auth/password/reset", "/auth/email/verify"}
BY_BODY = {
    *("/auth/login", "/auth/refresh", "/auth/logout"),
    *("/auth/password/reset/confirm", "/auth/email/verify/confirm"),
}
OPEN = ANONYMOUS | BY_BODY
EITHER = [{"bearer": []}, {"apiKey": []}]
GUARDED = {
    "/protected/service": [{"apiKey": []}],
    "/protected/any": EITHER,
    "/protected/reports": EITHER,
    "/keys/{key_id}/rotate": EITHER,
    "/auth/verify": EITHER,
    "/auth/introspect": EITHER,
    "/auth/token": [{"apiKey": []}, {"client": []}],
}


@pytest.fixture
def document(api: Api) -> dict[str, Any]:
    response = api.get("/openapi.json")
    assert (response.status_code, response["Content-Type"]) == (200, "application/json")
    found: dict[str, Any] = response.json()
    return found


def operations(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    """Return path, method and operation of each."""
    return [(path, method, found) for path, item in document["paths"].items() for method, found in item.items()]


def test_the_document_is_valid_openapi_3_1_and_names_every_route(document: dict[str, Any]) -> None:
    assert document["openapi"] == "3.1.0"
    assert [error.message for error in OpenAPIV31SpecValidator(document).iter_errors()] == []
    assert {path: set(item) for path, item in document["paths"].items()} == ROUTES


def test_the_document_names_the_credentials_of_each_route(document: dict[str, Any]) -> None:
    for path, _, operation in operations(document):
        wanted = [] if path in OPEN else GUARDED.get(path, [{"bearer": []}])
        assert [scheme for scheme in operation.get("security", []) if scheme] == wanted, path
        assert ("401" in operation["responses"]) == (path not in ANONYMOUS), path
    schemes = document["components"]["securitySchemes"]
    assert (schemes["bearer"]["scheme"], schemes["apiKey"]["name"]) == ("bearer", "x-api-key")


def test_every_answer_in_the_document_has_its_headers_its_type_and_an_id_of_its_own(document: dict[str, Any]) -> None:
    for path, method, operation in operations(document):
        for status, answer in operation["responses"].items():
            assert "X-Request-ID" in answer["headers"], (path, method, status)
            expected = {"application/problem+json"} if status >= "400" else {"application/json"}
            assert set(answer.get("content", expected)) == expected, (path, method, status)
    names = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(set(names)) == len(names)


def test_every_answer_in_json_has_an_example_that_is_one(document: dict[str, Any]) -> None:
    lacking, wrong = [], []
    for path, method, operation in operations(document):
        for status, answer in operation["responses"].items():
            content = answer.get("content", {}).get("application/json")
            if content is None:
                continue
            examples = [given["value"] for given in content.get("examples", {}).values()]
            schema = {**content["schema"], "components": document["components"]}
            lacking += [] if examples else [(path, method, status)]
            wrong += [(path, method, e.message) for x in examples for e in Draft202012Validator(schema).iter_errors(x)]
    assert (lacking, wrong) == ([], [])


def test_every_route_that_takes_a_key_may_say_that_its_limit_is_used_up(document: dict[str, Any]) -> None:
    with_key = [(path, found) for path, _, found in operations(document) if {"apiKey": []} in found.get("security", [])]
    assert {path for path, _ in with_key} >= {"/protected/service", "/protected/any", "/protected/reports"}
    assert [path for path, found in with_key if "429" not in found["responses"]] == []


def test_every_route_may_say_that_the_database_is_away_and_those_with_a_body_that_it_is_bad(
    document: dict[str, Any],
) -> None:
    for path, method, operation in operations(document):
        expected = {"503"} | ({"400", "413", "415"} if "requestBody" in operation else set())
        assert expected <= set(operation["responses"]), (path, method)
        assert set(operation["tags"]) <= {tag["name"] for tag in document["tags"]}, (path, method)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("route", "body", "status"),
    [
        ("POST /auth/signup", {"username": "carol", "email": "carol@example.com", "password": PASSWORD}, 201),
        ("POST /auth/signup", {"username": "Alice"}, 400),
        ("POST /auth/login", {"username": "alice", "password": PASSWORD}, 200),
        ("POST /auth/login", {"username": "alice", "password": "wrong"}, 401),
        ("GET /auth/me", None, 200),
        ("POST /keys/create", {"name": "nightly export"}, 201),
        ("GET /keys", None, 200),
        ("GET /protected/user", None, 200),
        ("GET /protected/service", None, 401),
    ],
)
def test_answers_are_as_the_document_says(api: Api, alices_token: str, route: str, body: Any, status: int) -> None:
    method, path = route.split()
    document = api.get("/openapi.json").json()
    response = api.call(method, path, body, token=alices_token)
    (content,) = document["paths"][path][method.lower()]["responses"][str(status)]["content"].items()
    schema = {**content[1]["schema"], "components": document["components"]}
    assert (response.status_code, response["Content-Type"]) == (status, content[0])
    assert [error.message for error in Draft202012Validator(schema).iter_errors(response.json())] == []


@pytest.mark.parametrize("path", ["/docs", "/redoc"])
def test_a_reader_of_the_document_is_made_of_files_of_this_service(api: Api, path: str) -> None:
    page = api.get(path)
    parts = re.findall(r'(?:src|href)="([^"]*)"', page.content.decode())
    assert (page.status_code, page["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert len(parts) >= 2
    assert all(re.fullmatch(r"/static/[^/].*", part) for part in parts)
    for part in parts:
        file = api.get(part)
        assert file.status_code == 200, part
        assert b"cdn.jsdelivr" not in b"".join(file.streaming_content)[:2000]


@pytest.mark.parametrize("path", ["/docs", "/redoc", "/openapi.json"])
def test_a_head_has_no_body(api: Api, path: str) -> None:
    response = api.call("HEAD", path)
    assert response.status_code == 200
    assert response.content == b""


def test_the_document_is_there_while_the_database_is_away(
    api: Api, document: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*names: str) -> None:
        raise OperationalError

    assert set(document["info"]["x-scopes"]) == {"reports:read", "tokens:introspect"}
    monkeypatch.setattr(Scope.objects, "values_list", away)
    response = api.get("/openapi.json")
    assert (response.status_code, response.json()["info"]["x-scopes"]) == (200, {})
