"""What authsvc answered, read strictly: whatever is not exactly an answer of it lets nobody through."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, NamedTuple, NoReturn
from urllib.parse import unquote

import httpx

from authsvc_client.errors import CHALLENGE, Forbidden, RateLimited, Unauthenticated, Unavailable
from authsvc_client.identity import Identity, Introspection, Method

SHORT, LONG = 64 * 1024, 4 * 1024 * 1024  # bytes of an answer that are read: of a refusal, of an introspection
METHODS: dict[str, Method] = {"jwt": "jwt", "api_key": "api_key"}
VISIBLE = re.compile(r"[\x20-\x7e]{1,1000}")
SECONDS = re.compile(r"[0-9]{1,6}", re.ASCII)
# A connection that was kept and turns out to be closed: worth one more try, since no question changes anything.
LOST = (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError)
INACTIVE = Introspection(active=False)


class Answer(NamedTuple):
    """An answer, read to its end."""

    status: int
    headers: httpx.Headers
    body: bytes


def identity_of(answer: Answer, scopes: Sequence[str], roles: Sequence[str]) -> Identity:
    """Return who it is. Raises AuthsvcError; Unavailable too where the answer does not grant what was asked for, as
    from something in between that dropped the query."""
    if answer.status != 200:
        refuse(answer)
    subject, method = one(answer, "Subject"), METHODS.get(one(answer, "Method"))
    username = decoded(one(answer, "Username"))
    if answer.body or not subject or not username or method is None:
        raise Unavailable("the answer says yes, and not to whom")
    identity = Identity(
        subject=subject,
        username=username,
        method=method,
        key_id=one(answer, "Key-Id") or None,
        roles=frozenset(decoded(role) for role in one(answer, "Roles").split()),
        scopes=frozenset(one(answer, "Scopes").split()),
    )
    if not identity.may(scopes=scopes, roles=roles):
        raise Unavailable("the answer says yes, and does not grant what was asked for")
    return identity


def one(answer: Answer, name: str) -> str:
    """Return an identity header that must be there exactly once. Raises Unavailable."""
    values = answer.headers.get_list(f"X-Auth-{name}")
    if len(values) != 1:
        raise Unavailable(f"the answer has X-Auth-{name} {len(values)} times")
    return values[0]


def decoded(text: str) -> str:
    """Return a percent-encoded text. Raises Unavailable."""
    plain = unquote(text, errors="replace")
    if "\N{REPLACEMENT CHARACTER}" in plain:
        raise Unavailable("the answer is not UTF-8")
    return plain


def introspections(answer: Answer, count: int) -> list[Introspection]:
    """Return what is said of each of ``count`` tokens. Raises AuthsvcError."""
    if answer.status != 200:
        refuse(answer)
    found = parsed(answer.body)
    if not (isinstance(found, list) and len(found) == count):
        raise Unavailable("the answer to an introspection is not one for each token")
    return [introspection(told) for told in found]


def introspection(told: Any) -> Introspection:
    """Return what is said of a token. Raises Unavailable for what RFC 7662, section 2.2, has no room for."""
    if not isinstance(told, dict) or not isinstance(told.get("active"), bool):
        raise Unavailable("the answer to an introspection does not say whether the token is active")
    if not told["active"]:
        return INACTIVE
    audience = told.get("aud", [])
    audience = [audience] if isinstance(audience, str) else audience
    texts = [told.get(name, "") for name in ("sub", "username", "token_type", "client_id", "scope", "iss", "jti")]
    times = [told.get(name, 0) for name in ("iat", "exp")]
    if not (
        isinstance(audience, list)
        and all(isinstance(text, str) for text in (*texts, *audience))
        and all(type(time) is int for time in times)
    ):
        raise Unavailable("the answer to an introspection cannot be read")
    return Introspection(
        active=True,
        subject=told.get("sub"),
        username=told.get("username"),
        token_type=told.get("token_type"),
        client_id=told.get("client_id"),
        scopes=frozenset(told.get("scope", "").split()),
        audience=tuple(audience),
        issuer=told.get("iss"),
        token_id=told.get("jti"),
        issued_at=told.get("iat"),
        expires_at=told.get("exp"),
    )


def parsed(body: bytes) -> Any:
    """Return the JSON of a body. Raises Unavailable."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        pass  # raised below, so that the body, which may repeat a token, hangs on no exception
    raise Unavailable("the answer is not JSON")


def refuse(answer: Answer) -> NoReturn:
    """Raise what an answer means that is not 200; one that is not authsvc's way of refusing is no answer."""
    seconds = answer.headers.get("Retry-After", "")
    retry_after = int(seconds) if SECONDS.fullmatch(seconds) else None
    if answer.status == 401:
        challenge = answer.headers.get("WWW-Authenticate", "")
        raise Unauthenticated(challenge if VISIBLE.fullmatch(challenge) else CHALLENGE)
    if answer.status == 403:
        raise Forbidden
    if answer.status == 429:
        raise RateLimited(retry_after=retry_after)
    raise Unavailable(f"status {answer.status}", retry_after=retry_after)


def too_long() -> NoReturn:
    """Refuse to read on."""
    raise Unavailable("the answer is too long")
