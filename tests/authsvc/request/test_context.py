"""What is known of the request being answered, far below the view."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

import pytest

from accounts.models import User
from audit.models import AuditEvent
from authsvc.request.context import NONE, RequestContext, current
from tests.conftest import Api
from tests.factories import PASSWORD, UserFactory


def test_outside_a_request_there_is_no_address_and_no_user_agent() -> None:
    assert current.get() is NONE
    assert (NONE.request_id, NONE.address, NONE.user_agent) == ("-", None, "")


@pytest.mark.parametrize(
    ("proxies", "expected"),
    [pytest.param(0, "192.0.2.1", id="socket"), pytest.param(1, "198.51.100.2", id="last hop")],
)
def test_trusted_proxies_decide_whose_word_counts_at_the_time_of_asking(
    settings: Any, proxies: int, expected: str
) -> None:
    meta = {"REMOTE_ADDR": "192.0.2.1", "HTTP_X_FORWARDED_FOR": "10.0.0.1, 198.51.100.2", "HTTP_USER_AGENT": "curl"}
    context = RequestContext("id", meta)
    settings.TRUSTED_PROXIES = proxies
    assert context.address == ip_address(expected)
    assert context.user_agent == "curl"


@pytest.mark.parametrize(
    ("proxies", "forwarded", "expected"),
    [
        pytest.param(0, "10.0.0.1", "127.0.0.1", id="no proxy"),
        pytest.param(1, "10.0.0.1, 192.0.2.1", "192.0.2.1", id="one proxy"),
        pytest.param(2, "10.0.0.1, 2001:db8::1, 172.16.0.1", "2001:db8::1", id="two proxies"),
        pytest.param(2, "192.0.2.1", None, id="too few hops"),
        pytest.param(1, "192.0.2.1:80", "192.0.2.1", id="a port"),
        pytest.param(1, "::ffff:192.0.2.1", "192.0.2.1", id="mapped"),
    ],
)
@pytest.mark.django_db
def test_an_event_has_the_address_that_the_proxies_saw(
    api: Api, settings: Any, proxies: int, forwarded: str, expected: str | None
) -> None:
    settings.TRUSTED_PROXIES = proxies
    who = {"username": UserFactory().username, "password": PASSWORD}
    assert api.post("/auth/login", who, headers={"X-Forwarded-For": forwarded}).status_code == 200
    assert AuditEvent.objects.values_list("event", "address").get() == ("user:logged_in", expected)


def test_a_request_leaves_nothing_behind_for_the_next_one(api: Api, alice: User) -> None:
    first = api.post("/auth/login", {"username": "alice", "password": "wrong"}, headers={"X-Request-ID": "first"})
    assert first["X-Request-ID"] == "first"
    assert current.get() is NONE
    second = api.post("/auth/login", {"username": "alice", "password": "wrong"})
    ids = list(AuditEvent.objects.order_by("id").values_list("request_id", flat=True))
    assert ids == ["first", second["X-Request-ID"]]


def test_a_view_that_fails_leaves_nothing_behind_either(api: Api, alice: User, settings: Any) -> None:
    settings.PASSWORD_HASHERS = []
    answer = api.post("/auth/login", {"username": "alice", "password": PASSWORD}, headers={"X-Request-ID": "failing"})
    assert answer.status_code in {401, 500}
    assert current.get() is NONE


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        pytest.param(f"curl/8 {'sk_' + 'a' * 49} x", "curl/8 *** x", id="a key"),
        pytest.param(f"live_2_{'B' * 49}", "***", id="a key of another prefix"),
        pytest.param("eyJhbGciOi.eyJzdWIi.c2ln-_", "***", id="a token"),
        pytest.param("Mozilla/5.0 (X11; sk_short)", "Mozilla/5.0 (X11; sk_short)", id="neither"),
    ],
)
def test_what_looks_like_a_credential_is_not_kept_of_a_client(sent: str, kept: str) -> None:
    assert RequestContext("-", {"HTTP_USER_AGENT": sent}).user_agent == kept


TOKEN = f"eyJhbGciOiJIUzI1NiJ9.{'a' * 300}.{'b' * 43}"
KEY = f"sk_{'a' * 49}"


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        pytest.param("x" * 300, "x" * 200, id="long"),
        pytest.param("x" * 5000, "x" * 200, id="longer than what is looked at"),
        pytest.param("x" * 180 + " " + KEY, "x" * 180 + " ***", id="a key at the end of what is kept"),
        pytest.param(f"{KEY} " * 18 + "y" * 100, "*** " * 18, id="a run that is cut after masked keys"),
        pytest.param("x " * 490 + TOKEN, "x " * 100, id="a token that the cut goes through"),
        pytest.param(f"{TOKEN} " * 2 + "c " + TOKEN, "*** *** c ***", id="a token after masked ones"),
        pytest.param("eyJ" * 5000, "***", id="nothing but the start of tokens"),
    ],
)
def test_no_part_of_a_credential_is_kept_where_a_long_text_is_cut(sent: str, kept: str) -> None:
    assert RequestContext("-", {"HTTP_USER_AGENT": sent}).user_agent == kept


@pytest.mark.parametrize("padding", range(880, 1010))
@pytest.mark.parametrize("credential", [KEY, TOKEN], ids=["key", "token"])
def test_wherever_the_cut_goes_through_a_credential_nothing_of_it_is_kept(credential: str, padding: int) -> None:
    masked = f"{KEY} " * (padding // 53)
    sent = f"{masked}{'-' * (padding - len(masked) - 1)} {credential} and more {'x ' * 400}"
    assert credential[:8] not in RequestContext("-", {"HTTP_USER_AGENT": sent}).user_agent
