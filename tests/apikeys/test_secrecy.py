"""The plaintext of a key is with its owner and nowhere else; its digest is in one column and nowhere else."""

from __future__ import annotations

import base64
import logging
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import User
from apikeys import keys
from apikeys.models import APIKey, Secret
from tests.conftest import Api
from tests.factories import make_key


def rows() -> dict[str, list[tuple[Any, ...]]]:
    """Return every row of every table, with binary values as bytes."""
    found = {}
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")
            found[table] = [
                tuple(bytes(value) if isinstance(value, memoryview) else value for value in row) for row in cursor
            ]
    return found


def holding(needle: str | bytes) -> list[str]:
    """Return the tables of which some value holds a text or its bytes."""
    text = needle if isinstance(needle, str) else repr(needle)[2:-1]
    return [table for table, found in rows().items() if text in repr(found)]


def live(api: Api, token: str) -> str:
    """Issue a key, use it, change it, try a typo of it, revoke it, show it once more, and return it."""
    made = api.post("/keys/create", {"name": "nightly export"}, token=token).json()
    key, path = made["key"], f"/keys/{made['id']}"
    answers = [
        api.get("/protected/service", key=key),
        api.patch(path, {"name": "weekly export"}, token=token),
        api.get("/protected/service", key=key.swapcase()),
        api.get("/keys", token=token),
        api.get(path, token=token),
        api.delete(path, token=token),
        api.get("/protected/service", key=key),
        api.get("/protected/user", token=key),
    ]
    assert [answer.status_code for answer in answers] == [200, 200, 401, 200, 200, 204, 401, 401]
    assert not [answer for answer in answers if key in answer.content.decode() or key in str(answer.headers)]
    return str(key)


def test_no_table_holds_the_plaintext_or_the_random_part_of_it(api: Api, alices_token: str) -> None:
    key = live(api, alices_token)
    assert holding(key[:11]) == [Secret._meta.db_table]
    assert holding(key[:12]) == []
    assert holding(key[11:]) == []


def test_one_column_holds_the_digest_and_no_other_form_of_it_is_anywhere(api: Api, alices_token: str) -> None:
    digest = keys.digest(live(api, alices_token))
    assert holding(digest) == [Secret._meta.db_table]
    assert holding(digest.hex()) == []
    assert holding(base64.b64encode(digest).decode()[:40]) == []


def test_no_log_of_any_level_tells_the_plaintext_or_a_part_of_it(
    api: Api, alices_token: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG), CaptureQueriesContext(connection) as queries:
        key = live(api, alices_token)
    told = "".join(
        [caplog.text, *(query["sql"] for query in queries), *(repr(vars(record)) for record in caplog.records)]
    )
    assert key[:11] in told  # the INSERT, so the logs do say something
    assert key[:12] not in told
    assert key[11:] not in told


def test_no_object_shows_the_digest_or_the_plaintext_when_it_is_printed(alice: User) -> None:
    key, plaintext = make_key(alice, "nightly export")
    secret = key.secrets.get()
    printed = f"{key!r} {key} {secret!r} {secret} {APIKey.objects.all()!r} {Secret.objects.all()!r}"
    assert str(secret) == plaintext[:11]
    assert str(key) == f"nightly export (#{key.pk})"
    assert plaintext[:12] not in printed
    assert not [form for form in (repr(secret.digest), secret.digest.hex()) if form in printed]


@pytest.mark.parametrize("path", ["/keys", "/keys?status=active", "/keys?limit=1", "/keys/{id}"])
def test_no_answer_but_the_first_holds_a_secret(api: Api, alice: User, alices_token: str, path: str) -> None:
    key, plaintext = make_key(alice)
    answer = api.get(path.replace("{id}", str(key.pk)), token=alices_token)
    told = answer.content.decode()
    assert plaintext[:11] in told
    assert not [
        form
        for form in (plaintext, plaintext[:12], plaintext[11:], keys.digest(plaintext).hex(), "digest")
        if form in told
    ]


def test_a_name_is_data_and_a_key_pasted_into_the_wrong_field_is_not_repeated_by_an_error(
    api: Api, alices_token: str, alices_key: str
) -> None:
    body = {"name": alices_key + "\n" + alices_key, "scopes": [alices_key], "expires_in_days": alices_key}
    refused = [
        api.post("/keys", body, token=alices_token),
        api.post("/keys", {"name": "x", "scopes": [alices_key]}, token=alices_token),
        api.post("/keys", {"name": "x", "scopes": [f"{'x ' * 30}{alices_key}"]}, token=alices_token),
        api.post("/keys", {"name": "x", "scopes": [alices_token]}, token=alices_token),
        api.post("/keys", {"name": "x", "allowed_ips": [alices_key]}, token=alices_token),
        api.get(f"/keys/{alices_key}", token=alices_token),
    ]
    assert [response.status_code for response in refused] == [400] * 5 + [404]
    secrets = (alices_key[3:20], alices_token[:20])
    assert not [response for response in refused for secret in secrets if secret in response.content.decode()]
