"""An id that is given out again after a restore: what was issued for the row before it opens nothing of the new one."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import pytest
from django.apps import apps
from django.core.exceptions import ValidationError
from django.test import Client

from accounts.jwt.tokens import TokenPair
from accounts.models import RefreshToken, Session, User, new_stamp
from accounts.services import mail_links, sessions
from tests.accounts.conftest import claims_of, sign
from tests.accounts.mails import link_error_of
from tests.conftest import BAD_CREDENTIAL, Api
from tests.factories import PASSWORD, UserFactory, granted, pair_of

LOST = {"username": "mallory", "email": "mallory@example.com"}


def give_out_again(user: User) -> User:
    """Delete a user and all that is its own, as a restore does, and give the ids to a victim and its login."""
    (session,) = Session.objects.filter(user=user)
    Session.objects.all().delete()
    User.objects.filter(pk=user.pk).delete()
    victim: User = UserFactory(pk=user.pk, username="victim", email="victim@example.com")
    pair_of(victim)
    Session.objects.update(id=session.pk)
    RefreshToken.objects.update(session=session.pk)
    return victim


@pytest.fixture
def lost(db: None) -> TokenPair:
    """The tokens of somebody whom a restore has lost, and whose ids somebody else has by now."""
    mallory = UserFactory(**LOST)
    pair = pair_of(mallory)
    Session.objects.exclude(pk=claims_of(pair.access_token)["sid"]).delete()
    give_out_again(mallory)
    return pair


def test_an_access_token_opens_nothing_of_the_next_who_has_its_ids(api: Api, lost: TokenPair) -> None:
    claims = claims_of(lost.access_token)
    victims = Session.objects.get()
    assert (claims["sid"], claims["sub"]) == (str(victims.pk), str(victims.user_id))
    answers = [api.get(path, token=lost.access_token) for path in ("/auth/me", "/auth/verify", "/keys")]
    answers += [api.post("/keys", {"name": "x"}, token=lost.access_token), api.delete("/auth/sessions", token=lost[0])]
    assert [(answer.status_code, answer.json()) for answer in answers] == [(401, BAD_CREDENTIAL)] * 5


@pytest.mark.parametrize("route", ["/auth/refresh", "/auth/logout"])
def test_a_refresh_token_neither_refreshes_nor_ends_the_session_of_the_next(
    api: Api, lost: TokenPair, route: str
) -> None:
    response = api.post(route, {"refresh_token": lost.refresh_token})
    assert (response.status_code, response.json()) == (401, BAD_CREDENTIAL)
    assert Session.objects.get().ended_at is None


@pytest.mark.parametrize("route", ["/auth/refresh", "/auth/logout"])
def test_nor_does_one_whose_digest_is_there(api: Api, lost: TokenPair, route: str) -> None:
    digest = sessions.tokens.read_refresh_token(lost.refresh_token).digest
    RefreshToken.objects.update(digest=digest)
    assert api.post(route, {"refresh_token": lost.refresh_token}).status_code == 401
    assert (Session.objects.get().ended_at, RefreshToken.objects.get().spent_at) == (None, None)


def test_a_session_from_before_bindings_goes_on_with_its_tokens_and_with_no_other(api: Api, alice: User) -> None:
    pair = pair_of(alice)
    bound = claims_of(pair.access_token)
    Session.objects.update(binding=None)
    unbound = {name: value for name, value in bound.items() if name != "bind"}
    statuses = [api.get("/auth/me", token=sign(claims)).status_code for claims in (unbound, bound)]
    assert statuses == [200, 401]
    assert api.get("/auth/me", token=sign({**bound, "bind": None})).status_code == 401
    refresh = {name: value for name, value in claims_of(pair.refresh_token).items() if name != "bind"}
    answer = api.post("/auth/refresh", {"refresh_token": sign(refresh)})
    assert (answer.status_code, "bind" in claims_of(answer.json()["access_token"])) == (200, False)


def test_every_login_is_bound_to_a_value_of_its_own_which_a_refresh_keeps(api: Api, alice: User) -> None:
    pairs = [pair_of(alice) for _ in range(3)]
    assert len({claims_of(pair.access_token)["bind"] for pair in pairs}) == 3
    answer = api.post("/auth/refresh", {"refresh_token": pairs[0].refresh_token}).json()
    found = {claims_of(token)["bind"] for token in (*pairs[0][:2], answer["access_token"], answer["refresh_token"])}
    assert len(found) == 1


# --- The user's stamp: mailed links and the console -----------------------------------------------------------------


@pytest.mark.parametrize(
    "kind", [mail_links.reset_tokens, mail_links.confirmation_tokens], ids=["reset", "confirmation"]
)
def test_a_mailed_link_ends_with_the_stamp(alice: User, kind: Any) -> None:
    token = kind.make(alice)
    assert kind.find(token) == alice
    User.objects.update(security_stamp=new_stamp())
    with pytest.raises(ValidationError, match="has been used already"):
        kind.find(token)


@pytest.mark.parametrize(
    "kind", [mail_links.reset_tokens, mail_links.confirmation_tokens], ids=["reset", "confirmation"]
)
def test_a_link_from_before_the_stamp_works_until_there_is_one(alice: User, kind: Any) -> None:
    User.objects.update(security_stamp=None)
    token = kind.make(User.objects.get())
    assert kind.find(token) == alice
    User.objects.update(security_stamp=new_stamp())
    with pytest.raises(ValidationError, match="has been used already"):
        kind.find(token)


@pytest.mark.parametrize("stamped", [True, False])
def test_a_console_session_ends_with_the_stamp_and_outlives_a_change_of_secret_key(
    db: None, settings: Any, stamped: bool
) -> None:
    root = UserFactory(username="root", is_staff=True, is_superuser=True)
    if not stamped:
        User.objects.update(security_stamp=None)
    client = Client()
    client.force_login(granted(root))
    old, settings.SECRET_KEY = settings.SECRET_KEY, "another secret key that is long enough for us all"
    settings.SECRET_KEY_FALLBACKS = [old]
    assert [client.get("/admin/").status_code for _ in range(2)] == [200, 200]
    User.objects.update(security_stamp=new_stamp())
    assert client.get("/admin/").status_code == 302


def test_a_users_stamp_is_its_own(alice: User, bob: User) -> None:
    assert None not in {alice.security_stamp, bob.security_stamp}
    assert alice.security_stamp != bob.security_stamp


def test_a_link_whose_account_is_voided_meanwhile_sets_no_password(
    api: Api, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = mail_links.reset_tokens.make(alice)

    def weak_later(*arguments: Any) -> None:
        User.objects.update(security_stamp=new_stamp())

    monkeypatch.setattr(mail_links, "validate_strength", weak_later)
    body = {"token": token, "new_password": "another-horse-battery"}
    assert link_error_of(api.post("/auth/password/reset/confirm", body)) == "used"
    assert User.objects.get().check_password(PASSWORD)


def test_the_migration_gives_rows_from_before_no_value() -> None:
    migration = import_module("accounts.migrations.0005_bindings").Migration
    added = migration.operations[2].database_operations[0].field
    assert (added.null, added.has_default()) == (True, False)
    assert apps.get_model("accounts.User")._meta.get_field("security_stamp").has_default()
