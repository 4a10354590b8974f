"""The OpenAPI document says what the service does, and its readers are served from here."""

import re
from typing import Any

import pytest
from django.db import OperationalError
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from accounts.models import Scope
from tests.conftest import Api
from tests.factories import PASSWORD, make_role

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
    "/.well-known/jwks.json": {"get"},
}
ANONYMOUS = {
    *("/auth/signup", "/keys/report", "/auth/password/reset", "/auth/email/verify"),
    *("/auth/password/reset/confirm", "/auth/email/verify/confirm", "/.well-known/jwks.json"),
}
BY_BODY = {"/auth/login", "/auth/refresh", "/auth/logout"}
# What concerns an account or makes keys: an exchanged token is a 403 there.
FOR_PEOPLE = re.compile(r"/auth/(sessions|password$)|/keys(?!/report)")
OPEN = ANONYMOUS | BY_BODY
EITHER = [{"bearer": []}, {"apiKey": []}]
GUARDED = {
    "/protected/service": [{"apiKey": []}],
    "/protected/any": EITHER,
    "/protected/reports": EITHER,
    "/keys/{key_id}/rotate": EITHER,
    "/auth/verify": EITHER,
    "/auth/introspect": [*EITHER, {"client": []}],
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


def test_every_status_that_a_route_can_answer_is_documented(document: dict[str, Any]) -> None:
    for path, method, operation in operations(document):
        expected = {"400", "408", "414", "431", "503"}
        expected |= {"413", "415"} if "requestBody" in operation else set()
        expected |= {"401", "429"} if any(operation.get("security", [])) else set()
        expected |= {"403"} if FOR_PEOPLE.match(path) and path != "/auth/password/reset" else set()
        assert expected <= set(operation["responses"]), (path, method)
        assert set(operation["tags"]) <= {tag["name"] for tag in document["tags"]}, (path, method)


def test_every_error_has_an_example_with_its_own_status_and_its_headers(document: dict[str, Any]) -> None:
    for path, method, operation in operations(document):
        for status, answer in operation["responses"].items():
            if status < "400":
                continue
            content = answer["content"]["application/problem+json"]
            (example,) = [given["value"] for given in content["examples"].values()]
            schema = {**content["schema"], "components": document["components"]}
            assert [error.message for error in Draft202012Validator(schema).iter_errors(example)] == []
            assert (example["status"], bool(example["detail"])) == (int(status), True), (path, method)
            assert ("errors" in example) >= (status == "400"), (path, method)
            assert ("Retry-After" in answer["headers"]) == (status in {"429", "503"}), (path, method)
            assert ("WWW-Authenticate" in answer["headers"]) == (status == "401"), (path, method)


def test_what_refuses_unknown_fields_is_closed_and_names_are_not_doubled(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    bodies = [
        (content["schema"]["$ref"].rpartition("/")[2], media_type)
        for _, _, operation in operations(document)
        for media_type, content in operation.get("requestBody", {}).get("content", {}).items()
    ]
    names = {name for name, media_type in bodies if media_type == "application/json"} - {"LoginRequest"}
    names |= {"LoginByUsername", "LoginByEmail"}
    assert {"SignupRequest", "CreateKeyRequest", "ChangeKeyRequest", "ExchangeRequest"} < names
    assert [name for name in names if schemas[name]["additionalProperties"] is not False] == []
    assert [name for name in schemas if name.endswith("RequestRequest") or name.startswith("Patched")] == []


def test_routes_are_in_the_order_in_which_they_are_used(document: dict[str, Any]) -> None:
    paths = list(document["paths"])
    assert paths[:4] == ["/auth/signup", "/auth/login", "/auth/refresh", "/auth/logout"]
    assert [tag["name"] for tag in document["tags"]] == ["auth", "keys", "gateway", "protected"]
    assert next(path for path in paths if path.startswith("/keys")) == "/keys/create"


@pytest.mark.parametrize(
    ("public_url", "prefix", "server"),
    [
        (None, None, "/"),
        (None, "/auth", "/auth"),
        ("http://127.0.0.1:8000", None, "/"),
        ("https://auth.example.com/a", "/a", "https://auth.example.com/a"),
    ],
)
def test_the_document_names_its_server(
    api: Api, settings: Any, public_url: str | None, prefix: str | None, server: str
) -> None:
    settings.FORCE_SCRIPT_NAME = prefix
    if public_url is not None:
        settings.PUBLIC_URL = public_url
    assert api.get("/openapi.json").json()["servers"] == [{"url": server}]


def test_the_examples_work_for_a_new_user_in_their_order(api: Api, document: dict[str, Any]) -> None:
    def example(path: str) -> Any:
        (found,) = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]["examples"].values()
        return found["value"]

    assert api.post("/auth/signup", example("/auth/signup")).status_code == 201
    token = api.post("/auth/login", example("/auth/login")).json()["access_token"]
    made = api.post("/keys/create", example("/keys/create"), token=token)
    assert made.status_code == 201
    assert api.post("/auth/token", example("/auth/token"), key=made.json()["key"]).status_code == 200
    path = f"/keys/{made.json()['id']}/rotate"
    assert api.post(path, example("/keys/{key_id}/rotate"), token=token).status_code == 201


def test_a_login_is_by_name_or_by_address(api: Api, document: dict[str, Any], alices_token: str) -> None:
    schema = {"$ref": "#/components/schemas/LoginRequest", "components": document["components"]}
    bodies = {
        200: [{"username": "alice", "password": PASSWORD}, {"email": "alice@example.com", "password": PASSWORD}],
        400: [{"password": PASSWORD}, {"username": "alice", "email": "alice@example.com", "password": PASSWORD}],
    }
    for status, sent in bodies.items():
        for body in sent:
            assert Draft202012Validator(schema).is_valid(body) == (status == 200)
            assert api.post("/auth/login", body).status_code == status


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


def test_a_new_scope_is_in_the_next_answer(api: Api, db: None) -> None:
    before = api.get("/openapi.json")
    assert api.get("/openapi.json").content == before.content
    make_role("reader", "files:read")
    info = api.get("/openapi.json").json()["info"]
    assert info["x-scopes"] == {**before.json()["info"]["x-scopes"], "files:read": "files:read"}
    assert "`files:read`" in info["description"]
