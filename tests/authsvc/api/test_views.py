"""The base of the API's views: what it leaves out of DRF's, and what it leaves behind."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from datetime import UTC, datetime
from io import BytesIO
from typing import Any

import pytest
from django.http import StreamingHttpResponse
from django.test import RequestFactory
from rest_framework.permissions import AllowAny
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response as DRFResponse
from rest_framework.throttling import AnonRateThrottle
from rest_framework.versioning import URLPathVersioning
from rest_framework.views import APIView

from accounts.models import User
from authsvc.api.parsers import JSONNegotiation
from authsvc.api.views import ApiView, Response
from authsvc.database.connections import keep_connections
from authsvc.server.handler import Handler
from protected.views import AnyView
from tests.factories import make_key, token_of


@pytest.mark.parametrize(
    "declaration",
    [
        {"renderer_classes": (JSONRenderer,)},
        {"throttle_classes": (AnonRateThrottle,)},
        {"versioning_class": URLPathVersioning},
        {"content_negotiation_class": type("Other", (JSONNegotiation,), {})},
    ],
    ids=lambda declaration: next(iter(declaration)),
)
def test_a_view_cannot_declare_what_nobody_would_heed(declaration: dict[str, Any]) -> None:
    (name,) = declaration
    with pytest.raises(TypeError, match=f"^Hasty declares {name}, which ApiView does not look at.$"):
        type("Hasty", (ApiView,), declaration)


@pytest.mark.parametrize("name", ["parser_classes", "authentication_classes", "permission_classes", "throttle_classes"])
def test_a_route_cannot_declare_for_its_view_what_only_a_class_can(name: str) -> None:
    with pytest.raises(TypeError, match=rf"^AnyView.as_view\(\) was given {name}; declare it in a class of its own.$"):
        AnyView.as_view(**{name: ()})


def test_a_view_that_chooses_by_its_request_is_heeded(alice: User) -> None:
    class Choosy(AnyView):
        """A view as DRF's documentation has them."""

        def get_authenticators(self) -> list[Any]:
            return []

        def get_permissions(self) -> list[Any]:
            return [AllowAny()]

        def get(self, request: Request) -> Response:
            return Response({"auth": request.auth})

    request = RequestFactory().get("/x", headers={"Authorization": f"Bearer {token_of(alice)}"})
    answer: Any = Choosy.as_view()(request)
    assert (answer.status_code, answer.content) == (200, b'{"auth":null}')


def test_what_follows_from_a_views_declarations_is_made_once_for_each_view() -> None:
    AnyView.as_view()
    first, second = AnyView(), AnyView()
    assert first.get_authenticators() is second.get_authenticators()
    assert first.get_parsers() is second.get_parsers()
    assert first.get_permissions() is second.get_permissions()
    assert [type(each).__name__ for each in first.get_authenticators()] == ["JWTAuthentication", "APIKeyAuthentication"]
    other: Any = type("Other", (AnyView,), {})
    other.authentication_classes = ()  # as a decorator of the class would
    other.as_view()
    assert other().get_authenticators() == []
    assert len(first.get_authenticators()) == 2


def test_a_view_that_streams_has_its_request_as_long_as_it_does() -> None:
    class Streaming(AnyView):
        """A view whose answer is made while it is sent."""

        authentication_classes = ()
        permission_classes = (AllowAny,)

        def get(self, request: Request) -> Any:
            return StreamingHttpResponse(self.lines())

        def lines(self) -> Iterator[str]:
            yield self.request.method or ""
            yield self.request.path

    answer: Any = Streaming.as_view()(RequestFactory().get("/x"))
    assert b"".join(answer.streaming_content) == b"GET/x"


def test_what_a_request_has_not_is_djangos_and_what_is_private_is_nobodys() -> None:
    asked = RequestFactory().get("/x?y=1", headers={"X-More": "1"})
    asked._private = "the HttpRequest's own"  # type: ignore[attr-defined]
    AnyView.as_view()
    request = AnyView().initialize_request(asked)
    assert (request.path, request.headers["X-More"], request.META, request.method) == ("/x", "1", asked.META, "GET")
    for name in ("_private", "nothing"):
        with pytest.raises(AttributeError, match=name):
            getattr(request, name)


def test_a_plain_view_of_drfs_answers_in_the_same_json() -> None:
    class Plain(APIView):
        """A view that is not ours."""

        authentication_classes = ()
        permission_classes = (AllowAny,)

        def get(self, request: Request) -> DRFResponse:
            return DRFResponse({"at": datetime(2026, 1, 2, tzinfo=UTC)})

    answer: Any = Plain.as_view()(RequestFactory().get("/x")).render()
    assert (answer.content, answer["Content-Type"]) == (b'{"at":"2026-01-02T00:00:00Z"}', "application/json")


def test_an_answer_is_json_with_times_in_utc() -> None:
    answer = Response({"at": datetime(2026, 1, 2, tzinfo=UTC)}, status=201, headers={"X-More": "1"})
    assert (answer.status_code, answer.content) == (201, b'{"at":"2026-01-02T00:00:00Z"}')
    assert dict(answer.headers) == {"X-More": "1", "Content-Type": "application/json"}


@pytest.mark.parametrize(("data", "content"), [([], b"[]"), ({}, b"{}"), (False, b"false"), ("", b'""')])
def test_what_is_empty_is_something_all_the_same(data: Any, content: bytes) -> None:
    assert Response(data).content == content


def test_nothing_is_of_no_type() -> None:
    answer = Response(status=204)
    assert (answer.status_code, answer.content, dict(answer.headers)) == (204, b"", {})


def answered(handler: Handler, method: str, path: str, **headers: str) -> str:
    """Answer a request as a server does, and return the status line."""
    path, _, query = path.partition("?")
    environ = {
        "REQUEST_METHOD": method, "PATH_INFO": path, "SCRIPT_NAME": "", "QUERY_STRING": query, "REMOTE_ADDR": "::1",
        "SERVER_NAME": "localhost", "SERVER_PORT": "80", "SERVER_PROTOCOL": "HTTP/1.1", "HTTP_HOST": "localhost",
        "wsgi.input": BytesIO(), "wsgi.url_scheme": "http", **headers,
    }  # fmt: skip
    statuses: list[str] = []
    answer: Any = handler(environ, lambda status, headers: statuses.append(status))
    b"".join(answer)
    answer.close()
    return statuses[0]


def left_by(method: str, path: str, **headers: str) -> tuple[str, int]:
    """Return the status line of a request, and how many objects it leaves to the collector."""
    keep_connections()  # Django's test client has connected again what would close this test's connection
    handler = Handler()
    for _ in range(2):  # what is kept for later requests is made by the first
        answered(handler, method, path, **headers)
    gc.collect()
    gc.disable()
    try:
        return answered(handler, method, path, **headers), gc.collect()
    finally:
        gc.enable()


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/protected/any", "200 OK"),
        ("HEAD", "/protected/any", "200 OK"),
        ("GET", "/protected/service", "401 Unauthorized"),
        ("GET", "/protected/admin", "403 Forbidden"),
        ("POST", "/protected/any", "405 Method Not Allowed"),
        ("GET", "/auth/verify", "200 OK"),
        ("GET", "/livez", "200 OK"),
    ],
)
def test_a_guarded_route_leaves_nothing_for_the_search_for_cycles(
    alice: User, method: str, path: str, status: str
) -> None:
    assert left_by(method, path, HTTP_AUTHORIZATION=f"Bearer {token_of(alice)}") == (status, 0)


@pytest.mark.parametrize("path", ["/protected/service", "/protected/any", "/auth/verify"])
@pytest.mark.parametrize(("typo", "status"), [("", "200 OK"), ("x", "401 Unauthorized")], ids=["good", "bad"])
def test_a_key_leaves_nothing_either(alice: User, path: str, typo: str, status: str) -> None:
    assert left_by("GET", path, HTTP_X_API_KEY=make_key(alice)[1] + typo) == (status, 0)
