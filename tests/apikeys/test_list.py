"""GET /keys: mine, newest first, in pages, without secrets."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine

from accounts.models import User
from apikeys import services
from tests.conftest import BAD_CREDENTIAL, NO_CREDENTIAL, Api, errors_of
from tests.factories import make_key, token_of

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
NEXT = re.compile(r'<http://testserver(/keys\?[^>]*)>; rel="next"')


def encoded(text: str | bytes) -> str:
    """Return a cursor as the product would write it around a text."""
    return base64.urlsafe_b64encode(text.encode() if isinstance(text, str) else text).decode().rstrip("=")


@pytest.fixture
def seven(alice: User, bob: User) -> list[int]:
    """The ids of seven keys of Alice's, newest first, made between keys of Bob's."""
    made = []
    for number in range(7):
        make_key(bob)
        made.append(make_key(alice, f"key {number}")[0].pk)
    return made[::-1]


def walk(api: Api, token: str, path: str, between: Callable[[], Any] = lambda: None) -> list[list[int]]:
    """Return the ids on each page from the first to the last, doing something between two."""
    pages = []
    while path:
        response = api.get(path, token=token)
        pages.append([key["id"] for key in response.json()])
        link = NEXT.fullmatch(response.headers.get("Link", ""))
        path = link[1] if link else ""
        between()
    return pages


def test_a_user_without_keys_has_an_empty_list(api: Api, alices_token: str) -> None:
    response = api.get("/keys", token=alices_token)
    assert (response.status_code, response.json()) == (200, [])
    assert "Link" not in response


def test_every_key_is_shown_with_all_but_its_secret(api: Api, reader: User) -> None:
    with time_machine.travel(NOON, tick=False) as clock:
        key, plaintext = make_key(reader, "nightly export", scopes=["reports:read"], expires_in_days=30)
        clock.move_to(NOON + timedelta(hours=1))
        assert api.get("/protected/service", key=plaintext).status_code == 200
        (listed,) = api.get("/keys", token=token_of(reader)).json()
    assert listed == {
        "id": key.pk,
        "name": "nightly export",
        "prefix": plaintext[:11],
        "scopes": ["reports:read"],
        "status": "active",
        "is_enabled": True,
        "is_revoked": False,
        "allowed_ips": [],
        "rate_limit": None,
        "metadata": {},
        "created_at": "2026-03-01T12:00:00Z",
        "expires_at": "2026-03-31T12:00:00Z",
        "revoked_at": None,
        "last_used_at": "2026-03-01T13:00:00Z",
    }


def test_the_list_is_mine_alone_and_newest_first(api: Api, alices_token: str, seven: list[int]) -> None:
    response = api.get("/keys", token=alices_token)
    assert [key["id"] for key in response.json()] == seven
    assert "Link" not in response


def test_the_list_costs_two_queries_however_long_it_is(
    api: Api, alices_token: str, seven: list[int], django_assert_num_queries: Any
) -> None:
    with django_assert_num_queries(2):
        assert len(api.get("/keys", token=alices_token).json()) == len(seven)


@pytest.mark.parametrize(
    ("limit", "sizes"), [(1, [1] * 7), (2, [2, 2, 2, 1]), (6, [6, 1]), (7, [7]), (8, [7]), (100, [7])]
)
def test_pages_hold_each_key_once_and_the_last_one_has_no_link(
    api: Api, alices_token: str, seven: list[int], limit: int, sizes: list[int]
) -> None:
    pages = walk(api, alices_token, f"/keys?limit={limit}")
    assert [len(page) for page in pages] == sizes
    assert [key_id for page in pages for key_id in page] == seven


def test_a_page_holds_a_hundred_keys_when_nothing_else_is_asked_for(api: Api, alice: User, alices_token: str) -> None:
    made = [make_key(alice)[0].pk for _ in range(101)]
    pages = walk(api, alices_token, "/keys")
    assert [len(page) for page in pages] == [100, 1]
    assert [key_id for page in pages for key_id in page] == made[::-1]


def test_keys_made_while_somebody_reads_disturb_no_page(
    api: Api, alice: User, alices_token: str, seven: list[int]
) -> None:
    pages = walk(api, alices_token, "/keys?limit=2", between=lambda: make_key(alice, "new"))
    assert [key_id for page in pages for key_id in page] == seven
    assert len(api.get("/keys", token=alices_token).json()) == len(seven) + len(pages)


def test_the_key_that_a_cursor_points_to_may_be_gone(
    api: Api, alice: User, alices_token: str, seven: list[int]
) -> None:
    response = api.get("/keys?limit=3", token=alices_token)
    alice.api_keys.filter(pk=seven[2]).delete()
    link = NEXT.fullmatch(response["Link"])
    assert link is not None
    assert [key["id"] for key in api.get(link[1], token=alices_token).json()] == seven[3:6]


def test_the_link_keeps_the_filter(api: Api, alices_token: str, seven: list[int]) -> None:
    response = api.get("/keys?limit=2&status=active", token=alices_token)
    link = NEXT.fullmatch(response["Link"])
    assert link is not None
    assert link[1] == f"/keys?limit=2&status=active&cursor={encoded(str(seven[1]))}"


@pytest.mark.parametrize(
    ("public_url", "base"),
    [
        pytest.param("https://auth.example.com/base", "https://auth.example.com/base", id="set"),
        pytest.param("https://auth.example.com", "https://auth.example.com", id="without a path"),
        pytest.param("http://127.0.0.1:8000", "http://testserver/base", id="the default"),
    ],
)
@pytest.mark.parametrize("path", ["/keys", "/auth/sessions"])
def test_the_link_leads_to_where_clients_reach_the_service(
    api: Api, alice: User, settings: Any, path: str, public_url: str, base: str
) -> None:
    settings.PUBLIC_URL, settings.FORCE_SCRIPT_NAME = public_url, "/base"
    for _ in range(2):
        make_key(alice)
        token = token_of(alice)
    link = api.get(f"{path}?limit=1", token=token)["Link"]
    assert re.fullmatch(rf'<{re.escape(base + path)}\?limit=1&cursor=[A-Za-z0-9_-]+>; rel="next"', link)


def test_a_cursor_of_somebody_else_opens_nothing_of_theirs(
    api: Api, alice: User, bobs_token: str, seven: list[int]
) -> None:
    theirs = [key["id"] for key in api.get(f"/keys?cursor={encoded(str(seven[0] + 1))}", token=bobs_token).json()]
    assert len(theirs) == 7
    assert not set(theirs) & set(seven)


@pytest.mark.parametrize(
    "limit",
    ["0", "101", "-1", "abc", "1.5", "1e1", "99999999999999999999", "9" * 5000, "true", "%00", "1_0", "%EF%BC%95"],
)
def test_a_limit_that_is_none_is_refused(api: Api, alices_token: str, limit: str) -> None:
    response = api.get(f"/keys?limit={limit}", token=alices_token)
    assert [field for field, _ in errors_of(response)] == ["limit"]
    assert "Link" not in response


@pytest.mark.parametrize("limit", ["1", "100"])
def test_the_limits_of_the_limit_are_within_it(api: Api, alices_token: str, limit: str) -> None:
    response = api.get(f"/keys?limit={limit}", token=alices_token)
    assert (response.status_code, response.json()) == (200, [])


@pytest.mark.parametrize(
    "cursor",
    [
        pytest.param("abc", id="no number"),
        pytest.param("***", id="no base64"),
        pytest.param("7", id="an id as it is"),
        pytest.param("%00", id="NUL"),
        pytest.param("%ff%fe", id="not UTF-8"),
        pytest.param("%D9%A3", id="not ASCII"),
        pytest.param(encoded("0"), id="zero"),
        pytest.param(encoded("-1"), id="negative"),
        pytest.param(encoded("+1"), id="plus"),
        pytest.param(encoded("01"), id="leading zero"),
        pytest.param(encoded(" 1"), id="space"),
        pytest.param(encoded("1_0"), id="underscore"),
        pytest.param(encoded("1.0"), id="fraction"),
        pytest.param(encoded("\u0661"), id="digit of another script"),
        pytest.param(encoded(str(2**63)), id="beyond a bigint"),
        pytest.param(encoded("9" * 5000), id="5,000 digits"),
        pytest.param(encoded("1 OR 1=1"), id="SQL"),
        pytest.param(encoded(b"\xff\xfe"), id="bytes"),
        pytest.param(encoded("7") + "=", id="padding"),
        pytest.param(encoded("7") + "A", id="more at the end"),
        pytest.param("x" * 100_000, id="100 kB"),
    ],
)
def test_a_cursor_that_is_none_is_refused(api: Api, alices_token: str, cursor: str) -> None:
    response = api.get(f"/keys?cursor={cursor}", token=alices_token)
    assert [field for field, _ in errors_of(response)] == ["cursor"]


@pytest.fixture
def one_of_each(alice: User) -> dict[str, int]:
    """The id of a key of each status; one that is revoked and expired is revoked."""
    made = {name: make_key(alice, name)[0] for name in ("active", "expired", "revoked", "revoked, then expired")}
    services.revoke_key(key=made["revoked"])
    services.revoke_key(key=made["revoked, then expired"])
    long_ago = datetime(2020, 1, 1, tzinfo=UTC)
    alice.api_keys.filter(name__endswith="expired").update(expires_at=long_ago)
    return {name: key.pk for name, key in made.items()}


@pytest.mark.parametrize(
    ("status", "names"),
    [("active", ["active"]), ("expired", ["expired"]), ("revoked", ["revoked, then expired", "revoked"])],
)
def test_a_status_narrows_the_list_to_the_keys_that_show_it(
    api: Api, alices_token: str, one_of_each: dict[str, int], status: str, names: list[str]
) -> None:
    listed = api.get(f"/keys?status={status}", token=alices_token).json()
    assert [key["id"] for key in listed] == [one_of_each[name] for name in names]
    assert {(key["status"], key["is_revoked"]) for key in listed} == {(status, status == "revoked")}


def test_every_key_has_one_status_and_so_is_in_one_of_the_lists(
    api: Api, alices_token: str, one_of_each: dict[str, int]
) -> None:
    lists = [
        key["id"]
        for status in ("active", "expired", "revoked")
        for key in api.get(f"/keys?status={status}", token=alices_token).json()
    ]
    assert sorted(lists) == sorted(one_of_each.values())


def test_a_filtered_list_has_pages_too(api: Api, alices_token: str, one_of_each: dict[str, int]) -> None:
    pages = walk(api, alices_token, "/keys?status=revoked&limit=1")
    assert pages == [[one_of_each["revoked, then expired"]], [one_of_each["revoked"]]]


@pytest.mark.parametrize("status", ["lost", "ACTIVE", "active,revoked", "%00", "%ff"])
def test_an_unknown_status_is_refused(api: Api, alices_token: str, status: str) -> None:
    response = api.get(f"/keys?status={status}", token=alices_token)
    assert [field for field, _ in errors_of(response)] == ["status"]


@pytest.mark.parametrize("parameter", ["limit", "cursor", "status"])
def test_a_parameter_left_empty_is_refused_and_not_overlooked(api: Api, alices_token: str, parameter: str) -> None:
    response = api.get(f"/keys?{parameter}=", token=alices_token)
    assert [field for field, _ in errors_of(response)] == [parameter]


def test_all_that_is_wrong_is_said_at_once(api: Api, alices_token: str) -> None:
    response = api.get("/keys?limit=0&status=lost", token=alices_token)
    assert errors_of(response) == [("limit", "min_value"), ("status", "invalid_choice")]


def test_the_list_is_for_tokens_only(api: Api, alices_key: str) -> None:
    assert api.get("/keys", key=alices_key).json() == NO_CREDENTIAL
    assert api.get("/keys", token=alices_key).json() == BAD_CREDENTIAL
