"""Who came, and what is to be said of a token."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

Method = Literal["jwt", "api_key"]
# Names and values of a request's headers, as frameworks have them: a mapping, or pairs in which a name may come twice.
Headers = Mapping[str, str] | Iterable[tuple[str, str]] | Iterable[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Identity:
    """Who was let in. It holds no credential, so it may be logged.

    ``subject`` is the user's id; ``username`` is empty where a token was verified offline, since tokens carry none;
    ``key_id`` is None for a login.
    """

    subject: str
    username: str
    method: Method
    key_id: str | None
    roles: frozenset[str]
    scopes: frozenset[str]

    def may(self, *, scopes: Iterable[str] = (), roles: Iterable[str] = ()) -> bool:
        """Say whether it has all of these."""
        return self.scopes.issuperset(names(scopes)) and self.roles.issuperset(names(roles))


@dataclass(frozen=True, slots=True)
class Introspection:
    """What a token or a key is (RFC 7662). Where ``active`` is false, nothing else is told."""

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
    """What can say who comes with a request: ``AuthsvcClient`` and ``OfflineVerifier`` do. Raises AuthsvcError."""

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
    """The same for coroutines: ``AsyncAuthsvcClient`` and ``AsyncOfflineVerifier``."""

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
    """Return scopes or roles. Raises TypeError for one text, whose letters would be taken for names."""
    if isinstance(values, str):
        raise TypeError("Scopes and roles are given as a list of names, not as one text.")
    return tuple(values)
