"""GitHub's reports of leaked keys: an array that it has signed."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from django.core.checks import ERROR, run_checks
from django.core.management import call_command
from django.db import connection

from accounts.models import User
from apikeys import keys, leaks
from apikeys.models import Secret
from audit.models import AuditEvent
from authsvc.config.checks import TAG
from tests.apikeys.test_leaks import ACCEPTED, opens, report, sent
from tests.conftest import Api, errors_of
from tests.factories import make_key

KEY_ID = "90a421169f0a406205f1563a953312f0be898d3c7b6c06b681aa86a874555f4a"
SIGNER, STRANGER = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
SIGNATURE_REFUSED = [("Github-Public-Key-Signature", "invalid")]


def listed(*public: Any) -> str:
    pems = [key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode() for key in public]
    entries = [{"key_identifier": KEY_ID, "key": pem, "is_current": True} for pem in pems]
    return json.dumps({"public_keys": entries})


@pytest.fixture
def keys_file(settings: Any, tmp_path: Path) -> Iterator[Path]:
    """The file of GitHub's public keys, with the one of SIGNER."""
    path = tmp_path / "github.json"
    path.write_text(listed(SIGNER.public_key()))
    settings.LEAK_REPORT_KEYS_FILE = str(path)
    leaks.public_keys.cache_clear()
    yield path
    leaks.public_keys.cache_clear()


def signed(raw: bytes, signer: ec.EllipticCurvePrivateKey = SIGNER, key_id: str = KEY_ID) -> dict[str, str]:
    signature = base64.b64encode(signer.sign(raw, ec.ECDSA(SHA256()))).decode()
    return {"Github-Public-Key-Identifier": key_id, "Github-Public-Key-Signature": signature}


def github(api: Api, entries: Any) -> Any:
    raw = json.dumps(entries).encode()
    return report(api, raw, headers=signed(raw))


def test_github_reports_many_at_once_with_the_place_where_each_was_found(
    api: Api, alice: User, bob: User, keys_file: Path
) -> None:
    (_, first), (_, second), (_, third) = make_key(alice), make_key(bob), make_key(bob)
    url = "https://github.com/octocat/hello/blob/main/.env"
    entries = [
        {"token": first, "type": "authsvc_api_key", "url": url, "source": "content"},
        {"token": second, "url": ""},
        {"token": third, "url": 7},
        {"token": "junk"},
    ]
    response = github(api, entries)
    assert (response.status_code, response.json()) == (202, ACCEPTED)
    assert [opens(api, text) for text in (first, second, third)] == [False, False, False]
    events = AuditEvent.objects.filter(event="api_key:revoked_leak").order_by("id")
    assert [event.reason for event in events] == [f"GitHub: {url}", "GitHub", "GitHub"]
    assert len(sent()) == 3


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param(lambda raw: {}, id="no headers"),
        pytest.param(lambda raw: signed(raw, STRANGER), id="another's signature"),
        pytest.param(lambda raw: signed(raw + b" "), id="altered body"),
        pytest.param(lambda raw: signed(raw, key_id="0" * 64), id="unknown key"),
        pytest.param(lambda raw: signed(raw, key_id=""), id="empty key"),
        pytest.param(lambda raw: {"Github-Public-Key-Identifier": KEY_ID}, id="no signature"),
        pytest.param(lambda raw: {**signed(raw), "Github-Public-Key-Signature": "%%%"}, id="not base64"),
        pytest.param(lambda raw: {**signed(raw), "Github-Public-Key-Signature": "é"}, id="not ASCII"),
        pytest.param(lambda raw: {**signed(raw), "Github-Public-Key-Signature": "AAAA"}, id="no signature's form"),
        pytest.param(lambda raw: {**signed(raw), "Github-Public-Key-Signature": "A" * 9}, id="padding"),
    ],
)
def test_an_array_that_github_did_not_sign_revokes_nothing(
    api: Api, alice: User, keys_file: Path, headers: Callable[[bytes], dict[str, str]]
) -> None:
    _, plaintext = make_key(alice)
    raw = json.dumps([{"token": plaintext}]).encode()
    assert errors_of(report(api, raw, headers=headers(raw))) == SIGNATURE_REFUSED
    assert opens(api, plaintext)


def test_without_a_file_of_keys_no_array_is_accepted(api: Api, alice: User, settings: Any) -> None:
    _, plaintext = make_key(alice)
    assert settings.LEAK_REPORT_KEYS_FILE == ""
    assert errors_of(github(api, [{"token": plaintext}])) == SIGNATURE_REFUSED
    assert opens(api, plaintext)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(None, id="missing"),
        pytest.param("{", id="no JSON"),
        pytest.param("{}", id="no keys"),
        pytest.param('{"public_keys": null}', id="null"),
        pytest.param('{"public_keys": [{"key_identifier": "x"}]}', id="no key"),
        pytest.param('{"public_keys": [{"key_identifier": [], "key": null}]}', id="null for a key"),
        pytest.param('{"public_keys": [{"key_identifier": "x", "key": "y"}]}', id="no PEM"),
        pytest.param("[" * 100_000, id="bottomless"),
        pytest.param(listed(rsa.generate_private_key(65537, 2048).public_key()), id="RSA"),
    ],
)
def test_a_file_of_keys_that_is_wrong_opens_nothing_and_is_no_clients_fault(
    api: Api, alice: User, keys_file: Path, content: str | None
) -> None:
    _, plaintext = make_key(alice)
    keys_file.unlink() if content is None else keys_file.write_text(content)
    (error,) = (message for message in run_checks(tags=[TAG]) if message.level >= ERROR)
    assert (error.id, error.msg.startswith("LEAK_REPORT_KEYS_FILE names a file ")) == ("apikeys.E001", True)
    response = github(api, [{"token": plaintext}])
    assert response.status_code in {400, 503}
    assert opens(api, plaintext)
    assert report(api, {"key": plaintext}).status_code == 202


@pytest.mark.parametrize(
    "entry",
    [7, None, [], "sk_x", {}, {"token": None}, {"token": 7}, {"token": ["x"]}, {"url": "https://x"}],
    ids=["number", "null", "array", "text", "empty", "null token", "number as token", "array as token", "no token"],
)
def test_an_entry_of_something_else_keeps_no_key_alive(api: Api, alice: User, keys_file: Path, entry: Any) -> None:
    (_, first), (_, last) = make_key(alice), make_key(alice)
    response = github(api, [{"token": first}, entry, {"token": f" {last}\r\n"}, entry])
    assert (response.status_code, response.json()) == (202, ACCEPTED)
    assert (opens(api, first), opens(api, last), len(sent())) == (False, False, 2)


@pytest.mark.parametrize("body", [{"key": "junk"}, {"keys": []}, "text", 7])
def test_a_signed_body_that_is_no_array_is_judged_as_any_other(api: Api, db: None, keys_file: Path, body: Any) -> None:
    assert github(api, body).content == report(api, json.dumps(body)).content


def test_signed_reports_are_not_limited_and_all_others_are(api: Api, alice: User, keys_file: Path) -> None:
    found = [make_key(alice)[1] for _ in range(3)]
    assert [github(api, [{"token": "junk"}]).status_code for _ in range(40)] == [202] * 40
    forged = json.dumps([{"token": found[0]}]).encode()
    wrong = [signed(forged, STRANGER), signed(forged + b" "), signed(forged, key_id="0" * 64), {}]
    statuses = [report(api, forged, headers=wrong[n % 4]).status_code for n in range(32)]
    assert statuses == [400] * 30 + [429] * 2
    assert report(api, {"key": found[1]}).status_code == 429
    assert github(api, [{"token": found[2]}]).status_code == 202
    assert [opens(api, plaintext) for plaintext in found] == [True, True, False]


@pytest.mark.parametrize(
    "content", ["", '{"public_keys": []}', listed(SIGNER.public_key())], ids=["none", "empty", "one"]
)
def test_a_file_that_can_be_used_is_no_fault(settings: Any, keys_file: Path, content: str) -> None:
    keys_file.write_text(content)
    settings.LEAK_REPORT_KEYS_FILE = str(keys_file) if content else ""
    assert [message for message in run_checks(tags=[TAG]) if message.level >= ERROR] == []


def test_an_empty_array_is_thanked_for_where_it_is_signed(api: Api, db: None, keys_file: Path) -> None:
    assert github(api, []).json() == ACCEPTED
    assert errors_of(report(api, [])) == SIGNATURE_REFUSED


def test_a_report_that_is_too_long_is_not_accepted_in_part(api: Api, alice: User, keys_file: Path) -> None:
    _, plaintext = make_key(alice)
    response = github(api, [{"token": "junk"}] * leaks.MAX_TOKENS + [{"token": plaintext}])
    # Either answer is true; "accepted", and the last key lives on, is not.
    assert (response.status_code, opens(api, plaintext)) in {(202, False), (400, True), (413, True)}


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        pytest.param("https://x/\x1b[31m\r\n\0\u202ered\ud800", "GitHub: https://x/[31mred", id="steering"),
        pytest.param("https://x/" + "a" * 5000, "GitHub: https://x/" + "a" * 182, id="5 kB"),
        pytest.param("🗝" * 300, "GitHub: " + "🗝" * 192, id="letters of four bytes"),
        pytest.param(" " * 300, "GitHub:", id="space"),
    ],
)
def test_a_source_is_one_short_line(api: Api, alice: User, keys_file: Path, url: str, reason: str) -> None:
    _, plaintext = make_key(alice)
    assert github(api, [{"token": plaintext, "url": url}]).status_code == 202
    assert AuditEvent.objects.get(event="api_key:revoked_leak").reason == reason
    assert f"Source: {reason}\n" in sent()[0].body


def test_no_plaintext_and_no_digest_stays_behind(
    api: Api, alice: User, keys_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _, one = make_key(alice)
    _, two = make_key(alice)
    caplog.set_level("DEBUG")
    report(api, {"key": one})
    github(api, [{"token": two, "url": "https://x"}])
    call_command("dumpdata", "audit", "apikeys.apikey", "apikeys.usage", output=(dump := keys_file.with_suffix(".d")))
    texts = [dump.read_text(), caplog.text, *(message.message().as_string() for message in sent())]
    assert len(texts) == 4
    for secret in (one, two):
        digest = keys.digest(secret)
        assert not any(part in text for text in texts for part in (secret, secret[11:], digest.hex()))
    with connection.cursor() as cursor:
        cursor.execute("SELECT prefix FROM apikeys_secret")
        assert {prefix for (prefix,) in cursor.fetchall()} == {one[:11], two[:11]}
    assert Secret.objects.count() == 2
