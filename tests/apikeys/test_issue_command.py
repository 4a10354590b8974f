"""manage.py issue_api_key, run as from a shell but in this process."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from accounts.models import User
from apikeys.models import APIKey
from tests.apikeys.conftest import Manage, Ran, opens
from tests.conftest import Api
from tests.factories import make_role, token_of

ISSUE = ("issue_api_key", "--user", "carol", "--name", "x")


@pytest.mark.parametrize("user", ["carol", "CAROL", "carol@example.com", "Carol@Example.COM"])
def test_the_key_alone_is_on_stdout_and_opens(manage: Manage, carol: User, user: str) -> None:
    ran = manage("issue_api_key", "--user", user, "--name", "nightly export")
    key = APIKey.objects.get(owner=carol)
    assert re.fullmatch(r"sk_[0-9A-Za-z]{49}\n", ran.stdout)
    assert re.fullmatch(rf"Issued key {key.pk} \(nightly export\) for carol; it expires \S+Z\.\n", ran.stderr)
    assert (ran.status, opens(ran.stdout.strip())) == (0, True)


def test_json_is_the_body_that_the_api_answers(manage: Manage, carol: User, alices_body: dict[str, Any]) -> None:
    carol.groups.add(make_role("reader", "reports:read"))
    ran = manage(
        "issue_api_key",
        "--user",
        "carol",
        "--name",
        "deploy",
        "--scope",
        "reports:read",
        "--expires-in-days",
        "7",
        "--json",
    )
    body = json.loads(ran.stdout)
    key = APIKey.objects.get(owner=carol)
    assert {name: type(value) for name, value in body.items()} == {
        name: type(value) for name, value in alices_body.items()
    }
    assert (body["id"], body["name"], body["scopes"], body["prefix"]) == (
        key.pk,
        "deploy",
        ["reports:read"],
        body["key"][:11],
    )
    assert (key.expires_at - key.created_at).days == 7
    assert opens(body["key"])


@pytest.fixture
def alices_body(carol: User) -> dict[str, Any]:
    """The 201 body of the API for a key of somebody's, which is gone again."""
    body: dict[str, Any] = Api().post("/keys", {"name": "x"}, token=token_of(carol)).json()
    carol.api_keys.all().delete()
    return body


def test_scopes_may_be_given_more_than_once(manage: Manage, carol: User) -> None:
    carol.groups.add(make_role("reader", "reports:read", "reports:write"))
    words = ["--scope", "reports:write", "--scope", "reports:read", "--scope", "reports:write"]
    ran = manage("issue_api_key", "--user", "carol", "--name", "x", *words)
    assert (ran.status, APIKey.objects.get(owner=carol).scope) == (0, "reports:read reports:write")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        pytest.param(("issue_api_key", "--user", "nobody", "--name", "x"), "There is no user 'nobody'.", id="user"),
        pytest.param(("issue_api_key", "--user", "", "--name", "x"), "There is no user ''.", id="no user"),
        pytest.param(
            ("issue_api_key", "--user", "n@x.org", "--name", "x"), "There is no user 'n@x.org'.", id="address"
        ),
        pytest.param(("issue_api_key", "--user", "carol", "--name", "  "), "A key needs a name.", id="blank name"),
        pytest.param(
            ("issue_api_key", "--user", "carol", "--name", "n" * 101),
            "A name has at most 100 characters.",
            id="long name",
        ),
        pytest.param(
            ("issue_api_key", "--user", "carol", "--name", "a\x1b[0m"),
            "A name has no control characters.",
            id="control",
        ),
        pytest.param(
            ("issue_api_key", "--user", "carol", "--name", "a\udcffb"), "A name has no control characters.", id="bytes"
        ),
        pytest.param((*ISSUE, "--scope", "no:such"), "There is no scope 'no:such'.", id="unknown scope"),
        pytest.param((*ISSUE, "--scope", ""), "There is no scope ''.", id="empty scope"),
        pytest.param(
            (*ISSUE, "--scope", "reports:read"), "A key cannot have a scope that its owner lacks.", id="not granted"
        ),
        pytest.param((*ISSUE, "--expires-in-days", "0"), "A key lives from 1 to 3650 days.", id="zero days"),
        pytest.param((*ISSUE, "--expires-in-days", "3651"), "A key lives from 1 to 3650 days.", id="too many days"),
        pytest.param((*ISSUE, "--expires-in-days", "9" * 18), "A key lives from 1 to 3650 days.", id="18 digits"),
        pytest.param((*ISSUE, "--expires-in-days", "9" * 20), "A key lives from 1 to 3650 days.", id="20 digits"),
        pytest.param((*ISSUE, "--expires-in-days", "-1"), "A key lives from 1 to 3650 days.", id="negative"),
        *(
            pytest.param(
                (*ISSUE, "--expires-in-days", days),
                f"--expires-in-days must be a whole number, not {days!r}.",
                id=repr(days),
            )
            for days in ("soon", "1.5", "", "1_0", "９", " 7")
        ),
    ],
)
def test_a_key_that_cannot_be_issued_is_one_sentence_and_no_key(
    manage: Manage, carol: User, words: tuple[str, ...], sentence: str
) -> None:
    assert manage(*words) == Ran(1, "", f"{sentence}\n")
    assert not carol.api_keys.exists()


@pytest.mark.parametrize("words", [("--user", "\udcff"), ("--user", "\udcff@example.com"), ("--scope", "\udcff")])
def test_words_that_are_no_text_are_one_sentence_too(manage: Manage, carol: User, words: tuple[str, ...]) -> None:
    ran = manage(*ISSUE, *words)
    assert (ran.status, ran.stdout, len(ran.stderr.splitlines())) == (1, "", 1)
    assert not carol.api_keys.exists()


def test_a_disabled_user_gets_no_key(manage: Manage, carol: User) -> None:
    User.objects.filter(pk=carol.pk).update(is_active=False)
    assert manage(*ISSUE) == Ran(1, "", "The user 'carol' is disabled.\n")
    assert not carol.api_keys.exists()
