"""Whose address a request comes from: what a client claims of itself decides nothing."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.models import User
from authsvc.request import addresses, context
from tests.conftest import Api, errors_of
from tests.factories import PASSWORD, make_key

SPOOFED = "10.0.0.1"


@pytest.mark.parametrize(
    ("socket", "forwarded", "proxies", "expected"),
    [
        pytest.param("192.0.2.1", "", 0, "192.0.2.1", id="the socket"),
        pytest.param("192.0.2.1", SPOOFED, 0, "192.0.2.1", id="no proxy, so the header is the client's own word"),
        pytest.param("127.0.0.1", "192.0.2.1", 1, "192.0.2.1", id="one proxy"),
        pytest.param("127.0.0.1", f"{SPOOFED}, 192.0.2.1", 1, "192.0.2.1", id="one proxy, a claim on the left"),
        pytest.param("127.0.0.1", f"{SPOOFED},{SPOOFED},192.0.2.1,172.16.0.9", 2, "192.0.2.1", id="two proxies"),
        pytest.param("127.0.0.1", f"{SPOOFED}, junk, 192.0.2.1", 1, "192.0.2.1", id="junk on the left"),
        pytest.param("127.0.0.1", "192.0.2.1", 2, None, id="fewer hops than proxies"),
        pytest.param("127.0.0.1", "", 1, None, id="no header though there is a proxy"),
        pytest.param("127.0.0.1", f"{SPOOFED}, ", 1, None, id="an empty last hop"),
        pytest.param("127.0.0.1", f"{SPOOFED}, unknown", 1, None, id="a word"),
        pytest.param("127.0.0.1", f"{SPOOFED}, 192.0.2.1:443", 1, "192.0.2.1", id="a port"),
        pytest.param("127.0.0.1", f"{SPOOFED},192.0.2.1:1 ", 1, "192.0.2.1", id="a port of one digit, and blanks"),
        pytest.param("127.0.0.1", f"{SPOOFED}, [2001:db8::1]", 1, "2001:db8::1", id="brackets"),
        pytest.param("127.0.0.1", f"{SPOOFED}, [2001:db8::1]:50123", 1, "2001:db8::1", id="brackets and a port"),
        pytest.param("127.0.0.1", f"{SPOOFED}, [::ffff:192.0.2.1]:8", 1, "192.0.2.1", id="mapped, with a port"),
        pytest.param("127.0.0.1", f'{SPOOFED}, "[2001:db8::1]:4711"', 1, "2001:db8::1", id="quoted, as in RFC 7239"),
        pytest.param("127.0.0.1", f'{SPOOFED}, "192.0.2.1"', 1, "192.0.2.1", id="quoted without a port"),
        pytest.param("127.0.0.1", f"{SPOOFED}:1, 192.0.2.1:2, 172.16.0.9:3", 2, "192.0.2.1", id="ports on every hop"),
        pytest.param("127.0.0.1", f'{SPOOFED}, "192.0.2.1', 1, None, id="half a quote"),
        pytest.param("127.0.0.1", f"{SPOOFED}, 192.0.2.1:", 1, None, id="an empty port"),
        pytest.param("127.0.0.1", f"{SPOOFED}, 192.0.2.1:http", 1, None, id="a port in letters"),
        pytest.param("127.0.0.1", f"{SPOOFED}, _hidden", 1, None, id="an obfuscated hop"),
        pytest.param("127.0.0.1", f"{SPOOFED}, unix:", 1, None, id="the socket of nginx"),
        pytest.param("127.0.0.1", f"{SPOOFED}, 192.0.2.256", 1, None, id="an octet too large"),
        pytest.param("127.0.0.1", f"{SPOOFED}, 192.0.2.01", 1, None, id="an octal octet"),
        pytest.param("127.0.0.1", f"{SPOOFED}, 3221225985", 1, None, id="a number"),
        pytest.param("", "", 0, None, id="a Unix socket"),
        pytest.param("::ffff:192.0.2.1", "", 0, "192.0.2.1", id="IPv4 mapped into IPv6"),
        pytest.param("2001:DB8:0:0::1", "", 0, "2001:db8::1", id="IPv6"),
    ],
)
def test_the_client_is_the_hop_that_our_outermost_proxy_saw(
    socket: str, forwarded: str, proxies: int, expected: str | None
) -> None:
    found = addresses.client_address(socket, forwarded, proxies)
    assert found == (None if expected is None else ip_address(expected))
    assert str(found) != SPOOFED


@given(claims=st.lists(st.text(alphabet="0123456789abcdef.:, %[]x"), max_size=4), proxies=st.integers(1, 3))
def test_nothing_that_a_client_puts_before_changes_the_answer(claims: list[str], proxies: int) -> None:
    ours = ["192.0.2.1", "172.16.0.1", "172.16.0.2"][:proxies]
    assert str(addresses.client_address("127.0.0.1", ", ".join([*claims, *ours]), proxies)) == "192.0.2.1"
    assert addresses.client_address("127.0.0.1", ", ".join(ours[1:]), proxies) is None


@given(st.text())
def test_any_text_is_an_address_or_none(text: str) -> None:
    found = addresses.parse(text)
    assert found is None or found == addresses.parse(str(found))


@pytest.mark.parametrize(
    ("written", "stored"),
    [
        pytest.param("192.0.2.1", "192.0.2.1/32", id="one IPv4 address"),
        pytest.param("192.0.2.0/24", "192.0.2.0/24", id="IPv4 network"),
        pytest.param("0.0.0.0/0", "0.0.0.0/0", id="all of IPv4"),
        pytest.param("2001:DB8::1", "2001:db8::1/128", id="one IPv6 address"),
        pytest.param("2001:db8::/32", "2001:db8::/32", id="IPv6 network"),
        pytest.param("::ffff:192.0.2.1", "192.0.2.1/32", id="mapped address"),
        pytest.param("::ffff:10.0.0.0/104", "10.0.0.0/8", id="mapped network"),
        pytest.param("::ffff:0:0/96", "0.0.0.0/0", id="all that is mapped"),
        pytest.param("::/0", "::/0", id="all of IPv6"),
    ],
)
def test_a_network_is_kept_in_one_form(written: str, stored: str) -> None:
    assert str(addresses.parse_network(written)) == stored
    assert [str(network) for network in addresses.networks(stored)] == [stored]


@pytest.mark.parametrize(
    "written", ["", "junk", "192.0.2.1/24", "192.0.2.0/33", "2001:db8::1/64", "192.0.2.0/24/24", "192.0.2", "fe80::1%"]
)
def test_a_typo_is_no_network(written: str) -> None:
    with pytest.raises(ValueError, match=r"\S") as refusal:
        addresses.parse_network(written)
    assert refusal.type.__name__ in {"ValueError", "AddressValueError", "NetmaskValueError"}


@pytest.mark.parametrize(
    ("address", "listed", "expected"),
    [
        pytest.param("192.0.2.7", "192.0.2.0/24", True, id="inside"),
        pytest.param("192.0.3.0", "192.0.2.0/24", False, id="next door"),
        pytest.param("192.0.2.255", "198.51.100.0/24 192.0.2.0/24", True, id="in the second"),
        pytest.param("::ffff:192.0.2.7", "192.0.2.0/24", True, id="mapped"),
        pytest.param("192.0.2.7", "::/0", False, id="IPv4 in all of IPv6"),
        pytest.param("2001:db8::1", "0.0.0.0/0", False, id="IPv6 in all of IPv4"),
        pytest.param("2001:db8::ffff", "2001:db8::/64", True, id="IPv6"),
        pytest.param("junk", "0.0.0.0/0 ::/0", False, id="unreadable lies nowhere"),
        pytest.param("192.0.2.7", "", False, id="an empty list"),
    ],
)
def test_an_address_lies_in_a_network_of_its_own_kind(address: str, listed: str, expected: bool) -> None:
    assert addresses.is_listed(addresses.parse(address), listed) is expected
    assert addresses.is_listed(None, listed) is False


def test_an_ipv6_client_is_counted_by_its_64_and_an_ipv4_client_by_itself() -> None:
    buckets = [addresses.bucket(ip_address(a)) for a in ("2001:db8::1", "2001:db8::ffff:ffff:ffff:ffff")]
    assert buckets == ["2001:db8::/64"] * 2
    assert addresses.bucket(ip_address("2001:db8:0:1::1")) == "2001:db8:0:1::/64"
    assert [addresses.bucket(ip_address("192.0.2.1")), addresses.bucket(None)] == ["192.0.2.1", "None"]


@pytest.mark.parametrize(
    ("forwarded", "status"),
    [
        pytest.param("192.0.2.1", 200, id="listed"),
        pytest.param("::ffff:192.0.2.1", 200, id="listed, mapped"),
        pytest.param("198.51.100.1", 401, id="elsewhere"),
        pytest.param("192.0.2.1, 198.51.100.1", 401, id="elsewhere, with a claim on the left"),
        pytest.param("192.0.2.1:443", 200, id="listed, with a port"),
        pytest.param("198.51.100.1:443", 401, id="elsewhere, with a port"),
        pytest.param("192.0.2.1:https", 401, id="unreadable"),
    ],
)
def test_a_key_is_held_to_the_address_that_the_proxy_saw(
    api: Api, alice: User, settings: Any, forwarded: str, status: int
) -> None:
    settings.TRUSTED_PROXIES = 1
    key = make_key(alice, allowed_ips=["192.0.2.1"])[1]
    assert api.get("/protected/service", key=key, headers={"X-Forwarded-For": forwarded}).status_code == status
    assert api.get("/protected/service", key=key).status_code == 401


@pytest.mark.parametrize(
    "address",
    [
        pytest.param("fe80::1%a b", id="a space in the zone"),
        pytest.param("fe80::1%\nx", id="a line break in the zone"),
    ],
)
def test_the_zone_of_an_address_cannot_carry_anything_into_a_list(api: Api, alices_token: str, address: str) -> None:
    response = api.post("/keys", {"name": "zoned", "allowed_ips": [address]}, token=alices_token)
    assert errors_of(response) == [("allowed_ips", "invalid_network")]
    assert api.get("/keys", token=alices_token).json() == []


@pytest.mark.parametrize("zone", ["eth0", "enx001122334455", "z" * 200])
def test_a_link_local_client_is_answered_and_recorded(api: Api, alice: User, zone: str) -> None:
    key = make_key(alice, allowed_ips=["192.0.2.1"])[1]
    api.client.defaults["REMOTE_ADDR"] = f"fe80::1234:5678:9abc:def0%{zone}"
    assert api.get("/protected/service", key=key).status_code == 401
    assert api.get("/protected/service", key=make_key(alice)[1]).status_code == 200


def test_failed_logins_behind_a_proxy_that_names_ports_lock_out_their_own_address_alone(
    api: Api, alice: User, settings: Any
) -> None:
    settings.TRUSTED_PROXIES = 1
    for number in range(100):
        wrong = {"username": f"nobody{number}", "password": "wrong"}
        hop = {"X-Forwarded-For": f"198.51.100.{number}:{50000 + number}"}
        assert api.post("/auth/login", wrong, headers=hop).status_code == 401
    right = {"username": "alice", "password": PASSWORD}
    assert api.post("/auth/login", right, headers={"X-Forwarded-For": "192.0.2.1:4711"}).status_code == 200


@pytest.mark.parametrize(
    ("proxies", "remote", "headers", "warnings"),
    [
        pytest.param(0, "", {}, [context.UNKNOWN_ADDRESS], id="a unix socket"),
        pytest.param(1, "127.0.0.1", {}, [context.UNKNOWN_ADDRESS], id="no header though there is a proxy"),
        pytest.param(0, "127.0.0.1", {"X-Forwarded-For": "192.0.2.1"}, [context.UNTRUSTED_PROXY], id="a proxy untold"),
        pytest.param(0, "127.0.0.1", {}, [], id="no proxy"),
        pytest.param(1, "127.0.0.1", {"X-Forwarded-For": "192.0.2.1:80"}, [], id="one proxy"),
    ],
)
@pytest.mark.django_db
def test_clients_that_cannot_be_told_apart_are_warned_of_once(
    api: Api, settings: Any, caplog: Any, proxies: int, remote: str, headers: dict[str, str], warnings: list[str]
) -> None:
    context.warn_once.cache_clear()
    settings.TRUSTED_PROXIES = proxies
    api.client.defaults["REMOTE_ADDR"] = remote
    for _ in range(3):
        api.post("/auth/login", {"username": "nobody", "password": "wrong"}, headers=headers)
    assert [record.message for record in caplog.records if record.name == "authsvc.request.context"] == warnings
