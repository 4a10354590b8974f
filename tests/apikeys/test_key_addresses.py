"""The address allowlist of a key, and from where its use is noted."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from accounts.models import User
from apikeys.models import APIKey
from audit.models import AuditEvent
from tests.conftest import BAD_CREDENTIAL, Api, errors_of
from tests.factories import make_key, token_of


def status_from(plaintext: str, address: str, forwarded: str | None = None) -> int:
    headers = {"X-API-Key": plaintext} | ({} if forwarded is None else {"X-Forwarded-For": forwarded})
    client = Client(raise_request_exception=False, REMOTE_ADDR=address)
    response = client.get("/protected/service", headers=headers)
    assert response.status_code == 200 or response.json() == BAD_CREDENTIAL
    return int(response.status_code)


@pytest.mark.parametrize(
    ("listed", "inside", "outside"),
    [
        pytest.param("192.0.2.7", ["192.0.2.7"], ["192.0.2.8", "2001:db8::7"], id="address"),
        pytest.param("192.0.2.0/25", ["192.0.2.0", "192.0.2.127"], ["192.0.2.128"], id="network"),
        pytest.param("192.0.2.7", ["::ffff:192.0.2.7"], ["::ffff:192.0.2.8", "::192.0.2.7"], id="mapped client"),
        pytest.param("::ffff:192.0.2.0/120", ["192.0.2.9", "::ffff:192.0.2.9"], ["192.0.3.1"], id="mapped network"),
        pytest.param("0.0.0.0/0", ["203.0.113.1"], ["2001:db8::1"], id="every IPv4"),
        pytest.param("::/0", ["2001:db8::1"], ["203.0.113.1", "::ffff:203.0.113.1"], id="every IPv6"),
        pytest.param("2001:db8::/32", ["2001:db8:1::1", "2001:DB8::1"], ["2001:db9::1"], id="IPv6 network"),
        pytest.param("2001:db8::1", ["2001:0db8:0:0:0:0:0:1"], ["2001:db8::2"], id="IPv6 in another form"),
        pytest.param("192.0.2.0/255.255.255.0", ["192.0.2.9"], ["192.0.3.9"], id="netmask"),
    ],
)
def test_a_key_opens_from_its_addresses_only(
    api: Api, alice: User, listed: str, inside: list[str], outside: list[str]
) -> None:
    made = api.post("/keys", {"name": "x", "allowed_ips": [listed]}, token=token_of(alice))
    plaintext = made.json()["key"]
    assert made.status_code == 201
    assert [status_from(plaintext, address) for address in inside] == [200] * len(inside)
    assert [status_from(plaintext, address) for address in outside] == [401] * len(outside)


def test_a_refusal_for_the_address_is_told_to_the_operator_once_a_minute_for_each_address(alice: User) -> None:
    _, plaintext = make_key(alice, allowed_ips=["192.0.2.7"])
    for address in ("198.51.100.1", "198.51.100.1", "198.51.100.2"):
        assert status_from(plaintext, address) == 401
    told = AuditEvent.objects.filter(event="api_key:refused").values_list("reason", "address")
    assert sorted(told) == [("address not allowed", "198.51.100.1"), ("address not allowed", "198.51.100.2")]


@pytest.mark.parametrize(
    ("hops", "status"),
    [
        pytest.param((0, "192.0.2.7", "203.0.113.9"), 200, id="without proxies the header is not looked at"),
        pytest.param((0, "203.0.113.9", "192.0.2.7"), 401, id="without proxies the header lets nobody in"),
        pytest.param((1, "10.0.0.1", "192.0.2.7"), 200, id="one proxy, its word"),
        pytest.param((1, "10.0.0.1", "192.0.2.7, 203.0.113.9"), 401, id="the leftmost is the client's own word"),
        pytest.param((1, "10.0.0.1", "203.0.113.9, 192.0.2.7"), 200, id="the rightmost is the proxy's"),
        pytest.param((2, "10.0.0.1", "192.0.2.7, 203.0.113.9, 10.0.0.2"), 401, id="two proxies, forged"),
        pytest.param((2, "10.0.0.1", "203.0.113.9, 192.0.2.7, 10.0.0.2"), 200, id="two proxies, true"),
        pytest.param((2, "192.0.2.7", "192.0.2.7"), 401, id="fewer hops than proxies"),
        pytest.param((1, "192.0.2.7", None), 401, id="no header where a proxy should be"),
        pytest.param((1, "192.0.2.7", ""), 401, id="empty header"),
        pytest.param((1, "192.0.2.7", "unknown"), 401, id="no address"),
        pytest.param((1, "192.0.2.7", "192.0.2.7:443"), 200, id="address with a port"),
        pytest.param((1, "192.0.2.7", "192.0.2.7,"), 401, id="trailing comma"),
        pytest.param((1, "10.0.0.1", "::ffff:192.0.2.7"), 200, id="mapped"),
    ],
)
def test_the_clients_address_is_what_the_trusted_proxies_say(
    settings: Any, alice: User, hops: tuple[int, str, str | None], status: int
) -> None:
    settings.TRUSTED_PROXIES, socket, forwarded = hops
    _, plaintext = make_key(alice, allowed_ips=["192.0.2.7"])
    assert status_from(plaintext, socket, forwarded) == status
    refused = AuditEvent.objects.filter(event="api_key:refused", reason="address not allowed")
    assert refused.exists() == (status == 401)


@pytest.mark.parametrize("socket", ["", "/run/authsvc.sock", "unix:"], ids=["none", "path", "word"])
def test_an_address_that_cannot_be_told_is_on_no_list_and_no_hindrance_without_one(alice: User, socket: str) -> None:
    _, listed = make_key(alice, allowed_ips=["0.0.0.0/0", "::/0"])
    key, free = make_key(alice)
    assert (status_from(listed, socket), status_from(free, socket)) == (401, 200)
    assert APIKey.objects.get(pk=key.pk).last_used_address is None


@pytest.mark.parametrize("zone", ["eth0", "x" * 200], ids=["interface", "long"])
def test_an_address_with_a_zone_is_answered(settings: Any, alice: User, zone: str) -> None:
    settings.TRUSTED_PROXIES = 1
    _, free = make_key(alice)
    _, listed = make_key(alice, allowed_ips=["192.0.2.7"])
    assert status_from(free, "10.0.0.1", f"fe80::1%{zone}") in {200, 401}
    assert status_from(listed, "10.0.0.1", f"fe80::1%{zone}") == 401


@pytest.mark.parametrize(
    "listed",
    [
        *("192.0.2.1/24", "2001:db8::1/32", "::ffff:192.0.2.1/120", "192.0.2.0/33", "2001:db8::/129", "192.0.2.0/-1"),
        *("192.0.2", "192.0.2.256", "192.0.2.010", "1", "0x7f000001", "localhost", "example.com", "*", "", " ", "/"),
        *("192.0.2.0/", "192.0.2.0/24/24", "192.0.2.1-192.0.2.9", "192.0.2.1,192.0.2.2", "192.0.2.1 192.0.2.2"),
        *("192.0.2.1:80", "[2001:db8::1]", "2001:db8:::1", "192.0.2.0/２４", "fe80::1%a b", "fe80::1%eth0"),
    ],
)
def test_what_is_no_network_is_refused_when_it_is_given(api: Api, alice: User, listed: str) -> None:
    key, plaintext = make_key(alice)
    refused = api.patch(f"/keys/{key.pk}", {"allowed_ips": ["192.0.2.7", listed]}, token=token_of(alice))
    assert refused.status_code == 400, f"accepted, and the key then answers {status_from(plaintext, '127.0.0.1')}"
    assert {code for _, code in errors_of(refused)} <= {"invalid_network", "blank"}
    assert api.get(f"/keys/{key.pk}", token=token_of(alice)).json()["allowed_ips"] == []


@pytest.mark.parametrize(
    ("listed", "errors"),
    [
        pytest.param(None, [("allowed_ips", "null")], id="null"),
        pytest.param("192.0.2.7", [("allowed_ips", "not_a_list")], id="text"),
        pytest.param({"a": 1}, [("allowed_ips", "not_a_list")], id="object"),
        pytest.param([7], [("allowed_ips.0", "invalid")], id="number"),
        pytest.param([None], [("allowed_ips.0", "null")], id="null inside"),
        pytest.param(["192.0.2.7", "1" * 101], [("allowed_ips.1", "max_length")], id="too long"),
        pytest.param(["192.0.2.7\0"], [("allowed_ips.0", "null_characters_not_allowed")], id="null character"),
        pytest.param([f"192.0.2.{n}" for n in range(101)], [("allowed_ips", "max_length")], id="101 networks"),
    ],
)
def test_what_is_no_list_of_networks_is_named(
    api: Api, alices_token: str, listed: Any, errors: list[tuple[str, str]]
) -> None:
    assert errors_of(api.post("/keys", {"name": "x", "allowed_ips": listed}, token=alices_token)) == errors
    assert not APIKey.objects.exists()


def test_a_hundred_networks_are_kept_in_one_form_and_each_once(api: Api, alices_token: str) -> None:
    listed = [f"192.0.2.{n}" for n in range(98)] + ["2001:DB8:0::/48", " 192.0.2.0/32 "]
    made = api.post("/keys", {"name": "x", "allowed_ips": listed}, token=alices_token).json()
    assert made["allowed_ips"] == [*(f"192.0.2.{n}/32" for n in range(98)), "2001:db8::/48"]
    assert status_from(made["key"], "192.0.2.97") == 200
    cleared = api.patch(f"/keys/{made['id']}", {"allowed_ips": []}, token=alices_token).json()
    assert (cleared["allowed_ips"], status_from(made["key"], "203.0.113.1")) == ([], 200)


def test_the_address_of_the_last_use_is_the_clients(api: Api, settings: Any, alice: User) -> None:
    settings.TRUSTED_PROXIES = 1
    key, plaintext = make_key(alice)
    assert status_from(plaintext, "10.0.0.1", "203.0.113.9, 2001:DB8::5") == 200
    seen = api.get(f"/keys/{key.pk}/usage", token=token_of(alice)).json()
    assert seen["last_used_address"] == "2001:db8::5"
    assert AuditEvent.objects.get(event="api_key:first_used").address == "2001:db8::5"


@pytest.mark.parametrize(
    ("listed", "shown"),
    [
        pytest.param(["192.0.2.7", "10.0.0.1/8", "junk"], "'10.0.0.1/8'", id="the first of two"),
        pytest.param(["x" * 100], f"'{'x' * 100}'", id="long"),
        pytest.param(["a\u202eb\n"], r"'a\u202eb'", id="not printable"),
    ],
)
def test_what_is_no_address_is_named(api: Api, alices_token: str, listed: list[str], shown: str) -> None:
    wanted = "an IPv4 or IPv6 address, or a network in CIDR notation without host bits"
    assert api.post("/keys", {"name": "x", "allowed_ips": listed}, token=alices_token).json() == {
        "type": "about:blank",
        "title": "Bad Request",
        "status": 400,
        "detail": "The request has fields that are not valid.",
        "errors": [{"field": "allowed_ips", "code": "invalid_network", "message": f"{shown} is not {wanted}."}],
    }
