"""The names of keys, and the fields that a new key does not have."""

from __future__ import annotations

from typing import Any

import pytest

from apikeys.models import APIKey
from tests.conftest import Api, errors_of

ROUTE = "/keys/create"


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        pytest.param("a", "a", id="one character"),
        pytest.param("n" * 100, "n" * 100, id="100 characters"),
        pytest.param("\U0001f511" * 100, "\U0001f511" * 100, id="100 emoji"),
        pytest.param(
            "\U0001f469\u200d\U0001f4bb ☕ naïve キー مفتاح",
            "\U0001f469\u200d\U0001f4bb ☕ naïve キー مفتاح",
            id="scripts",
        ),
        pytest.param("  nightly  export ", "nightly  export", id="space around it"),
        pytest.param(" " + "n" * 100 + " ", "n" * 100, id="100 characters and space around them"),
        pytest.param("nightly\n", "nightly", id="a newline after it"),
        pytest.param("<script>alert(1)</script>'\";--", "<script>alert(1)</script>'\";--", id="mark-up"),
    ],
)
def test_a_name_is_kept_as_it_is_but_for_the_space_around_it(
    api: Api, alices_token: str, given: str, stored: str
) -> None:
    response = api.post(ROUTE, {"name": given}, token=alices_token)
    assert (response.status_code, response.json()["name"]) == (201, stored)
    assert APIKey.objects.get().name == stored


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("", id="empty"),
        pytest.param("   ", id="spaces"),
        pytest.param("\t\n\u3000", id="other space"),
        pytest.param("n" * 101, id="101 characters"),
        pytest.param("n" * 900_000, id="900,000 characters"),
        pytest.param("two\nlines", id="newline"),
        pytest.param("tab\tbed", id="tab"),
        pytest.param("\x1b[31mred\x1b[0m", id="escape sequence"),
        pytest.param("a\x7fb", id="DEL"),
        pytest.param("a\x85b", id="NEL"),
        pytest.param("a\u2028b", id="line separator"),
        pytest.param("a\u2029b", id="paragraph separator"),
        pytest.param("a\x00b", id="NUL"),
        pytest.param("invoice\u202egnp.exe", id="bidi override"),
        pytest.param("a\u2066b\u2069", id="bidi isolate"),
        pytest.param("a\ud800b", id="lone surrogate"),
        pytest.param(None, id="null"),
        pytest.param(7, id="number"),
        pytest.param(True, id="true"),
        pytest.param(["x"], id="list"),
        pytest.param({"x": "y"}, id="object"),
    ],
)
def test_a_name_that_cannot_stand_in_a_line_is_refused_by_its_field(api: Api, alices_token: str, name: Any) -> None:
    response = api.post(ROUTE, {"name": name}, token=alices_token)
    assert {field for field, _ in errors_of(response)} == {"name"}
    assert not APIKey.objects.exists()


def test_a_key_without_a_name_is_refused(api: Api, alices_token: str) -> None:
    assert errors_of(api.post(ROUTE, {}, token=alices_token)) == [("name", "required")]


@pytest.mark.parametrize(
    "field", ["expires_in_day", "Name", "key", "owner", "id", "prefix", "is_revoked", "", "__proto__", "n\x00", "🔑"]
)
def test_a_field_that_does_not_exist_is_refused_by_its_name(api: Api, alices_token: str, field: str) -> None:
    response = api.post(ROUTE, {"name": "x", field: 1}, token=alices_token)
    assert errors_of(response) == [(field or "body", "unknown")]
    assert not APIKey.objects.exists()


def test_an_unknown_field_with_a_name_that_is_no_text_is_refused_too(api: Api, alices_token: str) -> None:
    response = api.post(ROUTE, '{"name": "x", "\\ud800": 1}', token=alices_token)
    assert [code for _, code in errors_of(response)] == ["unknown"]
    assert not APIKey.objects.exists()


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        "\u200b",
        "\ufeff",
        "\u200e",
        "\u00ad",
        "\u200d",
        "\u2060\u200b",
        " \u200b \u00ad\u3000\ufeff",
        "\U000e0041",
        "\u3164",
        "\u2800 \uffa0",
        "\u200b" * 101,
    ],
    ids=ascii,
)
def test_a_name_that_nobody_sees_is_none(api: Api, alices_token: str, name: str) -> None:
    assert errors_of(api.post(ROUTE, {"name": name}, token=alices_token)) == [("name", "blank")]
    assert not APIKey.objects.exists()


@pytest.mark.parametrize(
    "name",
    ["\U0001f469\u200d\U0001f4bb", "\u200ba", "naïve\u00adté", "می\u200cخواهم", "\U0001f3f4\U000e0067\U000e007f"],
)
def test_what_nobody_sees_may_stand_beside_what_one_does(api: Api, alices_token: str, name: str) -> None:
    assert api.post(ROUTE, {"name": name}, token=alices_token).json()["name"] == name
