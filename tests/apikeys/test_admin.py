"""The operator's list of keys, and each key by itself: to look at, and nothing to change."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.utils import timezone

from accounts.models import User
from apikeys import keys, services
from apikeys.models import APIKey
from tests.factories import UserFactory, make_key

LIST = "/admin/apikeys/apikey/"


@pytest.fixture
def key(alice: User) -> APIKey:
    return make_key(alice, "nightly export")[0]


@pytest.fixture
def many(alice: User, bob: User) -> dict[str, tuple[APIKey, str]]:
    """Keys of Alice's and Bob's that expire, or have ended, at various times."""
    now = timezone.now()
    made = {
        "in 6 days": make_key(alice, "in 6 days", expires_at=now + timedelta(days=6)),
        "in 29 days": make_key(bob, "in 29 days", expires_at=now + timedelta(days=29)),
        "in 89 days": make_key(alice, "in 89 days", expires_at=now + timedelta(days=89)),
        "in a year": make_key(bob, "in a year"),
        "yesterday": make_key(alice, "yesterday", expires_at=now - timedelta(days=1)),
        "ended": make_key(bob, "ended", expires_at=now + timedelta(days=5)),
        "ended before": make_key(bob, "ended before", expires_at=now - timedelta(days=5)),
    }
    services.revoke_key(key=made["ended"][0])
    services.revoke_key(key=made["ended before"][0])
    return made


def listed(console: Client, query: str = "") -> list[str]:
    """Return the names on the list for a query, from the top."""
    page = console.get(f"{LIST}{query}")
    assert page.status_code == 200, page.content
    return re.findall(r'<a href="[^"]*/change/[^"]*"[^>]*>\s*([^<]*?[^<\s…])\s*</a>', page.content.decode())


def page(console: Client, path: str) -> str:
    """Return a page."""
    response = console.get(path)
    assert response.status_code == 200
    return response.content.decode()


def test_the_list_is_newest_first_with_owner_status_and_first_characters(
    console: Client, many: dict[str, tuple[APIKey, str]]
) -> None:
    text = page(console, LIST)
    assert listed(console) == list(reversed(many))
    assert [plaintext[:11] in text for _, plaintext in many.values()] == [True] * len(many)
    assert [word for word in ("Alice", "bob", "active", "expired", "revoked") if word not in text] == []


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("?q=NIGHTLY", ["nightly export"]),
        ("?q=alice", ["nightly export"]),
        ("?q=alice%40example", ["nightly export"]),
        ("?q=nobody", []),
        ("?q=%25", []),
        ("?q=_", []),
        ("?q=%27+OR+1%3D1+--", []),
    ],
)
@pytest.mark.usefixtures("key")
def test_a_key_is_found_by_its_name_and_its_owner(console: Client, bob: User, query: str, names: list[str]) -> None:
    make_key(bob, "another")
    assert listed(console, query) == names


def test_a_key_is_found_by_what_it_begins_with_and_not_by_what_is_inside(console: Client, alice: User) -> None:
    plaintexts = {name: make_key(alice, name)[1] for name in ("one", "two")}
    for name, plaintext in plaintexts.items():
        assert listed(console, f"?q={plaintext[:11]}") == [name]
        assert listed(console, f"?q={plaintext[4:11]}") == []
        assert listed(console, f"?q={keys.digest(plaintext).hex()[:8]}") == []


def test_a_key_is_found_by_what_is_shown_of_it_and_by_less(console: Client, alice: User, settings: Any) -> None:
    settings.API_KEY_PREFIX = "old"
    _, old = make_key(alice, "of before")
    settings.API_KEY_PREFIX = "sk"
    _, plaintext = make_key(alice, "sk_named like one")
    assert listed(console, f"?q={plaintext[:7]}") == ["sk_named like one"]
    assert listed(console, f"?q={old[:12]}") == ["of before"]
    assert listed(console, "?q=sk_named") == ["sk_named like one"]
    assert listed(console, "?q=alice+before") == ["of before"]


def test_a_key_with_two_secrets_is_found_once_by_either(console: Client, alice: User) -> None:
    key, first = make_key(alice, "rotated")
    second = services.rotate_key(key=key)
    assert second is not None
    assert [listed(console, f"?q={text[:11]}") for text in (first, second)] == [["rotated"]] * 2
    assert listed(console, "?q=rotated") == ["rotated"]


def test_a_long_list_is_counted_no_further_than_anybody_turns(
    console: Client, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        make_key(alice, f"key {number}")
    monkeypatch.setattr("authsvc.console.PAGED", 3)
    text = page(console, LIST)
    assert "3 API keys" in text
    assert "5 API keys" not in text


@pytest.mark.parametrize("query", ["?q=%ff", f"?q={'x' * 10_000}"], ids=["not UTF-8", "long"])
def test_a_search_for_junk_is_a_page(console: Client, key: APIKey, query: str) -> None:
    assert console.get(f"{LIST}{query}", follow=True).status_code == 200
    assert listed(console) == [key.name]


ACTIVE = ["in a year", "in 89 days", "in 29 days", "in 6 days"]


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("?status=active", ACTIVE),
        ("?status=expired", ["yesterday"]),
        ("?status=revoked", ["ended before", "ended"]),
        ("?expires_within=7", ACTIVE[3:]),
        ("?expires_within=30", ACTIVE[2:]),
        ("?expires_within=90", ACTIVE[1:]),
        ("?expires_within=90&status=active&q=bob", ["in 29 days"]),
        ("?expires_within=90&status=revoked", []),
    ],
)
def test_filters_narrow_the_list(
    console: Client, many: dict[str, tuple[APIKey, str]], query: str, names: list[str]
) -> None:
    assert set(names) < set(many)
    assert listed(console, query) == names


@pytest.mark.parametrize(
    "query", ["?status=lost", "?status=", "?expires_within=8", "?expires_within=-7", "?expires_within=x&status=%ff"]
)
def test_a_filter_for_junk_filters_nothing(console: Client, many: dict[str, tuple[APIKey, str]], query: str) -> None:
    assert listed(console, query) == list(reversed(many))


@pytest.mark.parametrize(
    "query", ["secrets__digest__startswith=a", "owner__password__startswith=b", "secrets__digest__isnull=0", "nope=1"]
)
def test_the_address_of_the_list_is_no_way_to_guess_at_secrets(console: Client, key: APIKey, query: str) -> None:
    response = console.get(f"{LIST}?{query}")
    assert response.status_code in {302, 400}
    assert response.headers.get("Location", f"{LIST}?e=1") == f"{LIST}?e=1"


def test_the_list_costs_as_many_queries_for_many_keys_as_for_one(
    console: Client, alice: User, key: APIKey, django_assert_max_num_queries: Any
) -> None:
    for number in range(20):
        make_key(alice, f"key {number}")
    with django_assert_max_num_queries(8):
        assert len(listed(console)) == 21


def test_a_key_by_itself_shows_all_but_its_secret_and_has_nothing_to_fill_in(console: Client, reader: User) -> None:
    key, plaintext = make_key(reader, "nightly <b>export</b>", scopes=["reports:read"])
    services.revoke_key(key=key, reason="lost & found")
    text = page(console, f"{LIST}{key.pk}/change/")
    for shown in (
        "nightly &lt;b&gt;export&lt;/b&gt;",
        f"{plaintext[:11]}…",
        "Alice",
        "reports:read",
        "lost &amp; found",
    ):
        assert shown in text
    assert 'name="name"' not in text
    assert 'name="_save"' not in text


def test_no_page_of_the_console_holds_a_plaintext_or_a_digest(console: Client, alice: User) -> None:
    key, plaintext = make_key(alice)
    digest = keys.digest(plaintext)
    paths = ["", f"{key.pk}/change/", f"{key.pk}/revoke/", f"{key.pk}/history/"]
    text = "".join(page(console, f"{LIST}{path}") for path in paths)
    text += console.post(LIST, {"action": "revoke_selected", "_selected_action": [key.pk]}).content.decode()
    text += page(console, "/admin/")
    assert text.count(f"{plaintext[:11]}…") >= 4
    assert not [form for form in (plaintext[:12], plaintext[11:], digest.hex(), repr(digest)[2:-1]) if form in text]


BODY = {"name": "changed", "owner": "1", "revoked_at_0": "", "revoked_at_1": "", "_save": "Save", "post": "yes"}


@pytest.mark.parametrize("method", ["get", "post"])
@pytest.mark.parametrize("page_name", ["add/", "{id}/delete/", "{id}/change/"])
def test_nothing_but_revocation_can_be_done_to_a_key_even_by_a_superuser(
    console: Client, key: APIKey, page_name: str, method: str
) -> None:
    before = list(APIKey.objects.values())
    response = getattr(console, method)(f"{LIST}{page_name.format(id=key.pk)}", BODY)
    looking = (page_name, method) == ("{id}/change/", "get")
    assert response.status_code == (200 if looking else 403)
    assert list(APIKey.objects.values()) == before
    assert not LogEntry.objects.exists()


@pytest.mark.parametrize("action", ["delete_selected", "no_such", ""])
def test_the_list_has_no_other_action(console: Client, key: APIKey, action: str) -> None:
    before = list(APIKey.objects.values())
    response = console.post(LIST, {"action": action, "_selected_action": [key.pk], "post": "yes", "confirm": "yes"})
    assert response.status_code in {200, 302}
    assert list(APIKey.objects.values()) == before
    assert 'value="delete_selected"' not in page(console, LIST)


@pytest.mark.parametrize("key_id", ["0", "999999", "9" * 30, "abc", "-1", "1_3A", "%00", "1/2"])
@pytest.mark.parametrize("what", ["change", "history", "revoke"])
def test_a_key_that_is_not_there_is_not_found_or_sent_back(
    console: Client, key: APIKey, what: str, key_id: str
) -> None:
    response = console.get(f"{LIST}{key_id}/{what}/")
    assert response.status_code in {302, 404}
    assert response.headers.get("Location", "/admin/") == "/admin/"


@pytest.mark.parametrize("path", ["", "1/change/", "1/revoke/", "1/history/"])
def test_whoever_is_no_operator_is_sent_to_the_login(alice: User, path: str) -> None:
    stranger, user = Client(), Client()
    user.force_login(alice)
    answers = [client.get(f"{LIST}{path}") for client in (stranger, user)]
    assert [answer.status_code for answer in answers] == [302, 302]
    assert {answer["Location"] for answer in answers} == {f"/admin/login/?next={LIST}{path}"}


def test_an_operator_without_any_permission_sees_no_key(db: None, key: APIKey) -> None:
    client = Client()
    client.force_login(UserFactory(is_staff=True))
    assert [client.get(f"{LIST}{path}").status_code for path in ("", f"{key.pk}/change/", f"{key.pk}/revoke/")] == [
        403
    ] * 3
    assert "apikey" not in client.get("/admin/").content.decode()


def test_an_operator_who_may_look_can_only_look(viewer: Client, key: APIKey) -> None:
    assert listed(viewer) == [key.name]
    for path in (LIST, f"{LIST}{key.pk}/change/"):
        assert "revoke_selected" not in page(viewer, path)
        assert f"{LIST}{key.pk}/revoke/" not in page(viewer, path)
    assert viewer.get(f"{LIST}{key.pk}/revoke/").status_code == 403


@pytest.mark.parametrize("query", ["?q=%00", "?status=%00", "?expires_within=%00"])
def test_a_null_character_in_the_address_is_a_bad_request(console: Client, key: APIKey, query: str) -> None:
    assert console.get(f"{LIST}{query}").status_code == 400
    assert listed(console) == [key.name]
