"""The identity behind a request, and the introspection of a token."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

Method = Literal["jwt", "api_key"]
# The headers of a request, as frameworks have them: a mapping, or pairs in which a name may be repeated.
Headers = Mapping[str, str] | Iterable[tuple[str, str]] | Iterable[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Identity:
    """The user or the key of a verified request. It holds no credential, so it may be logged.

    ``subject`` is the user's id. ``username`` is empty after offline verification, since tokens do not carry it.
    ``key_id`` is None for a login.
    """

    subject: str
    username: str
    method: Method
    key_id: str | None
    roles: frozenset[str]
    scopes: frozenset[str]

    def may(self, *, scopes: Iterable[str] = (), roles: Iterable[str] = ()) -> bool:
        """Return whether it has all of these scopes and roles."""
        return self.scopes.issuperset(names(scopes)) and self.roles.issuperset(names(roles))


@dataclass(frozen=True, slots=True)
class Introspection:
    """The state of a token or a key (RFC 7662). Where ``active`` is false, no other field is set."""

    active: bool
    subject: str | None = None
    username: str | None = None
    token_type: str | None = None
    client_id: str | None = None
    scopes: frozenset[str] = frozenset()
    audience: tuple[str, ...] = ()
    issuer: str | None = None
    token_id: str | None = None
    issued_at: int | None = None
    expires_at: int | None = None


class Verifier(Protocol):
    """The interface of ``AuthsvcClient`` and ``OfflineVerifier``. ``verify`` raises AuthsvcError."""

    def verify(
        self,
        headers: Headers | None = None,
        *,
        scopes: Iterable[str] = (),
        roles: Iterable[str] = (),
        audience: str | None = None,
        client_address: str | None = None,
    ) -> Identity: ...


class AsyncVerifier(Protocol):
    """The interface of ``AsyncAuthsvcClient`` and ``AsyncOfflineVerifier``."""

    async def verify(
        self,
        headers: Headers | None = None,
        *,
        scopes: Iterable[str] = (),
        roles: Iterable[str] = (),
        audience: str | None = None,
        client_address: str | None = None,
    ) -> Identity: ...


def names(values: Iterable[str]) -> tuple[str, ...]:
    """Return scopes or roles as a tuple. Raises TypeError for a single string, whose letters would become the names."""
    if isinstance(values, str):
        raise TypeError("Scopes and roles are given as a list of names, not as one text.")
    return tuple(values)
