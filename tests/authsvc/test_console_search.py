"""The console's search: posted, so that a pasted credential is in no address; what it belongs to is found."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.test import Client

from accounts.models import Session, User
from apikeys import keys
from audit.models import AuditEvent
from authsvc import console as console_module
from tests.audit.conftest import add
from tests.conftest import Api
from tests.factories import UserFactory, make_key, pair_of

pytestmark = pytest.mark.django_db
KEYS, AUDIT = "/admin/apikeys/apikey/", "/admin/audit/auditevent/"
LISTS = [
    KEYS, AUDIT, "/admin/accounts/user/", "/admin/accounts/session/", "/admin/accounts/lockout/",
    "/admin/accounts/role/", "/admin/accounts/scope/",
]  # fmt: skip
TEXTS = ["{}", "  {}\n", "curl -H 'X-API-Key: {}' https://a.example/x", "Authorization: Bearer {}.", '{{"key":"{}"}}']


@pytest.fixture
def console(db: None) -> Client:
    client = Client(raise_request_exception=False)
    client.force_login(UserFactory(username="root", is_staff=True, is_superuser=True))
    return client


def viewer(*codenames: str) -> Client:
    clerk = UserFactory(username="clerk", is_staff=True)
    clerk.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    client = Client(raise_request_exception=False)
    client.force_login(clerk)
    return client


def search(client: Client, page: str, text: str, **fields: str) -> Any:
    return client.post(page, {"q": text, **fields})


@pytest.mark.parametrize("page", LISTS)
def test_every_list_posts_its_search(console: Client, page: str) -> None:
    text = console.get(f"{page}?all=").content.decode()
    form = text[text.index('id="changelist-search"') : text.index("</form>", text.index('id="changelist-search"'))]
    assert 'method="post"' in form
    assert 'name="csrfmiddlewaretoken"' in form
    assert Client(enforce_csrf_checks=True).post(page, {"q": "x"}).status_code == 403


@pytest.mark.parametrize("page", LISTS)
@pytest.mark.parametrize("text", TEXTS)
def test_a_pasted_key_leads_to_its_page_and_stands_in_no_address(
    console: Client, alice: User, page: str, text: str
) -> None:
    key, plaintext = make_key(alice)
    response = search(console, page, text.format(plaintext))
    assert (response.status_code, response["Location"]) == (303, f"{KEYS}{key.pk}/change/")
    assert plaintext not in console.get(response["Location"]).content.decode()


def test_a_forged_key_with_the_same_start_is_unknown(console: Client, alice: User) -> None:
    _, plaintext = make_key(alice)
    body = plaintext[:11] + "A" * 35
    response = console.post(KEYS, {"q": body + keys.checksum(body), "status": "active"}, follow=True)
    assert response.redirect_chain == [(f"{KEYS}?status=active", 303)]
    assert (console_module.UNKNOWN in response.content.decode(), body in response.content.decode()) == (True, False)


@pytest.mark.parametrize("kind", ["access_token", "refresh_token"])
def test_a_token_leads_to_its_session(console: Client, alice: User, kind: str) -> None:
    token = getattr(pair_of(alice), kind)
    response = search(console, KEYS, f"Bearer {token}")
    assert response["Location"] == f"/admin/accounts/session/{Session.objects.get().pk}/change/"


def test_a_spent_refresh_token_that_is_forgotten_is_unknown(console: Client, alice: User) -> None:
    token = pair_of(alice).refresh_token
    Session.objects.all().delete()
    assert search(console, KEYS, token)["Location"] == KEYS


def test_an_exchanged_token_leads_to_its_key(console: Client, api: Api, alice: User) -> None:
    key, plaintext = make_key(alice)
    token = api.post("/auth/token", {}, key=plaintext).json()["access_token"]
    assert search(console, AUDIT, token)["Location"] == f"{KEYS}{key.pk}/change/"


@pytest.mark.parametrize(
    "text", ["x" * 30, "eyJhbGciOi." + "y" * 40 + ".z", "3f-" + "0" * 32, "a" * 5000, "ab " * 2000]
)
def test_what_only_looks_like_a_credential_is_unknown_and_not_kept(console: Client, text: str) -> None:
    response = search(console, AUDIT, text)
    assert (response.status_code, response["Location"]) == (303, AUDIT)


@pytest.mark.parametrize("page", LISTS)
def test_a_credential_typed_into_an_address_is_not_echoed(console: Client, alice: User, page: str) -> None:
    _, plaintext = make_key(alice)
    response = console.get(page, {"q": plaintext, "p": "1", "o": "1"}, follow=True)
    assert response.redirect_chain == [(f"{page}?o=1", 303)]
    assert (plaintext in response.content.decode(), "does not belong in an address" in response.content.decode()) == (
        False,
        True,
    )


def test_an_ordinary_search_becomes_an_address_with_its_filters(console: Client, alice: User) -> None:
    make_key(alice, "nightly export")
    response = search(console, KEYS, " nightly ex&port ", status="active", p="3", e="1")
    assert response["Location"] == f"{KEYS}?q=nightly+ex%26port&status=active"
    assert search(console, KEYS, "")["Location"] == KEYS


def test_no_more_of_a_key_than_is_shown_reaches_an_address(console: Client, alice: User) -> None:
    _, plaintext = make_key(alice)
    assert search(console, KEYS, f"alice {plaintext[:25]}")["Location"] == f"{KEYS}?q=alice+{plaintext[:11]}"


def test_long_names_that_are_known_are_searched_for(console: Client) -> None:
    name, request_id = "a_rather_long_name_of_an_account_here", "0123456789abcdef0123456789abcdef"
    user = UserFactory(username=name)
    make_key(user, "an_even_longer_name_of_a_key_than_that")
    add("something", request_id=request_id)
    for page, text in (
        ("/admin/accounts/user/", name),
        ("/admin/accounts/session/", name),
        (KEYS, name),
        (KEYS, "an_even_longer_name_of_a_key_than_that"),
        (AUDIT, request_id),
        (AUDIT, "123e4567-e89b-12d3-a456-426614174000"),
    ):
        response = search(console, page, text)
        assert response["Location"] == f"{page}?q={text}"
        assert console.get(response["Location"]).status_code == 200


def test_a_key_is_shown_to_nobody_who_may_not_view_keys(alice: User) -> None:
    _, plaintext = make_key(alice)
    client = viewer("view_user")
    assert search(client, "/admin/accounts/user/", plaintext)["Location"] == "/admin/accounts/user/"
    assert [search(client, KEYS, text).status_code for text in (plaintext, "x")] == [403, 403]


def test_a_search_writes_nothing_into_the_record(console: Client, alice: User) -> None:
    _, plaintext = make_key(alice)
    before = AuditEvent.objects.count()
    search(console, KEYS, plaintext)
    assert AuditEvent.objects.count() == before
