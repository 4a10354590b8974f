"""manage.py revoke_api_key: by id, or by the key itself, which must not be repeated anywhere."""

from __future__ import annotations

import pytest

from apikeys import keys
from apikeys.models import APIKey
from tests.apikeys.conftest import CarolsKey, Manage, Ran, opens


@pytest.mark.parametrize("by", ["id", "key", "key without a newline", "key with space around it"])
def test_a_revocation_holds_at_once(manage: Manage, carols_key: CarolsKey, by: str) -> None:
    key, plaintext = carols_key
    stdin = {"id": "", "key": f"{plaintext}\n", "key without a newline": plaintext}.get(by, f"  {plaintext} \r\n")
    words = {"id": (str(key.pk),)}.get(by, ("--key", "-"))
    ran = manage("revoke_api_key", *words, "--reason", " left the company ", stdin=stdin.encode())
    key.refresh_from_db()
    assert ran == Ran(0, "", f"Revoked key {key.pk} (nightly export).\n")
    assert (key.is_revoked, key.revoked_reason, opens(plaintext)) == (True, "left the company", False)


def test_a_second_revocation_says_so_and_changes_nothing(manage: Manage, carols_key: CarolsKey) -> None:
    key, _ = carols_key
    manage("revoke_api_key", str(key.pk), "--reason", "the first")
    once = APIKey.objects.values().get(pk=key.pk)
    ran = manage("revoke_api_key", str(key.pk), "--reason", "the second")
    assert ran == Ran(0, "", f"Key {key.pk} (nightly export) was revoked before.\n")
    assert APIKey.objects.values().get(pk=key.pk) == once


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        pytest.param((), "Give either the key's ID or --key -.", id="neither"),
        pytest.param(("7", "--key", "-"), "Give either the key's ID or --key -.", id="both"),
        pytest.param(("0",), "There is no API key with the id 0.", id="zero"),
        pytest.param(("9" * 18,), f"There is no API key with the id {'9' * 18}.", id="no such id"),
        pytest.param(("9" * 19,), f"There is no API key with the id {'9' * 19}.", id="beyond 64 bits"),
        pytest.param(("9" * 5000,), f"There is no API key with the id {'9' * 5000}.", id="beyond all ids"),
        pytest.param(("-1",), "There is no API key with the id -1.", id="negative"),
        pytest.param(("abc",), "ID must be a whole number: the key's id, not the key.", id="no number"),
        pytest.param(("--key", "-"), "There is no API key like the one on standard input.", id="empty stdin"),
        pytest.param(("ID", "--reason", "r" * 201), "A reason is one line of at most 200 characters.", id="long"),
        pytest.param(("ID", "--reason", "a\nb"), "A reason is one line of at most 200 characters.", id="lines"),
    ],
)
def test_a_revocation_that_cannot_be_is_one_sentence_and_revokes_nothing(
    manage: Manage, carols_key: CarolsKey, words: tuple[str, ...], sentence: str
) -> None:
    key, plaintext = carols_key
    ran = manage("revoke_api_key", *(str(key.pk) if word == "ID" else word for word in words))
    assert ran == Ran(1, "", f"{sentence}\n")
    assert opens(plaintext)


@pytest.mark.parametrize(
    "stdin",
    [
        pytest.param(keys.generate("sk").plaintext.encode(), id="unknown"),
        pytest.param(b"sk_junk\n", id="malformed"),
        pytest.param("sk_é\n".encode(), id="not ASCII"),
        pytest.param(b"\xff\xfe\x00\n", id="not UTF-8"),
        pytest.param(b"\nsk_on_the_second_line\n", id="empty line"),
        pytest.param(b"a" * 1_000_000, id="1 MB"),
    ],
)
def test_what_is_on_stdin_and_no_key_is_one_sentence_that_does_not_repeat_it(manage: Manage, stdin: bytes) -> None:
    ran = manage("revoke_api_key", "--key", "-", stdin=stdin)
    assert ran == Ran(1, "", "There is no API key like the one on standard input.\n")


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(("revoke_api_key", "--key", "KEY"), id="as the key"),
        pytest.param(("revoke_api_key", "--key=KEY"), id="as the key, with an equals sign"),
        pytest.param(("revoke_api_key", "KEY"), id="as the id"),
        pytest.param(("revoke_api_key", "1", "KEY"), id="as one word too many"),
        pytest.param(("revoke_api_key", "--kye", "KEY"), id="after a misspelt option"),
        pytest.param(("revoke_api_key", "--kye=KEY"), id="in a misspelt option"),
    ],
)
def test_a_key_on_the_command_line_is_refused_and_not_repeated(
    manage: Manage, carols_key: CarolsKey, words: tuple[str, ...]
) -> None:
    _, plaintext = carols_key
    ran = manage(*(word.replace("KEY", plaintext) for word in words))
    assert (ran.status, ran.stdout, len(ran.stderr.splitlines())) == (1, "", 1)
    assert plaintext not in ran.stderr
    assert opens(plaintext)
