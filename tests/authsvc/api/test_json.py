"""Bodies: JSON and nothing but JSON, of bounded size, and every field one that is known."""

import gzip
import json
import sys
import time
from typing import Any

import pytest

from accounts.models import User
from authsvc.api import bounded_json
from tests.conftest import Api, errors_of
from tests.factories import make_key

pytestmark = pytest.mark.django_db

LOGIN = {"username": "nobody", "password": "correct-horse-battery"}
NOT_JSON = "The request body is not valid JSON."
TOO_DEEP = "The request body is nested too deeply."
TOO_LONG = "The request body has a number that is too long."
TWICE = "The request body has a member twice in one object."


def bad_request(detail: str) -> dict[str, Any]:
    """Return the body of a 400 without fields."""
    return {"type": "about:blank", "title": "Bad Request", "status": 400, "detail": detail}


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b" ", id="blank"),
        pytest.param(b"{", id="unfinished"),
        pytest.param(b"{} {}", id="two"),
        pytest.param(b"{'username': 1}", id="single quotes"),
        pytest.param(b'{"username": 1,}', id="trailing comma"),
        pytest.param(b'{"username": NaN}', id="NaN"),
        pytest.param(b'{"username": -Infinity}', id="infinity"),
        pytest.param(b'{"username": "\xff\xfe"}', id="no UTF-8"),
        pytest.param(b'{"username": "a\nb"}', id="line break in a string"),
        pytest.param(b"username=nobody&password=x", id="a form in disguise"),
    ],
)
def test_what_is_no_json_is_a_bad_request(api: Api, body: bytes) -> None:
    response = api.post("/auth/login", body)
    assert (response.status_code, response["Content-Type"]) == (400, "application/problem+json")
    assert response.json() == bad_request(NOT_JSON)


@pytest.mark.parametrize("body", [b"[]", b"null", b"0", b"false", b'"text"', b"[[]]", b"1e999"])
@pytest.mark.parametrize("path", ["/auth/login", "/auth/signup", "/auth/password/reset"])
def test_a_body_that_is_no_object_is_told_that_one_is_expected(api: Api, path: str, body: bytes) -> None:
    code = "null" if body == b"null" else "invalid"
    assert api.post(path, body).json() == {
        **bad_request("The request has fields that are not valid."),
        "errors": [{"field": "body", "code": code, "message": "Expected a JSON object."}],
    }


@pytest.mark.parametrize(
    "value", ["7", "1.5", "1e999", "true", "[]", "{}", '["text"]', "9" * 4000, "[" * 800 + "]" * 800]
)
def test_what_is_no_text_is_no_text(api: Api, value: str) -> None:
    body = f'{{"username": {value}, "password": {value}}}'
    assert errors_of(api.post("/auth/login", body)) == [("username", "invalid"), ("password", "invalid")]


@pytest.mark.parametrize("value", ['"30"', "30.0", "3e1", "true", "[30]", "{}", "1e999"])
def test_what_is_no_whole_number_is_no_whole_number(api: Api, alices_token: str, value: str) -> None:
    body = f'{{"name": "a key", "expires_in_days": {value}}}'
    assert errors_of(api.post("/keys", body, token=alices_token)) == [("expires_in_days", "invalid")]
    assert api.post("/keys", {"name": "a key", "expires_in_days": 30}, token=alices_token).status_code == 201


@pytest.mark.parametrize("value", ["ten", "1.0", "+1", "1e1", "%D9%A3", "1_0", "9" * 5000, "0x1", "1%00"])
def test_what_is_no_whole_number_in_the_address_is_none_either(api: Api, alices_token: str, value: str) -> None:
    assert errors_of(api.get(f"/keys?limit={value}", token=alices_token)) == [("limit", "invalid")]
    assert api.get("/keys?limit=10", token=alices_token).status_code == 200


@pytest.mark.parametrize(
    ("value", "code"),
    [
        pytest.param("null", "null", id="null"),
        pytest.param('""', "blank", id="empty"),
        pytest.param(r'"a\u0000b"', "null_characters_not_allowed", id="NUL"),
        pytest.param(r'"a\ud800b"', "surrogate_characters_not_allowed", id="half a character"),
        pytest.param(f'"{"a" * 1025}"', "max_length", id="too long"),
    ],
)
def test_a_text_that_no_database_could_hold_is_refused_by_its_field(api: Api, value: str, code: str) -> None:
    body = f'{{"username": {value}, "password": {value}}}'
    assert errors_of(api.post("/auth/login", body)) == [("username", code), ("password", code)]


def test_an_absent_body_lacks_every_field(api: Api) -> None:
    missing = [("username", "required"), ("password", "required")]
    assert errors_of(api.post("/auth/login", b"")) == missing
    assert errors_of(api.post("/auth/login", b"", content_type="multipart/form-data; boundary=x")) == missing


@pytest.mark.parametrize("name", ["is_staff", "Username", "user name", "__proto__", "\N{PILE OF POO}", "a" * 500])
def test_an_unknown_field_is_refused_by_its_name(api: Api, name: str) -> None:
    assert errors_of(api.post("/auth/login", {**LOGIN, name: True})) == [(name[:100], "unknown")]


@pytest.mark.parametrize("name", [r"\ud800", r"\udfff\ud800", r"a\ud83d"])
def test_an_unknown_field_whose_name_is_half_a_character_is_refused_too(api: Api, name: str) -> None:
    ((_, code),) = errors_of(api.post("/auth/login", f'{{"{name}": 1}}'))
    assert code == "unknown"


def test_all_unknown_fields_are_named_in_order_before_the_known_ones_are_looked_at(api: Api) -> None:
    assert errors_of(api.post("/auth/login", {"b": 1, "a": {"c": 2}})) == [("a", "unknown"), ("b", "unknown")]


def test_a_field_without_a_name_is_unknown_like_any_other(api: Api) -> None:
    assert errors_of(api.post("/auth/login", {**LOGIN, "": 1})) == [("body", "unknown")]


@pytest.mark.parametrize(
    "body",
    [
        pytest.param('{"username": "nobody", "username": "nobody", "password": "x"}', id="the same"),
        pytest.param('{"username": "nobody", "username": null, "password": "x"}', id="another"),
        pytest.param(r'{"username": "nobody", "\u0075sername": "nobody", "password": "x"}', id="escaped"),
        pytest.param('{"username": "nobody", "password": "x", "": 1, "": 2}', id="without a name"),
        pytest.param('{"username": [{"a": {"b": 1, "b": 1}}], "password": "x"}', id="deep inside"),
        pytest.param('[{"a": 1, "a": 1}]', id="in an array"),
    ],
)
def test_a_member_that_is_there_twice_is_a_bad_request(api: Api, body: str) -> None:
    response = api.post("/auth/login", body)
    assert (response.status_code, response.json()) == (400, bad_request(TWICE))


def test_a_limit_cannot_be_taken_back_further_on_in_a_body(api: Api, alices_token: str) -> None:
    body = '{"name": "a", "rate_limit": "1/minute", "rate_limit": null}'
    response = api.post("/keys", body, token=alices_token)
    assert (response.status_code, response.json()) == (400, bad_request(TWICE))
    assert api.get("/keys", token=alices_token).json() == []


def test_members_of_one_name_in_two_objects_are_two(api: Api, alices_token: str) -> None:
    metadata = {"a": {"b": 1}, "b": [{"a": 1}, {"a": 1}], "A": 2}
    made = api.post("/keys", {"name": "a", "metadata": metadata}, token=alices_token)
    assert (made.status_code, made.json()["metadata"]) == (201, metadata)


def test_a_body_of_many_objects_costs_little(api: Api) -> None:
    bodies = [b"[" + b",".join([b'{"a":1}'] * 7281) + b"]", b"{" + b",".join(b'"%d":1' % n for n in range(7000)) + b"}"]
    for body in bodies:
        took = []
        for _ in range(4):
            began = time.thread_time()
            assert bounded_json.loads(body)
            took.append(time.thread_time() - began)
        assert (len(body) > 50_000, min(took) < 0.05) == (True, True), took


@pytest.mark.parametrize(
    "content_type",
    [
        "",
        "text/plain",
        "text/json",
        "application/problem+json",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "garbage",
        "/",
        "application/json/x",
        "*/*",
        "application/*",
        "*/json",
        "*/*; charset=utf-8",
        "a" * 100_000,
    ],
)
def test_another_type_of_body_is_415_and_the_answer_says_which_is_read(api: Api, content_type: str) -> None:
    response = api.post("/auth/login", LOGIN, content_type=content_type)
    assert (response.status_code, response["Accept"]) == (415, "application/json")
    assert (response.json()["title"], response["Content-Type"]) == (
        "Unsupported Media Type",
        "application/problem+json",
    )


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "application/json; charset=utf-8",
        "Application/JSON",
        "application/json;",
        'application/json; charset="UTF-8"',
        "application/json; charset=utf8",
        "application/json; charset=us-ascii",
        "application/json; profile=x",
        "application/json; charset*=utf-8''utf-8",
    ],
)
def test_json_is_read_as_utf_8(api: Api, content_type: str) -> None:
    response = api.post(
        "/auth/login", {"username": "\N{GREEK SMALL LETTER ALPHA}", "password": "x"}, content_type=content_type
    )
    assert response.status_code == 401
    assert response.json()["detail"] == "The credential is not valid."


@pytest.mark.parametrize("charset", ["utf-16", "UTF-16LE", "iso-8859-1", "utf-7", "hex", "undefined", "\xff", ""])
@pytest.mark.parametrize(
    ("path", "media_type"),
    [("/auth/login", "application/json"), ("/auth/token", "application/x-www-form-urlencoded")],
)
def test_another_charset_is_415(api: Api, path: str, media_type: str, charset: str) -> None:
    response = api.post(path, b"{}", content_type=f"{media_type}; charset={charset}")
    assert (response.status_code, response["Content-Type"]) == (415, "application/problem+json")
    assert response.json()["detail"] == "The charset of the request body is not supported; send it as UTF-8."


@pytest.mark.parametrize("coding", ["gzip", "GZIP", "br", "identity, gzip", "x"])
@pytest.mark.parametrize("path", ["/auth/login", "/keys/report"])
def test_an_encoded_body_is_415_and_the_answer_says_that_none_is_read(api: Api, path: str, coding: str) -> None:
    response = api.post(path, gzip.compress(b"{}"), headers={"Content-Encoding": coding})
    assert (response.status_code, response["Accept-Encoding"]) == (415, "identity")
    assert response.json()["detail"] == "The request body is encoded (Content-Encoding); send it as it is."


@pytest.mark.parametrize("coding", ["identity", "Identity", "", "identity, identity"])
def test_a_body_that_is_not_encoded_may_say_so(api: Api, coding: str) -> None:
    assert api.post("/auth/login", LOGIN, headers={"Content-Encoding": coding}).status_code == 401


@pytest.mark.parametrize("encoded", [False, True])
def test_a_credential_comes_before_the_encoding_of_a_body(api: Api, encoded: bool) -> None:
    headers = {"Content-Encoding": "gzip"} if encoded else {}
    assert api.post("/keys/create", b"\x1f\x8b", headers=headers).status_code == 401


MARKED = {
    "utf-8-sig": "The request body begins with a UTF-8 byte order mark; send UTF-8 without one.",
    "utf-16": "The request body begins with a UTF-16 byte order mark; send UTF-8 without one.",
    "utf-16-le": "The request body is not UTF-8; it looks like UTF-16 or UTF-32.",
    "utf-16-be": "The request body is not UTF-8; it looks like UTF-16 or UTF-32.",
    "utf-32-be": "The request body is not UTF-8; it looks like UTF-16 or UTF-32.",
}


@pytest.mark.parametrize("codec", MARKED)
@pytest.mark.parametrize("path", ["/auth/login", "/keys/report"])
def test_a_byte_order_mark_is_called_by_its_name(api: Api, path: str, codec: str) -> None:
    response = api.post(path, json.dumps(LOGIN).encode(codec))
    assert (response.status_code, response.json()["detail"]) == (400, MARKED[codec])


def test_a_byte_order_mark_of_a_form_is_too(api: Api) -> None:
    form = b"\xef\xbb\xbfgrant_type=client_credentials"
    response = api.post("/auth/token", form, content_type="application/x-www-form-urlencoded")
    assert (response.status_code, response.json()["detail"]) == (400, MARKED["utf-8-sig"])


@pytest.mark.parametrize(
    ("size", "status"),
    [pytest.param(1024 * 1024, 400, id="1 MiB"), pytest.param(1024 * 1024 + 1, 413, id="a byte more")],
)
def test_a_body_over_a_mebibyte_is_too_large(api: Api, size: int, status: int) -> None:
    response = api.post("/auth/login", b" " * size)
    detail = {400: NOT_JSON, 413: "The request body is too large."}[status]
    assert response.status_code == status
    assert response.json()["detail"] == detail


@pytest.mark.parametrize("accept", ["text/html", "application/xml", "image/*;q=0.1", "", "*", ";;;", "a" * 10_000])
def test_there_is_one_representation_whatever_is_asked_for(api: Api, accept: str) -> None:
    response = api.post("/auth/login", LOGIN, headers={"Accept": accept})
    assert response.status_code == 401
    assert response["Content-Type"] == "application/problem+json"


def nested(depth: int, opening: str = "[", closing: str = "]") -> str:
    return f'{{"username": {opening * depth}0{closing * depth}, "password": "x"}}'


@pytest.mark.parametrize("depth", [800, 849])
def test_a_deep_body_within_the_bound_is_read(api: Api, depth: int) -> None:
    for body in (nested(depth), nested(depth, '{"a":', "}")):
        assert errors_of(api.post("/auth/login", body)) == [("username", "invalid")]


@pytest.mark.parametrize("depth", [850, 860, 5000, 9000])
def test_a_body_that_is_nested_too_deeply_is_not_read(api: Api, depth: int) -> None:
    response = api.post("/auth/login", nested(depth))
    assert (response.status_code, response.json()) == (400, bad_request(TOO_DEEP))


@pytest.mark.parametrize("body", [b"[" * 100_000, b'{"a":' * 100_000], ids=["list", "object"])
def test_a_body_without_a_bottom_is_nested_too_deeply(api: Api, body: bytes) -> None:
    response = api.post("/auth/login", body)
    assert (response.status_code, response.json()) == (400, bad_request(TOO_DEEP))


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(",".join("1" * 100_001), id="items"),
        pytest.param(",".join(["{}"] * 10_001), id="objects"),
        pytest.param(",".join(["[]"] * 10_001), id="arrays"),
    ],
)
def test_a_body_of_too_many_members_is_not_looked_at(api: Api, value: str) -> None:
    body = f'{{"username": [{value}], "password": "x"}}'
    assert errors_of(api.post("/auth/login", body)) == [("body", "too_many_members")]


@pytest.mark.parametrize("value", ["9" * 4301, "-" + "9" * 4300, "0." + "1" * 4300, "1e" + "9" * 4300])
def test_a_number_of_too_many_digits_is_not_read(api: Api, value: str) -> None:
    response = api.post("/auth/login", f'{{"username": {value}, "password": "x"}}')
    assert (response.status_code, response.json()) == (400, bad_request(TOO_LONG))


@pytest.mark.parametrize("value", ["9" * 4299, "0." + "1" * 4000, "1e999"])
def test_a_number_within_the_bound_is_read_whatever_pythons_own_is(
    api: Api, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(0)
    try:
        too_long = api.post("/auth/login", f'{{"username": {"9" * 5000}, "password": "x"}}')
    finally:
        sys.set_int_max_str_digits(before)
    assert too_long.json() == bad_request(TOO_LONG)
    assert errors_of(api.post("/auth/login", f'{{"username": {value}, "password": "x"}}')) == [("username", "invalid")]


@pytest.mark.parametrize(("count", "more"), [(19, None), (20, None), (21, 1), (5000, 4980), (70_000, 69_980)])
def test_twenty_unknown_fields_are_named_and_the_others_counted(api: Api, count: int, more: int | None) -> None:
    body = {f"f{number:06}": 1 for number in range(count)}
    response = api.post("/auth/login", body)
    errors = errors_of(response)
    assert errors[:20] == [(f"f{number:06}", "unknown") for number in range(min(count, 20))]
    assert errors[20:] == ([("body", "more_errors")] if more else [])
    assert more is None or response.json()["errors"][-1]["message"] == f"There are {more} more errors."
    assert len(response.content) < 4096


def test_twenty_wrong_items_are_named_and_the_others_counted(api: Api, alices_token: str) -> None:
    body = {"name": "x", "allowed_ips": [7] * 100}
    errors = errors_of(api.post("/keys", body, token=alices_token))
    assert errors == [*((f"allowed_ips.{n}", "invalid") for n in range(20)), ("body", "more_errors")]


@pytest.mark.parametrize("value", ["x" * 100_000, 7, ["x" * 10_000], {"a": "x" * 10_000}, None])
def test_an_answer_does_not_repeat_what_was_sent_in_the_place_of_a_choice(
    api: Api, alice: User, alices_token: str, value: object
) -> None:
    key, _ = make_key(alice)
    response = api.post(f"/keys/{key.pk}/rotate", {"retire_old": value}, token=alices_token)
    assert errors_of(response) == [("retire_old", "null" if value is None else "invalid_choice")]
    assert len(response.content) < 400


def test_an_answer_does_not_repeat_a_query_a_media_type_or_a_method_at_length(api: Api, alices_token: str) -> None:
    status = api.get(f"/keys?status={'x' * 5000}", token=alices_token)
    assert errors_of(status) == [("status", "invalid_choice")]
    media_type = api.post("/auth/login", b"x", content_type="x" * 5000)
    method = api.call("X" * 5000, "/livez")
    assert (media_type.status_code, method.status_code) == (415, 405)
    assert max(len(answer.content) for answer in (status, media_type, method)) < 400
