"""Switching a key off and on, and the notes that its owner keeps with it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from accounts.models import User
from apikeys.models import APIKey
from audit.models import AuditEvent
from tests.conftest import BAD_CREDENTIAL, NOT_FOUND, Api, errors_of
from tests.factories import make_key, token_of


def change(api: Api, key: APIKey, body: Any) -> Any:
    return api.patch(f"/keys/{key.pk}", body, token=token_of(key.owner))


def kept(api: Api, key: APIKey) -> Any:
    return api.get(f"/keys/{key.pk}", token=token_of(key.owner)).json()


def test_a_disabled_key_is_refused_at_the_next_request_and_an_enabled_one_works_again(api: Api, alice: User) -> None:
    key, plaintext = make_key(alice)
    for enabled, status in ((False, 401), (False, 401), (True, 200), (True, 200)):
        changed = change(api, key, {"is_enabled": enabled})
        assert (changed.status_code, changed.json()["is_enabled"], changed.json()["status"]) == (200, enabled, "active")
        assert api.get("/protected/service", key=plaintext).status_code == status
    events = AuditEvent.objects.filter(subject_type="apikey", event__in=("api_key:disabled", "api_key:enabled"))
    assert list(events.order_by("id").values_list("event", "actor_name")) == [
        ("api_key:disabled", "Alice"),
        ("api_key:enabled", "Alice"),
    ]


def test_a_disabled_key_reads_as_any_bad_key(api: Api, alice: User) -> None:
    _, plaintext = make_key(alice, is_enabled=False)
    response = api.get("/protected/service", key=plaintext)
    assert (response.json(), response["WWW-Authenticate"]) == (BAD_CREDENTIAL, 'ApiKey realm="authsvc"')
    assert AuditEvent.objects.get(event="api_key:refused").reason == "disabled"


@pytest.mark.parametrize(
    ("value", "code"),
    [(None, "null"), (1, "invalid"), (0, "invalid"), ("false", "invalid"), ([], "invalid"), ({}, "invalid")],
    ids=["null", "one", "zero", "text", "array", "object"],
)
def test_what_is_neither_true_nor_false_switches_nothing(api: Api, alice: User, value: Any, code: str) -> None:
    key, plaintext = make_key(alice)
    assert errors_of(change(api, key, {"is_enabled": value})) == [("is_enabled", code)]
    assert api.get("/protected/service", key=plaintext).status_code == 200


def test_a_revoked_key_is_not_switched_on_again(api: Api, alice: User) -> None:
    key, plaintext = make_key(alice, is_enabled=False)
    api.delete(f"/keys/{key.pk}", token=token_of(alice))
    assert change(api, key, {"is_enabled": True}).status_code == 409
    assert change(api, key, {}).status_code == 409
    assert api.get("/protected/service", key=plaintext).status_code == 401


def test_nobody_switches_somebody_elses_key(api: Api, alice: User, bobs_token: str) -> None:
    key, plaintext = make_key(alice)
    response = api.patch(f"/keys/{key.pk}", {"is_enabled": False}, token=bobs_token)
    assert (response.status_code, response.json()) == (404, NOT_FOUND)
    assert api.patch(f"/keys/{key.pk}", {"is_enabled": False}, key=plaintext).status_code == 401
    assert api.get("/protected/service", key=plaintext).status_code == 200


def test_a_change_is_recorded_by_the_names_of_what_changed_and_nothing_else(api: Api, alice: User) -> None:
    key, _ = make_key(alice, "export", metadata={"a": 1})
    same = {"name": "export", "metadata": {"a": 1}, "is_enabled": True, "rate_limit": None, "scopes": []}
    assert (change(api, key, same).status_code, change(api, key, {}).status_code) == (200, 200)
    assert not AuditEvent.objects.filter(event="api_key:changed").exists()
    change(api, key, {**same, "metadata": {"secret": "launch code"}, "allowed_ips": ["192.0.2.1"], "name": "new"})
    assert AuditEvent.objects.get(event="api_key:changed").reason == "allowed_ips metadata name"


@pytest.mark.parametrize(
    "metadata",
    [
        pytest.param({}, id="empty"),
        pytest.param({"a": [1, -1.5, None, True, {"b": []}], "": "", "ключ": "日本語 🗝", "d e": "\n\t\x01"}, id="all"),
        pytest.param({"least": -(2**63), "most": 2**64 - 1}, id="64 bits"),
        pytest.param({"__proto__": 1, "$ref": 2, "a.b": 3, "a__b": 4}, id="odd names"),
        pytest.param({"pattern": r"\u0000"}, id="a backslash and what follows it is a text"),
        pytest.param({"n": 5e-324}, id="smallest float"),
        pytest.param({"n": 0.1 + 0.2}, id="long float"),
        pytest.param({"a": "x" * (4096 - 8)}, id="4096 bytes"),
        pytest.param({"a": "я" * 2044}, id="4096 bytes of two each"),
    ],
)
def test_metadata_is_kept_as_it_was_given(api: Api, alice: User, metadata: Any) -> None:
    key, plaintext = make_key(alice)
    changed = change(api, key, {"metadata": metadata})
    assert (changed.status_code, changed.json().get("metadata")) == (200, metadata)
    read = api.get(f"/keys/{key.pk}", token=token_of(alice))
    assert (read.status_code, read.json().get("metadata")) == (200, metadata)
    assert [row["metadata"] for row in api.get("/keys", token=token_of(alice)).json()] == [metadata]
    assert api.get("/protected/service", key=plaintext).status_code == 200


def nested(depth: int, opening: str = "[", closing: str = "]") -> str:
    return f'{{"metadata": {{"a": {opening * depth}1{closing * depth}}}}}'


@pytest.mark.parametrize(
    ("body", "code"),
    [
        pytest.param({"metadata": {"a": "x" * (4096 - 7)}}, "max_length", id="4097 bytes"),
        pytest.param({"metadata": {"a": "я" * 2045}}, "max_length", id="4098 bytes of two each"),
        pytest.param({"metadata": None}, "null", id="null"),
        pytest.param({"metadata": []}, "not_a_dict", id="array"),
        pytest.param({"metadata": "{}"}, "not_a_dict", id="text"),
        pytest.param({"metadata": 7}, "not_a_dict", id="number"),
        pytest.param({"metadata": {"a": "\0"}}, "null_character", id="null character"),
        pytest.param({"metadata": {"\0": 1}}, "null_character", id="null character in a name"),
        pytest.param({"metadata": {"a": [{"b": "x\0y"}]}}, "null_character", id="null character deep inside"),
        pytest.param({"metadata": {"a": 2**64}}, "invalid", id="65 bits"),
        pytest.param({"metadata": {"a": -(2**63) - 1}}, "invalid", id="65 bits below zero"),
        pytest.param({"metadata": {"a": "\ud800"}}, "invalid", id="half a character"),
        pytest.param({"metadata": {"\udfff": 1}}, "invalid", id="half a character in a name"),
        pytest.param({"metadata": {"a": [1e20]}}, "invalid", id="float beyond 64 bits"),
        pytest.param({"metadata": {"a": {"b": -1e300}}}, "invalid", id="large float"),
        pytest.param('{"metadata": {"a": 1e400}}', "invalid", id="infinity as a number"),
        pytest.param('{"metadata": {"a": [-1e999]}}', "invalid", id="infinity below zero"),
        pytest.param(nested(400), "invalid", id="400 arrays"),
        pytest.param(nested(400, '{"a":', "}"), "invalid", id="400 objects"),
    ],
)
def test_metadata_that_cannot_be_kept_is_refused_and_the_old_stays(api: Api, alice: User, body: Any, code: str) -> None:
    key, _ = make_key(alice, metadata={"old": 1})
    assert errors_of(change(api, key, body)) == [("metadata", code)]
    assert kept(api, key)["metadata"] == {"old": 1}


@pytest.mark.parametrize(
    "value",
    ["NaN", "Infinity", "-Infinity", "{", "'a'", "01", "+1", ".5"],
    ids=["NaN", "Infinity", "-Infinity", "open", "quotes", "octal", "plus", "point"],
)
def test_metadata_that_is_no_json_is_a_bad_body(api: Api, alice: User, value: str) -> None:
    key, _ = make_key(alice, metadata={"old": 1})
    response = change(api, key, f'{{"metadata": {{"a": {value}}}}}')
    assert (response.status_code, response.json()["detail"]) == (400, "The request body is not valid JSON.")
    assert kept(api, key)["metadata"] == {"old": 1}


NUMBERS = "Whole numbers are from -2^63 to 2^64 - 1, numbers with a fraction or an exponent between -2^63 and 2^63"
STORABLE = f"{NUMBERS}, texts have whole characters, and at most 250 objects and arrays are within each other."


@pytest.mark.parametrize(
    ("body", "message"),
    [
        pytest.param('{"metadata": {"x": 1.5e308}}', f"{NUMBERS}.", id="large float"),
        pytest.param('{"metadata": {"x": -9223372036854775808.0}}', f"{NUMBERS}.", id="least float beyond"),
        pytest.param('{"metadata": {"x": 18446744073709551616}}', STORABLE, id="65 bits"),
        pytest.param('{"metadata": {"x": -9223372036854775809}}', STORABLE, id="65 bits below zero"),
        pytest.param('{"metadata": {"x": 1e400}}', STORABLE, id="infinity"),
        pytest.param(r'{"metadata": {"x": "\ud800"}}', STORABLE, id="half a character"),
        pytest.param(nested(250), STORABLE, id="251 levels"),
    ],
)
def test_metadata_that_cannot_be_kept_is_told_what_can(api: Api, alice: User, body: str, message: str) -> None:
    key, _ = make_key(alice, metadata={"old": 1})
    assert change(api, key, body).json() == {
        "type": "about:blank",
        "title": "Bad Request",
        "status": 400,
        "detail": "The request has fields that are not valid.",
        "errors": [{"field": "metadata", "code": "invalid", "message": message}],
    }


@pytest.mark.parametrize("body", [nested(249), nested(249, '{"a":', "}")], ids=["arrays", "objects"])
def test_metadata_of_250_levels_is_kept(api: Api, alice: User, body: str) -> None:
    key, _ = make_key(alice)
    assert change(api, key, body).status_code == 200
    assert kept(api, key)["metadata"] == json.loads(body)["metadata"]


@pytest.mark.parametrize(
    ("value", "detail"),
    [
        pytest.param("1" * 5000, "The request body has a number that is too long.", id="digits"),
        pytest.param("[" * 100_000, "The request body is nested too deeply.", id="bottomless"),
    ],
)
def test_metadata_beyond_the_bounds_of_a_body_is_a_bad_body(api: Api, alice: User, value: str, detail: str) -> None:
    key, _ = make_key(alice, metadata={"old": 1})
    response = change(api, key, f'{{"metadata": {{"a": {value}}}}}')
    assert (response.status_code, response.json()["detail"]) == (400, detail)
    assert kept(api, key)["metadata"] == {"old": 1}


def test_a_deep_nesting_that_is_accepted_can_be_read(api: Api, alice: User) -> None:
    key, _ = make_key(alice)
    for depth in (100, 200, 250, 251, 252, 253, 254):
        response = change(api, key, nested(depth))
        assert response.status_code in {200, 400}, depth
        read = api.get("/keys", token=token_of(alice))
        assert (read.status_code, len(read.json())) == (200, 1), depth


@pytest.mark.parametrize("value", ["1" * 30, 10**30, -1, 2**63], ids=["text", "huge", "negative", "beyond"])
def test_a_life_cannot_be_changed_afterwards(api: Api, alice: User, value: Any) -> None:
    key, _ = make_key(alice)
    assert errors_of(change(api, key, {"expires_in_days": value})) == [("expires_in_days", "unknown")]
    assert kept(api, key)["expires_at"] == f"{key.expires_at:%Y-%m-%dT%H:%M:%S.%fZ}"


def test_more_scopes_than_a_database_takes_in_a_question_are_refused(api: Api, alice: User) -> None:
    key, _ = make_key(alice)
    response = change(api, key, {"scopes": [f"a:{n}" for n in range(90_000)]})
    assert response.status_code == 400
    assert kept(api, key)["scopes"] == []
