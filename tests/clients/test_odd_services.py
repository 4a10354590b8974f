"""What answers is not authsvc, or not in order: nobody is let in by it, and it learns nothing that it need not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from authsvc_client import Forbidden, RateLimited, Unauthenticated, Unavailable

from tests.clients.conftest import Connect
from tests.clients.serving import Odd, http

KEY = "sk_a-key-that-nobody-else-may-see"
WHO = {
    "X_Auth_Subject": "1",
    "X_Auth_Username": "alice",
    "X_Auth_Method": "api_key",
    "X_Auth_Key_Id": "7",
    "X_Auth_Roles": "",
    "X_Auth_Scopes": "reports:read",
}
GOOD = http("200 OK", **WHO)
LEAVE_ONE_OUT = {f"no {name}": http("200 OK", **{k: v for k, v in WHO.items() if k != name}) for name in WHO}
ODD = {
    **LEAVE_ONE_OUT,
    "a page": http("200 OK", b"<h1>Welcome to the hotel</h1>", Content_Type="text/html"),
    "a body": http("200 OK", b"{}", **WHO),
    "two subjects": GOOD.replace(b"X-Auth-Subject: 1", b"X-Auth-Subject: 1\r\nX-Auth-Subject: 2"),
    "an empty subject": GOOD.replace(b"Subject: 1", b"Subject: "),
    "an empty name": GOOD.replace(b"alice", b""),
    "a method that is none": GOOD.replace(b"api_key", b"magic"),
    "a name that is not UTF-8": GOOD.replace(b"alice", b"%ff"),
    "another good status": GOOD.replace(b"200 OK", b"204 No Content"),
    "a redirect": http("302 Found", Location="/auth/verify2"),
    "a permanent redirect": http("308 Permanent Redirect", Location="http://192.0.2.1/auth/verify"),
    "not found": http("404 Not Found"),
    "bad": http("400 Bad Request"),
    "broken": http("500 Internal Server Error"),
    "no HTTP": b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
    "no end": b"HTTP/1.1 200 OK\r\n" + b"X-Filler: 1\r\n" * 20_000,
    "too much": http("401 Unauthorized", b" " * 70_000),
    "closed": b"",
}


@pytest.mark.parametrize("answer", ODD.values(), ids=ODD.keys())
def test_what_is_no_proper_answer_lets_nobody_in(connect: Connect, odd: Callable[..., Odd], answer: bytes) -> None:
    service = odd(answer)
    with pytest.raises(Unavailable):
        connect(service.url).verify(credential=KEY)
    assert all(request.startswith(b"GET /auth/verify HTTP/1.1") for request in service.requests)


@pytest.mark.parametrize("wanted", [{"scopes": ["reports:write"]}, {"roles": ["admin"]}])
def test_a_yes_without_what_was_asked_for_is_no_yes(connect: Connect, odd: Callable[..., Odd], wanted: Any) -> None:
    client = connect(odd(GOOD).url)
    assert client.verify(credential=KEY, scopes=["reports:read"]).key_id == "7"
    with pytest.raises(Unavailable):
        client.verify(credential=KEY, **wanted)


def test_a_service_that_hangs_is_given_up(connect: Connect, odd: Callable[..., Odd]) -> None:
    with pytest.raises(Unavailable, match="ReadTimeout"):
        connect(odd(None).url, timeout=0.2).verify(credential=KEY)


def test_a_connection_that_was_closed_meanwhile_is_replaced(connect: Connect, odd: Callable[..., Odd]) -> None:
    service = odd(GOOD, b"", GOOD)
    client = connect(service.url)
    assert [client.verify(credential=KEY).subject for _ in range(2)] == ["1", "1"]
    assert (len(service.requests), len(service.sockets)) == (3, 2)


def test_only_the_credential_of_a_request_is_sent_on(connect: Connect, odd: Callable[..., Odd]) -> None:
    service = odd(http("401 Unauthorized", Set_Cookie="tracked=1; Path=/"))
    client = connect(f"{service.url}/auth-service/", api_key="sk_our-own", timeout=5)
    sent = {"x-api-key": KEY, "Cookie": "c=1", "Host": "shop", "X-Forwarded-For": "::1", "X-Auth-Subject": "1"}
    for address in (None, "fe80::1%eth0, 192.0.2.9"):
        with pytest.raises(Unauthenticated):
            client.verify(sent, scopes=["a:b", "c d"], roles=["é"], audience="x&y", client_address=address)
    heads = [request.decode().lower().split("\r\n\r\n")[0].split("\r\n") for request in service.requests]
    line = "get /auth-service/auth/verify?scope=a%3ab&scope=c+d&role=%c3%a9&audience=x%26y http/1.1"
    assert [head[0].replace("%20", "+") for head in heads] == [line, line]
    names = [{field.partition(":")[0] for field in head[1:]} for head in heads]
    own = {"host", "accept", "accept-encoding", "connection", "user-agent"}
    assert names == [own | {"x-api-key"}, own | {"x-api-key", "x-forwarded-for"}]
    assert "x-forwarded-for: fe80::1" in heads[1]


def test_the_environment_names_no_proxy(
    connect: Connect, odd: Callable[..., Odd], monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy, service = odd(GOOD), odd(GOOD)
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, proxy.url)
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.setenv("no_proxy", "")
    assert connect(service.url).verify(credential=KEY).subject == "1"
    assert not proxy.sockets


@pytest.mark.parametrize(
    ("answer", "error", "headers"),
    [
        ("401 Unauthorized", Unauthenticated, {"WWW-Authenticate": 'Bearer realm="authsvc", ApiKey realm="authsvc"'}),
        ("403 Forbidden", Forbidden, {}),
        ("429 Too Many Requests", RateLimited, {"Retry-After": "7"}),
        ("503 Service Unavailable", Unavailable, {"Retry-After": "7"}),
    ],
)
def test_a_refusal_says_what_to_pass_on(
    connect: Connect, odd: Callable[..., Odd], answer: str, error: Any, headers: dict[str, str]
) -> None:
    with pytest.raises(error) as refused:
        connect(odd(http(answer, Retry_After="7", WWW_Authenticate="")).url).verify(credential=KEY)
    assert refused.value.headers == headers


def test_a_date_to_come_again_is_not_passed_on(connect: Connect, odd: Callable[..., Odd]) -> None:
    answer = http("429 Too Many Requests", Retry_After="Wed, 21 Oct 2026 07:28:00 GMT")
    with pytest.raises(RateLimited) as refused:
        connect(odd(answer).url).verify(credential=KEY)
    assert (refused.value.retry_after, refused.value.headers) == (None, {})
