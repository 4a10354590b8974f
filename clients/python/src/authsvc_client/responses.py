"""Parses the responses of authsvc strictly: any other response is an error, so it admits nobody."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, NamedTuple, NoReturn
from urllib.parse import unquote

import httpx

from authsvc_client.errors import CHALLENGE, Forbidden, RateLimited, Unauthenticated, Unavailable
from authsvc_client.identity import Identity, Introspection, Method

MAX_BODY, MAX_INTROSPECTION_BODY = 64 * 1024, 4 * 1024 * 1024  # bytes of a response that are read
METHODS: dict[str, Method] = {"jwt": "jwt", "api_key": "api_key"}
VISIBLE = re.compile(r"[\x20-\x7e]{1,1000}")
SECONDS = re.compile(r"[0-9]{1,6}", re.ASCII)
# A pooled connection that the server has closed: the request is sent once more, since none changes anything.
RETRYABLE_ERRORS = (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError)
INACTIVE = Introspection(active=False)


class Response(NamedTuple):
    """A response with its whole body."""

    status: int
    headers: httpx.Headers
    body: bytes


def parse_identity(response: Response, scopes: Sequence[str], roles: Sequence[str]) -> Identity:
    """Return the identity in a response of /auth/verify. Raises AuthsvcError.

    It is Unavailable too where the identity lacks ``scopes`` or ``roles``: an intermediary may have dropped the query.
    """
    if response.status != 200:
        raise_for_status(response)
    subject, method = identity_header(response, "Subject"), METHODS.get(identity_header(response, "Method"))
    username = percent_decoded(identity_header(response, "Username"))
    if response.body or not subject or not username or method is None:
        raise Unavailable("the response names no identity")
    identity = Identity(
        subject=subject,
        username=username,
        method=method,
        key_id=identity_header(response, "Key-Id") or None,
        roles=frozenset(percent_decoded(role) for role in identity_header(response, "Roles").split()),
        scopes=frozenset(identity_header(response, "Scopes").split()),
    )
    if not identity.may(scopes=scopes, roles=roles):
        raise Unavailable("the response does not grant the required scopes and roles")
    return identity


def identity_header(response: Response, name: str) -> str:
    """Return the value of ``X-Auth-{name}``. Raises Unavailable unless it is present exactly once."""
    values = response.headers.get_list(f"X-Auth-{name}")
    if len(values) != 1:
        raise Unavailable(f"the response has X-Auth-{name} {len(values)} times")
    return values[0]


def percent_decoded(text: str) -> str:
    """Return a percent-encoded text, decoded. Raises Unavailable where it is not UTF-8."""
    plain = unquote(text, errors="replace")
    if "\N{REPLACEMENT CHARACTER}" in plain:
        raise Unavailable("the response is not UTF-8")
    return plain


def parse_introspections(response: Response, count: int) -> list[Introspection]:
    """Return the introspections of ``count`` tokens. Raises AuthsvcError."""
    if response.status != 200:
        raise_for_status(response)
    found = parse_json(response.body)
    if not (isinstance(found, list) and len(found) == count):
        raise Unavailable("the response to an introspection has not one item for each token")
    return [parse_introspection(claims) for claims in found]


def parse_introspection(claims: Any) -> Introspection:
    """Return one introspection. Raises Unavailable for anything that RFC 7662, section 2.2, does not allow."""
    if not isinstance(claims, dict) or not isinstance(claims.get("active"), bool):
        raise Unavailable("an introspection lacks a boolean `active`")
    if not claims["active"]:
        return INACTIVE
    audience = claims.get("aud", [])
    audience = [audience] if isinstance(audience, str) else audience
    texts = [claims.get(name, "") for name in ("sub", "username", "token_type", "client_id", "scope", "iss", "jti")]
    times = [claims.get(name, 0) for name in ("iat", "exp")]
    if not (
        isinstance(audience, list)
        and all(isinstance(text, str) for text in (*texts, *audience))
        and all(type(time) is int for time in times)
    ):
        raise Unavailable("an introspection has a member of the wrong type")
    return Introspection(
        active=True,
        subject=claims.get("sub"),
        username=claims.get("username"),
        token_type=claims.get("token_type"),
        client_id=claims.get("client_id"),
        scopes=frozenset(claims.get("scope", "").split()),
        audience=tuple(audience),
        issuer=claims.get("iss"),
        token_id=claims.get("jti"),
        issued_at=claims.get("iat"),
        expires_at=claims.get("exp"),
    )


def parse_json(body: bytes) -> Any:
    """Return the JSON of a body. Raises Unavailable."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        pass  # raised below, so that the body, which may repeat a token, hangs on no exception
    raise Unavailable("the response is not JSON")


def raise_for_status(response: Response) -> NoReturn:
    """Raise the error that the status of a response stands for; Unavailable for a status that authsvc does not use."""
    seconds = response.headers.get("Retry-After", "")
    retry_after = int(seconds) if SECONDS.fullmatch(seconds) else None
    if response.status == 401:
        challenge = response.headers.get("WWW-Authenticate", "")
        raise Unauthenticated(challenge if VISIBLE.fullmatch(challenge) else CHALLENGE)
    if response.status == 403:
        raise Forbidden
    if response.status == 429:
        raise RateLimited(retry_after=retry_after)
    raise Unavailable(f"status {response.status}", retry_after=retry_after)


def raise_too_long() -> NoReturn:
    raise Unavailable("the response is too long")
