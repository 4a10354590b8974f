"""An address that was never confirmed: whoever signed up with it keeps no key after its owner's reset by mail."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import Session, User
from accounts.services import mail_links, sessions
from apikeys import services, views
from apikeys.models import APIKey
from audit.models import AuditEvent
from tests.accounts.mails import sent, token_in
from tests.conftest import BAD_CREDENTIAL, Api, errors_of
from tests.factories import PASSWORD, UserFactory, make_key, token_of

ASK, CONFIRM = "/auth/password/reset", "/auth/password/reset/confirm"
NEW = "another-horse-battery"
REASON = "made before the address was confirmed"


@pytest.fixture
def squatter(db: None) -> User:
    """Somebody who has signed up with the address of somebody else, which is not confirmed."""
    return UserFactory(username="squatter", email="victim@example.com", confirmation_sent_at=timezone.now())


@pytest.fixture
def unasked(db: None) -> User:
    """An account from before every sign-up was asked to confirm."""
    return UserFactory(username="unasked", email="victim@example.com")


def reset_mail(api: Api) -> Any:
    assert api.post(ASK, {"email": "victim@example.com"}).status_code == 202
    return sent()[-1]


def confirm(api: Api, message: Any, **more: Any) -> Any:
    return api.post(CONFIRM, {"token": token_in(message), "new_password": NEW, **more})


def works(api: Api, key: str) -> bool:
    return bool(api.get("/protected/service", key=key).status_code == 200)


def test_a_key_from_before_the_reset_is_revoked_with_it(api: Api, db: None) -> None:
    who = {"username": "squatter", "password": PASSWORD}
    assert api.post("/auth/signup", {**who, "email": "victim@example.com"}).status_code == 201
    token = api.post("/auth/login", who).json()["access_token"]
    key = api.post("/keys", {"name": "ten years", "expires_in_days": 3650}, token=token).json()["key"]
    assert works(api, key)
    assert confirm(api, reset_mail(api)).status_code == 204
    response = api.get("/protected/service", key=key)
    assert (response.status_code, response.json()) == (401, BAD_CREDENTIAL)
    row = APIKey.objects.get()
    event = AuditEvent.objects.get(event="api_key:revoked")
    assert (row.revoked_reason, event.reason, event.subject_id, event.actor_name) == (
        *(REASON, REASON, row.pk),
        "squatter",
    )


def test_keys_of_others_stay_and_so_do_those_made_after_it(api: Api, squatter: User, bob: User) -> None:
    keys = [make_key(owner)[1] for owner in (squatter, bob)]
    message = reset_mail(api)
    late = make_key(squatter, expires_at=timezone.now() + timedelta(days=1))[1]
    switched_off = make_key(squatter, is_enabled=False)[0]
    assert confirm(api, message).status_code == 204
    assert [works(api, key) for key in (*keys, late)] == [False, True, False]
    switched_off.refresh_from_db()
    assert switched_off.is_revoked
    token = api.post("/auth/login", {"username": "squatter", "password": NEW}).json()["access_token"]
    assert works(api, api.post("/keys", {"name": "mine"}, token=token).json()["key"])
    User.objects.filter(pk=squatter.pk).update(email_verified_at=timezone.now())
    assert confirm(api, reset_mail(api)).status_code == 204
    assert APIKey.objects.filter(revoked_at=None).count() == 2


def test_the_mail_lists_the_keys_newest_first(api: Api, squatter: User, settings: Any) -> None:
    made = [make_key(squatter, name)[0] for name in ("first", "https://evil.example/?x=1 <b>", "{link} %s")]
    make_key(squatter, "ended", revoked_at=timezone.now())
    make_key(squatter, "expired", expires_at=timezone.now())
    body = reset_mail(api).body
    days = [f"{key.prefix}..., created {key.created_at:%Y-%m-%d}" for key in made]
    listed = [
        f"    _link_ _s ({days[2]})",
        f"    https___evil_example__x_1 _b_ ({days[1]})",
        f"    first ({days[0]})",
    ]
    assert f"A new password revokes them:\n\n{chr(10).join(listed)}\n\nIf it was not you" in body
    assert "keep_keys" not in body
    assert len(re.findall(r"://", body)) == 1


def test_the_mail_lists_twenty_and_counts_the_rest(api: Api, squatter: User) -> None:
    for number in range(23):
        make_key(squatter, f"key {number}")
    body = reset_mail(api).body
    assert re.findall(r"^    key (\d+) ", body, re.MULTILINE) == [str(number) for number in range(22, 2, -1)]
    assert "\n    and 3 more\n" in body


@pytest.mark.parametrize("state", ["no keys", "confirmed before"])
def test_a_mail_that_concerns_no_key_speaks_of_none(api: Api, squatter: User, state: str) -> None:
    if state == "confirmed before":
        User.objects.update(email_verified_at=timezone.now())
        make_key(squatter)
    assert "API key" not in reset_mail(api).body


# --- Accounts whose address was confirmed, perhaps by somebody who did not sign up -----------------------------------


@pytest.fixture
def earlier_and_later(squatter: User) -> list[str]:
    """A key from before the address was confirmed, and one from after it."""
    earlier = make_key(squatter, "earlier")[1]
    User.objects.update(email_verified_at=timezone.now())
    return [earlier, make_key(squatter, "later")[1]]


def test_the_keys_from_before_the_confirmation_are_named(api: Api, earlier_and_later: list[str]) -> None:
    body = reset_mail(api).body
    assert re.findall(r"^    (\w+) \(", body, re.MULTILINE) == ["earlier"]
    assert '"keep_keys": false' in body


@pytest.mark.parametrize(
    ("choice", "left"),
    [
        pytest.param({"keep_keys": False}, [False, True], id="revoke"),
        pytest.param({"keep_keys": True}, [True, True], id="keep"),
        pytest.param({}, [True, True], id="no choice"),
    ],
)
def test_the_keys_from_before_the_confirmation_are_revoked_on_demand(
    api: Api, earlier_and_later: list[str], choice: dict[str, bool], left: list[bool]
) -> None:
    assert confirm(api, reset_mail(api), **choice).status_code == 204
    assert [works(api, key) for key in earlier_and_later] == left


# --- Accounts that were never asked ---------------------------------------------------------------------------------


def test_an_account_that_was_never_asked_is_told_and_loses_its_keys_by_default(api: Api, unasked: User) -> None:
    key = make_key(unasked, "deploy")[1]
    message = reset_mail(api)
    assert '"keep_keys": true' in message.body
    assert "    deploy (" in message.body
    assert confirm(api, message, keep_keys=False).status_code == 204
    assert not works(api, key)


def test_an_account_that_was_never_asked_may_keep_its_keys(api: Api, unasked: User) -> None:
    key = make_key(unasked)[1]
    assert confirm(api, reset_mail(api), keep_keys=True).status_code == 204
    assert works(api, key)
    assert User.objects.get().email_verified_at is not None


def test_an_account_that_was_asked_and_did_not_confirm_keeps_none(api: Api, unasked: User) -> None:
    User.objects.update(confirmation_sent_at=timezone.now())
    key = make_key(unasked)[1]
    message = reset_mail(api)
    assert errors_of(confirm(api, message, keep_keys=True)) == [("keep_keys", "not_allowed")]
    assert works(api, key)
    assert confirm(api, message).status_code == 204


@pytest.mark.parametrize("value", ["true", 1, None, []], ids=str)
def test_the_choice_is_a_truth_value(api: Api, unasked: User, value: Any) -> None:
    ((field, _),) = errors_of(confirm(api, reset_mail(api), keep_keys=value))
    assert field == "keep_keys"


# --- Races ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["reset", "logout"])
def test_a_key_that_is_asked_for_while_the_session_ends_is_not_made(
    api: Api, squatter: User, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    token, parse = token_of(squatter), views.parse
    message = reset_mail(api)

    def overtaken(*arguments: Any) -> dict[str, Any]:
        """Read the body, while the session of a request that has been let in ends."""
        monkeypatch.setattr(views, "parse", parse)
        if end == "reset":
            assert confirm(Api(), message).status_code == 204
        else:
            sessions.end_all(user=squatter, reason="x")
        return parse(*arguments)

    monkeypatch.setattr(views, "parse", overtaken)
    response = api.post("/keys", {"name": "late"}, token=token)
    assert (response.status_code, response.json()) == (401, BAD_CREDENTIAL)
    assert (APIKey.objects.count(), Session.objects.live(timezone.now()).count()) == (0, 0)


def test_the_password_and_the_keys_change_together_or_not_at_all(
    api: Api, squatter: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, message = make_key(squatter)[1], reset_mail(api)

    def fail(*arguments: Any, **options: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(services.audit, "record_all", fail)
    assert confirm(api, message).status_code == 500
    monkeypatch.undo()
    assert works(api, key)
    assert User.objects.get().check_password(PASSWORD)
    assert mail_links.reset_tokens.find(token_in(message)) == squatter
