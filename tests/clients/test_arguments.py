"""Mistakes of whoever writes the guarded service are told at once, and repeat no secret."""

from __future__ import annotations

from typing import Any

import pytest
from authsvc_client import AsyncAuthsvcClient, AuthsvcClient
from authsvc_client.offline import OfflineVerifier

from tests.clients.conftest import Connect

URL = "http://127.0.0.1:9"
KINDS = [AuthsvcClient, AsyncAuthsvcClient, OfflineVerifier]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "url", ["", "127.0.0.1:8000", "ftp://x", "http://", "http://u:secret@x", "http://x?secret", "http://x#secret"]
)
def test_an_address_must_be_one(kind: Any, url: str) -> None:
    with pytest.raises(ValueError, match="The address must") as refused:
        kind(url)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("kind", KINDS)
def test_there_is_always_a_timeout(kind: Any) -> None:
    with pytest.raises(ValueError, match="Every timeout"):
        kind(URL, timeout=None)


def test_scopes_and_roles_are_lists_of_names(connect: Connect) -> None:
    client = connect(URL)
    for wanted in ({"scopes": "reports:read"}, {"roles": "admin"}):
        with pytest.raises(TypeError, match="list of names"):
            client.verify({}, **wanted)


@pytest.mark.parametrize("given", [{}, {"headers": {}, "credential": "x"}])
def test_headers_or_a_credential_are_given(connect: Connect, given: Any) -> None:
    with pytest.raises(TypeError, match="Give headers, or a credential"):
        connect(URL).verify(**given)


@pytest.mark.parametrize("address", ["192.0.2.1, 192.0.2.2", "localhost", ""])
def test_a_clients_address_is_one_address(connect: Connect, address: str) -> None:
    with pytest.raises(ValueError, match="does not appear to be an IPv4 or IPv6 address"):
        connect(URL).verify(credential="x", client_address=address)


@pytest.mark.parametrize("given", [{"api_key": "a", "token": "b"}, {"api_key": "sé"}, {"token": "a\nb"}])
def test_the_credential_for_introspection_is_one(connect: Connect, given: Any) -> None:
    with pytest.raises(ValueError, match=r"api_key or token|characters"):
        connect(URL, **given)


def test_introspection_needs_a_credential(connect: Connect) -> None:
    with pytest.raises(TypeError, match="needs api_key or token"):
        connect(URL).introspect("x")


@pytest.mark.parametrize("given", [{}, {"base_url": URL, "jwks_url": URL}])
def test_an_offline_verifier_has_one_address(given: Any) -> None:
    with pytest.raises(TypeError, match="Give base_url, or jwks_url"):
        OfflineVerifier(**given)
