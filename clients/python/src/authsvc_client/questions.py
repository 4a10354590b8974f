"""What is sent to authsvc: no more of a caller's request than its credential."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from http.cookiejar import CookieJar, DefaultCookiePolicy
from ipaddress import ip_address
from typing import Any

import httpx

from authsvc_client.errors import Unauthenticated
from authsvc_client.identity import Headers

AUTHORIZATION, API_KEY = "authorization", "x-api-key"
LONGEST = 16 * 1024  # characters of a token that authsvc reads
# What can be a header at all. The HTTP library would quote anything else in its error, and that would be a credential.
SENDABLE = re.compile(f"[\t\x20-\x7e]{{0,{LONGEST + len('Bearer ')}}}".encode())
ASKABLE = re.compile(f"[!-~]{{1,{LONGEST}}}")
MOST_TOKENS, MOST_BYTES = 100, 900_000  # of one introspection; authsvc reads 100 tokens and 1 MiB
TIMEOUT = httpx.Timeout(5.0, connect=2.0)  # seconds for each step of a call
# An idle connection is dropped before authsvc, which keeps one for 15 seconds, closes it under a request.
LIMITS = httpx.Limits(max_connections=100, max_keepalive_connections=20, keepalive_expiry=10.0)


def base_of(url: str) -> str:
    """Return an address to append paths to. Raises ValueError, which does not repeat what may hold a password."""
    parsed = httpx.URL(url)
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise ValueError("The address must begin with http:// or https:// and name a host.")
    if parsed.userinfo or parsed.query or parsed.fragment:
        raise ValueError("The address must have no user, query or fragment.")
    return str(parsed).rstrip("/")


def options(timeout: float | httpx.Timeout, transport: Any) -> dict[str, Any]:
    """Return how the HTTP client is made: no proxies or .netrc of the environment, no redirects, no cookies."""
    given = httpx.Timeout(timeout)
    if None in given.as_dict().values():
        raise ValueError("Every timeout must be given: a service that hangs must not hang its callers.")
    return {
        "timeout": given,
        "transport": transport,
        "limits": LIMITS,
        "trust_env": False,
        "follow_redirects": False,
        "cookies": CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        "headers": {"User-Agent": "authsvc-client/0.1.0", "Accept-Encoding": "identity"},
    }


def credentials(headers: Headers | None, credential: str | None) -> dict[str, bytes]:
    """Return the headers that carry the credential of a caller.

    A header that came twice is joined as servers do, and is then a bad credential. Raises Unauthenticated where there
    is none, or one that cannot be sent; TypeError where both arguments are given, or neither.
    """
    if (headers is None) == (credential is None):
        raise TypeError("Give headers, or a credential.")
    pairs = headers.items() if isinstance(headers, Mapping) else headers or by_form(credential or "")
    found: dict[str, list[bytes]] = {}
    for name, value in pairs:
        lower = (name if isinstance(name, str) else name.decode("latin-1")).lower()
        if lower in (AUTHORIZATION, API_KEY):
            found.setdefault(lower, []).append(value.encode(errors="replace") if isinstance(value, str) else value)
    sent = {name: b", ".join(values).strip() for name, values in found.items()}
    if not sent or not all(SENDABLE.fullmatch(value) for value in sent.values()):
        raise Unauthenticated
    return sent


def by_form(credential: str) -> Iterator[tuple[str, str]]:
    """Yield the header for a token or a key: a token has dots, and no key has one."""
    yield (AUTHORIZATION, f"Bearer {credential}") if "." in credential else (API_KEY, credential)


def verification(
    headers: Headers | None,
    credential: str | None,
    *,
    scopes: Sequence[str],
    roles: Sequence[str],
    audience: str | None,
    client_address: str | None,
) -> tuple[dict[str, bytes], list[tuple[str, str]]]:
    """Return the headers and the query of a question to /auth/verify.

    Raises ValueError for an address of a client that is none: a list of several would be believed in part.
    """
    sent = credentials(headers, credential)
    if client_address is not None:
        # A zone (RFC 4007) is a matter of this machine, and could hold anything.
        sent["x-forwarded-for"] = str(ip_address(client_address.partition("%")[0])).encode()
    query = [("scope", scope) for scope in scopes] + [("role", role) for role in roles]
    return sent, query if audience is None else [*query, ("audience", audience)]


def own(api_key: str | None, token: str | None) -> dict[str, bytes]:
    """Return the headers that say who introspects; none where nothing is given. Raises ValueError for both or junk."""
    if api_key is not None and token is not None:
        raise ValueError("Give api_key or token, not both.")
    pairs = ((AUTHORIZATION, token and f"Bearer {token}"), (API_KEY, api_key))
    sent = {name: text.encode(errors="replace").strip() for name, text in pairs if text is not None}
    if not all(SENDABLE.fullmatch(value) for value in sent.values()):
        raise ValueError("The credential for introspection has characters that no header can have.")
    return sent


def batches(tokens: Iterable[str]) -> Iterator[list[str]]:
    """Yield what is worth asking about, each once, in batches that authsvc takes; the rest cannot be active."""
    batch, size = list[str](), 0
    for token in dict.fromkeys(text for text in tokens if ASKABLE.fullmatch(text)):
        if len(batch) == MOST_TOKENS or size + len(token) > MOST_BYTES:
            yield batch
            batch, size = [], 0
        batch.append(token)
        size += len(token) + 4  # quotes, a comma and a space
    if batch:
        yield batch


def as_json(body: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of a request with a JSON body."""
    return {"content": json.dumps(body).encode(), "headers": {"Content-Type": "application/json"}}
