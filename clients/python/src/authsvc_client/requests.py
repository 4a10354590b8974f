"""Builds the requests to authsvc. Of a caller's request they carry the credential and nothing else."""

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
MAX_TOKEN_LENGTH = 16 * 1024  # characters of a token that authsvc reads
# A valid header value. The HTTP library would repeat any other in its error, and with it a credential.
SENDABLE = re.compile(f"[\t\x20-\x7e]{{0,{MAX_TOKEN_LENGTH + len('Bearer ')}}}".encode())
PLAUSIBLE = re.compile(f"[!-~]{{1,{MAX_TOKEN_LENGTH}}}")
MAX_BATCH_TOKENS, MAX_BATCH_BYTES = 100, 900_000  # of one introspection; authsvc reads 100 tokens and 1 MiB
TIMEOUT = httpx.Timeout(5.0, connect=2.0)  # seconds for each step of a call
# An idle connection is dropped before authsvc, which keeps one for 15 seconds, closes it under a request.
LIMITS = httpx.Limits(max_connections=100, max_keepalive_connections=20, keepalive_expiry=10.0)


def normalize_base_url(url: str) -> str:
    """Return a URL to append paths to. Raises ValueError, which does not repeat the URL: it may hold a password."""
    parsed = httpx.URL(url)
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise ValueError("The address must begin with http:// or https:// and name a host.")
    if parsed.userinfo or parsed.query or parsed.fragment:
        raise ValueError("The address must have no user, query or fragment.")
    return str(parsed).rstrip("/")


def client_options(timeout: float | httpx.Timeout, transport: Any) -> dict[str, Any]:
    """Return the options of the HTTP client: no proxies or .netrc from the environment, no redirects, no cookies."""
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


def credential_headers(headers: Headers | None, credential: str | None) -> dict[str, bytes]:
    """Return the headers that carry the credential of a caller.

    Repeated headers are joined, as servers join them, and are then an invalid credential. Raises Unauthenticated where
    there is no credential or one that cannot be sent; TypeError unless exactly one argument is given.
    """
    if (headers is None) == (credential is None):
        raise TypeError("Give headers, or a credential.")
    pairs = headers.items() if isinstance(headers, Mapping) else headers or header_for(credential or "")
    found: dict[str, list[bytes]] = {}
    for name, value in pairs:
        lower = (name if isinstance(name, str) else name.decode("latin-1")).lower()
        if lower in (AUTHORIZATION, API_KEY):
            found.setdefault(lower, []).append(value.encode(errors="replace") if isinstance(value, str) else value)
    sent = {name: b", ".join(values).strip() for name, values in found.items()}
    if not sent or not all(SENDABLE.fullmatch(value) for value in sent.values()):
        raise Unauthenticated
    return sent


def header_for(credential: str) -> Iterator[tuple[str, str]]:
    """Yield the header for a token or a key: only a token has dots."""
    yield (AUTHORIZATION, f"Bearer {credential}") if "." in credential else (API_KEY, credential)


def verify_request(
    headers: Headers | None,
    credential: str | None,
    *,
    scopes: Sequence[str],
    roles: Sequence[str],
    audience: str | None,
    client_address: str | None,
) -> tuple[dict[str, bytes], list[tuple[str, str]]]:
    """Return the headers and the query of a request to /auth/verify.

    Raises ValueError where ``client_address`` is not an address: authsvc would trust a part of a list.
    """
    sent = credential_headers(headers, credential)
    if client_address is not None:
        # A zone (RFC 4007) means something on this machine only, and could hold any text.
        sent["x-forwarded-for"] = str(ip_address(client_address.partition("%")[0])).encode()
    query = [("scope", scope) for scope in scopes] + [("role", role) for role in roles]
    return sent, query if audience is None else [*query, ("audience", audience)]


def own_headers(api_key: str | None, token: str | None) -> dict[str, bytes]:
    """Return the headers of this service's own credential, empty without one. Raises ValueError for two or for junk."""
    if api_key is not None and token is not None:
        raise ValueError("Give api_key or token, not both.")
    pairs = ((AUTHORIZATION, token and f"Bearer {token}"), (API_KEY, api_key))
    sent = {name: text.encode(errors="replace").strip() for name, text in pairs if text is not None}
    if not all(SENDABLE.fullmatch(value) for value in sent.values()):
        raise ValueError("The credential for introspection has characters that no header can have.")
    return sent


def batches(tokens: Iterable[str]) -> Iterator[list[str]]:
    """Yield the distinct tokens that could be active, in batches of the size that authsvc accepts."""
    batch, size = list[str](), 0
    for token in dict.fromkeys(text for text in tokens if PLAUSIBLE.fullmatch(text)):
        if len(batch) == MAX_BATCH_TOKENS or size + len(token) > MAX_BATCH_BYTES:
            yield batch
            batch, size = [], 0
        batch.append(token)
        size += len(token) + 4  # quotes, a comma and a space
    if batch:
        yield batch


def json_body(body: dict[str, Any]) -> dict[str, Any]:
    return {"content": json.dumps(body).encode(), "headers": {"Content-Type": "application/json"}}
