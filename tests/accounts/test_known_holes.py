"""What is known to go wrong with JSON Web Tokens in Django, each tried on this service."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from django.apps import apps
from rest_framework_simplejwt import tokens as naive
from rest_framework_simplejwt.utils import get_md5_hash_password

from accounts.models import RefreshToken, Session, User
from tests.accounts.conftest import claims_of, sign
from tests.conftest import BAD_CREDENTIAL, Api
from tests.factories import PASSWORD, pair_of


@pytest.fixture
def disabled(alice: User) -> User:
    """Alice, disabled with a session that nobody has ended."""
    pair_of(alice)
    User.objects.filter(pk=alice.pk).update(is_active=False)
    return User.objects.get(pk=alice.pk)


def test_cve_2024_22513_a_token_for_a_disabled_user(api: Api, disabled: User) -> None:
    made = naive.AccessToken.for_user(disabled)
    assert naive.AccessToken(str(made))["sub"] == str(disabled.pk)  # the library makes it and takes it
    claims = {**made.payload, "iss": "authsvc", "sid": str(Session.objects.get().pk)}
    answers = [
        api.get("/auth/me", token=sign(claims)),
        api.get("/auth/verify", token=sign(claims)),
        api.post("/auth/login", {"username": "alice", "password": PASSWORD}),
        api.post("/auth/refresh", {"refresh_token": sign({**claims, "token_type": "refresh"})}),
    ]
    assert [(answer.status_code, answer.json()) for answer in answers] == [(401, BAD_CREDENTIAL)] * 4


def test_a_logout_that_leaves_the_access_token_alive(api: Api, alice: User) -> None:
    pair = pair_of(alice)
    assert api.post("/auth/logout", {"refresh_token": pair.refresh_token}).status_code == 204
    assert api.get("/auth/me", token=pair.access_token).status_code == 401


def test_a_refresh_token_kept_in_clear(alice: User) -> None:
    refresh = pair_of(alice).refresh_token
    stored = bytes(RefreshToken.objects.get().digest)
    assert stored == hashlib.sha256(claims_of(refresh)["jti"].encode()).digest()
    assert not apps.is_installed("rest_framework_simplejwt.token_blacklist")  # whose table has tokens whole


def test_a_claim_with_a_hash_of_the_hash_of_the_password(alice: User) -> None:
    pair = pair_of(alice)
    digest = get_md5_hash_password(alice.password)
    assert digest
    assert not [token for token in pair[:2] if digest in str(claims_of(token)) or "hash_password" in claims_of(token)]


@pytest.mark.parametrize("kind", ["access", "refresh"])
def test_one_kind_of_token_taken_for_the_other(api: Api, alice: User, kind: str) -> None:
    pair = pair_of(alice)
    as_refresh = api.post("/auth/refresh", {"refresh_token": pair.access_token})
    answer: Any = api.get("/auth/me", token=pair.refresh_token) if kind == "access" else as_refresh
    assert (answer.status_code, answer.json()) == (401, BAD_CREDENTIAL)


def test_a_spent_refresh_token_in_a_second_in_which_nothing_else_changes(api: Api, alice: User) -> None:
    token = pair_of(alice).refresh_token
    answers = [api.post("/auth/refresh", {"refresh_token": token}).status_code for _ in range(3)]
    assert answers == [200, 401, 401]
