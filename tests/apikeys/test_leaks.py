"""Reports of leaked keys: what is shown to us is dead from then on, and the answer says nothing."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core import mail
from django.test import Client

from accounts.models import User
from accounts.services.registration import get_or_create_service_account
from apikeys import keys
from apikeys.models import APIKey
from audit.models import AuditEvent
from authsvc.mail import _outbox
from tests.conftest import Api, errors_of
from tests.factories import make_key, token_of

ACCEPTED = {"status": "accepted"}
UNKNOWN = "There is no such field here."


def report(api: Api, body: Any, **options: Any) -> Any:
    return api.post("/keys/report", body, **options)


def sent() -> list[Any]:
    """Return the mails, after the one thread that sends them has come to its end."""
    _outbox.submit(lambda: None).result(60)
    return list(mail.outbox)


def opens(api: Api, plaintext: str) -> bool:
    return bool(api.get("/protected/service", key=plaintext).status_code == 200)


def test_a_key_that_is_reported_is_dead_recorded_and_its_owner_told(api: Api, alice: User) -> None:
    key, plaintext = make_key(alice, "export")
    response = report(api, {"key": plaintext})
    assert (response.status_code, response.json()) == (202, ACCEPTED)
    assert not opens(api, plaintext)
    event = AuditEvent.objects.get(event="api_key:revoked_leak")
    told = (event.subject_id, event.subject_name, event.reason, event.address, event.actor_name)
    assert told == (key.pk, "export", "reported by a holder", "127.0.0.1", "")
    (message,) = sent()
    assert message.to == ["alice@example.com"]
    assert message.body.splitlines()[2:4] == [
        f"Key:    {plaintext[:11]}… (export, id {key.pk})",
        "Source: reported by a holder",
    ]
    assert plaintext[11:] not in f"{message.subject}{message.body}"


@pytest.mark.parametrize("text", [" {}", "{}\n", "\t{}\r\n", "\u3000{}\u00a0"], ids=ascii)
def test_space_around_a_key_that_was_copied_does_not_save_it(api: Api, alice: User, text: str) -> None:
    _, plaintext = make_key(alice)
    assert report(api, {"key": text.format(plaintext)}).status_code == 202
    assert (opens(api, plaintext), len(sent())) == (False, 1)


def unknown(alice: User) -> str:
    return keys.generate("sk").plaintext


def revoked(alice: User) -> str:
    return make_key(alice, revoked_at=datetime.now(UTC))[1]


def retired(alice: User) -> str:
    key, plaintext = make_key(alice)
    api, body = Api(), {"overlap_seconds": 0}
    assert api.post(f"/keys/{key.pk}/rotate", body, token=token_of(alice)).status_code == 201
    return plaintext


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(unknown, id="unknown"),
        pytest.param(revoked, id="revoked"),
        pytest.param(retired, id="retired secret"),
        *(
            pytest.param(lambda alice, text=text: text, id=name)
            for name, text in {
                "junk": "junk",
                "empty": "",
                "null character": "\0",
                "half a character": "\ud800",
                "letters": "sk_" + "é" * 49,
                "long": "sk_" + "a" * 500_000,
                "line": f"sk_{'a' * 49}\n",
            }.items()
        ),
    ],
)
def test_the_answer_is_the_same_where_there_is_nothing_to_revoke(
    api: Api, alice: User, make: Callable[[User], str]
) -> None:
    text = make(alice)
    _, live = make_key(alice)
    wrong = report(api, {"key": text})
    right = report(api, {"key": live})
    assert (wrong.status_code, wrong.content, wrong.headers.keys()) == (202, right.content, right.headers.keys())
    assert AuditEvent.objects.filter(event="api_key:revoked_leak").count() == len(sent()) == 1


def test_a_secret_that_a_rotation_has_ended_does_not_kill_the_key_and_one_in_its_overlap_does(
    api: Api, alice: User
) -> None:
    key, first = make_key(alice)
    path, token = f"/keys/{key.pk}/rotate", token_of(alice)
    second, third = (api.post(path, {}, token=token).json()["key"] for _ in range(2))
    assert report(api, {"key": first}).status_code == 202
    assert (opens(api, second), opens(api, third)) == (True, True)
    assert report(api, {"key": second}).status_code == 202
    assert (opens(api, second), opens(api, third)) == (False, False)


def test_a_key_that_cannot_be_used_for_now_is_revoked_all_the_same(api: Api, alice: User) -> None:
    (off, one), (expired, two) = make_key(alice, is_enabled=False), make_key(alice)
    APIKey.objects.filter(pk=expired.pk).update(expires_at=datetime.now(UTC) - timedelta(days=1))
    assert [report(api, {"key": text}).status_code for text in (one, two)] == [202, 202]
    assert not APIKey.objects.filter(pk__in=(off.pk, expired.pk), revoked_at=None).exists()


def test_a_service_account_has_no_address_and_its_key_dies_without_a_mail(api: Api, db: None) -> None:
    _, plaintext = make_key(get_or_create_service_account(name="robot"))
    assert report(api, {"key": plaintext}).status_code == 202
    assert (opens(api, plaintext), sent()) == (False, [])


@pytest.mark.parametrize(
    "body",
    [{"key": None}, {"key": 7}, {"key": []}, "null", "7", '"x"'],
    ids=["null", "number", "array", "null body", "number body", "text body"],
)
def test_what_is_no_report_is_refused(api: Api, db: None, body: Any) -> None:
    assert errors_of(report(api, body)) == [("key", "invalid")]
    assert api.get("/keys/report").status_code == 405


@pytest.mark.parametrize(
    ("body", "errors"),
    [
        pytest.param({}, [("key", "required", "This field is required.")], id="empty"),
        pytest.param(b"", [("key", "required", "This field is required.")], id="nothing"),
        pytest.param({"keys": "x"}, [("keys", "unknown", UNKNOWN)], id="other"),
        pytest.param(
            {"key": 7, "url": "y", "a": 1}, [("a", "unknown", UNKNOWN), ("url", "unknown", UNKNOWN)], id="more"
        ),
        pytest.param({"key": 7}, [("key", "invalid", "Not a valid string.")], id="number"),
        pytest.param("7", [("key", "invalid", 'Send {"key": …}, or GitHub\'s array.')], id="no object"),
    ],
)
def test_a_report_of_the_wrong_fields_is_told_which(
    api: Api, db: None, body: Any, errors: list[tuple[str, str, str]]
) -> None:
    assert report(api, body).json() == {
        "type": "about:blank",
        "title": "Bad Request",
        "status": 400,
        "detail": "The request has fields that are not valid.",
        "errors": [{"field": field, "code": code, "message": message} for field, code, message in errors],
    }


def test_a_report_beyond_what_a_body_may_be_is_too_large(api: Api, db: None) -> None:
    response = report(api, {"key": "a" * 1024 * 1024})
    assert (response.status_code, response["Content-Type"]) == (413, "application/problem+json")
    assert report(api, b"key=x", content_type="application/x-www-form-urlencoded").status_code == 415


def test_reports_are_limited_by_address_and_an_ipv6_client_has_one_network(alice: User) -> None:
    _, plaintext = make_key(alice)

    def send(address: str, text: str = "junk") -> int:
        client = Client(REMOTE_ADDR=address)
        return client.post("/keys/report", {"key": text}, content_type="application/json").status_code

    assert {send(f"2001:db8::{n:x}") for n in range(30)} == {202}
    assert [send("2001:db8::ffff:1", plaintext), send("2001:db8:0:1::1"), send("192.0.2.1")] == [429, 202, 202]
    assert APIKey.objects.get().revoked_at is None
    limited = Client(REMOTE_ADDR="2001:db8::1").post("/keys/report", {}, content_type="application/json")
    assert 1 <= int(limited["Retry-After"]) <= 60
