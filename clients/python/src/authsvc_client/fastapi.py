"""FastAPI dependencies that guard routes. The only module that needs FastAPI."""

# No annotations as strings here: FastAPI reads those of a dependency that is an object without its module's names.

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import HTTPException, Request, Security
from fastapi.security import APIKeyHeader, HTTPBearer

from authsvc_client.aio import AsyncAuthsvcClient
from authsvc_client.errors import AuthsvcError
from authsvc_client.identity import AsyncVerifier, Identity, names
from authsvc_client.refusals import log_unavailable

# They reject nothing: they add the schemes to the service's OpenAPI document, and a field for each to its /docs.
BEARER = HTTPBearer(auto_error=False, scheme_name="bearer", bearerFormat="JWT")
API_KEY = APIKeyHeader(name="x-api-key", auto_error=False, scheme_name="apiKey")


class Guard:
    """Guards routes: ``who: Identity = Depends(guard.require(scopes=["reports:read"]))``.

    ``verifier`` is the URL of authsvc, or an AsyncVerifier. ``audience`` rejects tokens for another audience.
    ``client_address`` takes the request and returns the client's address to send to authsvc; without it none is sent.
    """

    def __init__(
        self,
        verifier: str | AsyncVerifier,
        *,
        audience: str | None = None,
        client_address: Callable[[Request], str | None] = lambda request: None,
    ) -> None:
        self._made: AsyncAuthsvcClient | None = None
        if isinstance(verifier, str):
            verifier = self._made = AsyncAuthsvcClient(verifier)
        self.verifier = verifier
        self.audience, self.client_address = audience, client_address

    async def aclose(self) -> None:
        """Close the pooled connections, where the guard was given a URL. Call it at the end of the lifespan."""
        if self._made is not None:
            await self._made.aclose()

    def require(self, *, scopes: Iterable[str] = (), roles: Iterable[str] = ()) -> "Requirement":
        """Return a dependency that gives the route the Identity, or responds with 401, 403, 429 or 503."""
        return Requirement(self, names(scopes), names(roles))


@dataclass(frozen=True)
class Requirement:
    """A dependency. FastAPI calls equal ones once for a request, and tests can override them."""

    guard: Guard
    scopes: tuple[str, ...]
    roles: tuple[str, ...]

    async def __call__(
        self,
        request: Request,
        bearer: Annotated[Any, Security(BEARER)] = None,
        api_key: Annotated[Any, Security(API_KEY)] = None,
    ) -> Identity:
        try:
            return await self.guard.verifier.verify(
                request.headers.raw,
                scopes=self.scopes,
                roles=self.roles,
                audience=self.guard.audience,
                client_address=self.guard.client_address(request),
            )
        except AuthsvcError as error:
            log_unavailable(error)
            status, detail, headers = error.status, error.detail, error.headers
        raise HTTPException(status, detail, headers)
