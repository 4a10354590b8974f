"""The application as a server calls it: what Django's test client cannot send."""

import json
from io import BytesIO
from typing import Any

import pytest
from django.http import Http404, HttpResponse
from django.urls import get_script_prefix, set_script_prefix

from authsvc.server.handler import Handler, Request

PART = b'--x\r\nContent-Disposition: form-data; name="username"\r\n\r\na-b\r\n--x--\r\n'
pytestmark = pytest.mark.django_db


def call(content_type: str = "application/json", body: bytes = b"{}", **environ: Any) -> tuple[str, Any]:
    """POST a body to /auth/login and return the status line and the answer's body; None takes a variable away."""
    variables = {
        "REQUEST_METHOD": "POST", "PATH_INFO": "/auth/login", "SCRIPT_NAME": "", "QUERY_STRING": "",
        "SERVER_NAME": "localhost", "SERVER_PORT": "80", "SERVER_PROTOCOL": "HTTP/1.1", "HTTP_HOST": "localhost",
        "CONTENT_TYPE": content_type, "CONTENT_LENGTH": str(len(body)), "wsgi.input": BytesIO(body),
        "wsgi.url_scheme": "http", **environ,
    }  # fmt: skip
    status, answer = respond({name: value for name, value in variables.items() if value is not None})
    return status, json.loads(answer)


def respond(environ: dict[str, Any]) -> tuple[str, bytes]:
    """Return the status line and the body of the answer to a request as PEP 3333 has it."""
    statuses: list[str] = []
    answer = b"".join(Handler()(environ, lambda status, headers: statuses.append(status)))
    return statuses[0], answer


@pytest.mark.parametrize(
    "content_type",
    [
        pytest.param("application/json; charset*=nonsense''utf-8", id="unknown encoding"),
        pytest.param("application/json; charset*=idna''%ff", id="encoding that cannot decode"),
        pytest.param("application/json; boundary*=utf-7''+2AA-", id="half a surrogate pair"),
        pytest.param("application/json; boundary*=unicode_escape''%5Cud800", id="half a surrogate pair, escaped"),
    ],
)
def test_a_type_that_django_cannot_read_is_no_crash(content_type: str) -> None:
    status, body = call(content_type)
    assert status == "415 Unsupported Media Type"
    assert body["status"] == 415


@pytest.mark.parametrize("charset", ["idna", "hex", "rot13", "base64", "zlib", "undefined", "punycode", "utf-16"])
@pytest.mark.parametrize(
    "path",
    [
        "/livez",
        "/docs",
        "/protected/any",
        "/auth/verify",
        "/auth/verify-prefix/a",
        "/keys",
        "/auth/login",
        "/admin/login/",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_no_charset_decodes_an_address_or_a_form(charset: str, path: str, method: str) -> None:
    environ = {
        "REQUEST_METHOD": method, "PATH_INFO": path, "SCRIPT_NAME": "", "QUERY_STRING": "next=%41.aa",
        "SERVER_NAME": "localhost", "SERVER_PORT": "80", "SERVER_PROTOCOL": "HTTP/1.1", "HTTP_HOST": "localhost",
        "HTTP_COOKIE": f"csrftoken={'a' * 32}", "wsgi.url_scheme": "http", "CONTENT_LENGTH": str(len(PART)),
    }  # fmt: skip
    plain, odd = (
        respond({**environ, "CONTENT_TYPE": f"multipart/form-data; boundary=x{more}", "wsgi.input": BytesIO(PART)})[0]
        for more in ("", f"; charset={charset}")
    )
    assert int(plain[:3]) < 500
    assert odd == plain


@pytest.mark.parametrize("boundary", ["utf-7''+2AA-", "unicode_escape''%5Cud800", "utf-8''%C3%A9"])
def test_a_boundary_that_is_not_ascii_is_no_crash_of_the_console(boundary: str) -> None:
    environ = {
        "REQUEST_METHOD": "POST", "PATH_INFO": "/admin/login/", "SCRIPT_NAME": "", "QUERY_STRING": "",
        "SERVER_NAME": "localhost", "SERVER_PORT": "80", "SERVER_PROTOCOL": "HTTP/1.1", "HTTP_HOST": "localhost",
        "CONTENT_TYPE": f"multipart/form-data; boundary*={boundary}", "CONTENT_LENGTH": "3", "wsgi.url_scheme": "http",
        "HTTP_COOKIE": f"csrftoken={'a' * 32}", "wsgi.input": BytesIO(b"a=1"),
    }  # fmt: skip
    assert respond(environ)[0] == "403 Forbidden"


def test_a_good_type_is_read() -> None:
    status, body = call("application/json")
    assert status == "400 Bad Request"
    assert [error["field"] for error in body["errors"]] == ["username", "password"]


CHUNKED = {"HTTP_TRANSFER_ENCODING": "chunked", "CONTENT_LENGTH": None, "wsgi.input_terminated": True}
LIMIT = 1024 * 1024


def test_a_body_whose_length_nobody_said_is_read_to_its_end() -> None:
    status, body = call(body=b'{"username": "nobody"}', **CHUNKED)
    assert status == "400 Bad Request"
    assert [error["field"] for error in body["errors"]] == ["password"]


def test_a_body_of_no_chunks_is_an_empty_one() -> None:
    status, body = call(body=b"", **CHUNKED)
    assert status == "400 Bad Request"
    assert [error["field"] for error in body["errors"]] == ["username", "password"]


@pytest.mark.parametrize(
    ("size", "status", "title"),
    [(LIMIT, 400, "Bad Request"), (LIMIT + 1, 413, "Content Too Large"), (3 * LIMIT, 413, "Content Too Large")],
)
def test_a_body_in_chunks_is_as_large_as_any_at_most_and_no_more_of_it_is_read(
    size: int, status: int, title: str
) -> None:
    stream = BytesIO(b" " * size)
    _, body = call(**{**CHUNKED, "wsgi.input": stream})
    assert (body["status"], body["title"]) == (status, title)
    assert stream.tell() == min(size, LIMIT + 1)


def test_a_stream_that_may_have_no_end_is_not_read_without_a_length() -> None:
    stream = BytesIO(b'{"username": "nobody"}')
    _, body = call(**{**CHUNKED, "wsgi.input": stream, "wsgi.input_terminated": None})
    assert [error["field"] for error in body["errors"]] == ["username", "password"]
    assert stream.tell() == 0


def resolved(handler: Handler, path: str) -> str:
    """Return the route that a path leads to."""
    request = Request({"REQUEST_METHOD": "GET", "PATH_INFO": path, "wsgi.input": BytesIO()})
    match = handler.resolve_request(request)
    assert request.resolver_match is match
    return str(match.route)


def test_where_a_route_without_a_parameter_leads_is_remembered_and_nothing_else() -> None:
    handler = Handler()
    for _ in range(2):
        assert resolved(handler, "/livez") == "livez"
        assert [resolved(handler, f"/keys/{number}") for number in (1, 2)] == ["keys/<int:key_id>"] * 2
        with pytest.raises(Http404):
            resolved(handler, "/nowhere")
    assert [path for _, path in handler.known] == ["/livez"]


def test_another_set_of_routes_leads_elsewhere(settings: Any) -> None:
    handler = Handler()
    assert resolved(handler, "/livez") == "livez"
    settings.ROOT_URLCONF = "accounts.urls"
    with pytest.raises(Http404):
        resolved(handler, "/livez")


def got(path: str, handler: Handler | None = None, **environ: Any) -> tuple[str, list[tuple[str, str]], Any]:
    """GET a path and return the status line, the headers and the answer."""
    variables = {
        "REQUEST_METHOD": "GET", "PATH_INFO": path, "QUERY_STRING": "", "SERVER_NAME": "localhost", "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1", "HTTP_HOST": "localhost", "wsgi.input": BytesIO(), "wsgi.url_scheme": "http",
        **environ,
    }  # fmt: skip
    said: list[Any] = []
    answer = (handler or Handler())(variables, lambda status, headers: said.extend((status, headers)))
    return said[0], said[1], answer


def test_the_api_answers_what_django_would() -> None:
    handler = Handler()
    status, headers, answer = got("/protected/any", handler, HTTP_X_REQUEST_ID="one")
    environ = {
        "REQUEST_METHOD": "GET", "PATH_INFO": "/protected/any", "SERVER_NAME": "localhost", "SERVER_PORT": "80",
        "HTTP_HOST": "localhost", "HTTP_X_REQUEST_ID": "one", "wsgi.input": BytesIO(), "wsgi.url_scheme": "http",
    }  # fmt: skip
    said: list[Any] = []
    djangos = super(Handler, handler).__call__(environ, lambda *words: said.extend(words))
    assert [status, headers, b"".join(answer)] == [*said, b"".join(djangos)]
    assert status == "401 Unauthorized"


def test_an_answer_with_cookies_sends_them() -> None:
    handler, made = Handler(), HttpResponse(b"{}", status=202)
    made.set_cookie("one", "1", httponly=True)
    made.set_cookie("two", "2")
    handler.get_response = lambda request: made  # type: ignore[method-assign]
    status, headers, _ = got("/protected/any", handler)
    assert status == "202 Accepted"
    sent = [value for name, value in headers if name == "Set-Cookie"]
    assert sent == ["one=1; HttpOnly; Path=/", "two=2; Path=/"]


def test_a_page_and_its_files_come_by_djangos_own_way() -> None:
    wrapped: list[Any] = []

    def wrapper(file: Any, size: int) -> list[bytes]:
        wrapped.append((file, size))
        return [file.read()]

    status, _, answer = got("/static/authsvc/swagger.js", **{"wsgi.file_wrapper": wrapper})
    assert (status, answer, len(wrapped)) == ("200 OK", [b"".join(answer)], 1)
    wrapped[0][0].close()
    assert got("/docs")[0] == "200 OK"


def test_a_prefix_that_the_server_names_stands_before_every_link() -> None:
    try:
        assert got("/livez", SCRIPT_NAME="/idp")[0] == "200 OK"
        assert get_script_prefix() == "/idp/"
        assert got("/docs")[0] == "200 OK"
        assert get_script_prefix() == "/"
    finally:
        set_script_prefix("/")


TOO_LARGE = ("413 Request Entity Too Large", "The request body is too large.")


@pytest.mark.parametrize(
    "environ",
    [
        pytest.param({"CONTENT_LENGTH": str(LIMIT + 1)}, id="by its length"),
        pytest.param({"CONTENT_LENGTH": "9" * 40}, id="by a length of 40 digits"),
        pytest.param({**CHUNKED, "authsvc.cut_short": True}, id="by what the server has seen of it"),
    ],
)
@pytest.mark.parametrize("path", ["/auth/login", "/keys/report"])
def test_a_body_that_is_too_large_is_refused_before_any_of_it_is_read(path: str, environ: dict[str, Any]) -> None:
    class Unread:
        """What may not be touched."""

    status, body = call(**{"PATH_INFO": path, **environ, "wsgi.input": Unread()})
    assert (status, body["detail"]) == TOO_LARGE


def test_a_body_that_nobody_reads_is_refused_for_what_comes_first() -> None:
    status, body = call(PATH_INFO="/keys", CONTENT_LENGTH=str(LIMIT + 1), **{"wsgi.input": BytesIO()})
    assert (status, body["status"]) == ("401 Unauthorized", 401)
