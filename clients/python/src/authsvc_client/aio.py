"""The client for coroutines: client.py with ``await``."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from types import TracebackType
from typing import Any, Self

import httpx

from authsvc_client import requests, responses
from authsvc_client.errors import Unavailable
from authsvc_client.identity import Headers, Identity, Introspection, names
from authsvc_client.responses import RETRYABLE_ERRORS, Response


class AsyncAuthsvcClient:
    """``AuthsvcClient`` for coroutines."""

    def __init__(
        self,
        base_url: str,
        *,
        api_key: str | None = None,
        token: str | None = None,
        timeout: float | httpx.Timeout = requests.TIMEOUT,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.base_url = requests.normalize_base_url(base_url)
        self._own_headers = requests.own_headers(api_key, token)
        self._options = requests.client_options(timeout, transport)
        self._http: httpx.AsyncClient | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.base_url}>"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the pooled connections."""
        if self._http is not None:
            await self._http.aclose()

    async def verify(
        self,
        headers: Headers | None = None,
        *,
        credential: str | None = None,
        scopes: Iterable[str] = (),
        roles: Iterable[str] = (),
        audience: str | None = None,
        client_address: str | None = None,
    ) -> Identity:
        """See ``AuthsvcClient.verify``."""
        wanted = {"scopes": names(scopes), "roles": names(roles)}
        sent, query = requests.verify_request(
            headers, credential, **wanted, audience=audience, client_address=client_address
        )
        response = await self._send("GET", "/auth/verify", sent, responses.MAX_BODY, params=query)
        return responses.parse_identity(response, **wanted)

    async def introspect(self, token: str) -> Introspection:
        """See ``AuthsvcClient.introspect``."""
        return (await self.introspect_many([token]))[0]

    async def introspect_many(self, tokens: Iterable[str]) -> list[Introspection]:
        """See ``AuthsvcClient.introspect_many``."""
        if not self._own_headers:
            raise TypeError("Introspection needs api_key or token.")
        texts, found = list(tokens), dict[str, Introspection]()
        for batch in requests.batches(texts):
            body = requests.json_body({"tokens": batch})
            headers = {**body.pop("headers"), **self._own_headers}
            response = await self._send("POST", "/auth/introspect", headers, responses.MAX_INTROSPECTION_BODY, **body)
            found |= zip(batch, responses.parse_introspections(response, len(batch)), strict=True)
        return [found.get(text, responses.INACTIVE) for text in texts]

    async def _send(self, method: str, path: str, headers: Any, limit: int, **rest: Any) -> Response:
        http = self._client()
        request = http.build_request(method, self.base_url + path, headers=headers, **rest)
        try:
            try:
                return await send_once(http, request, limit)
            except RETRYABLE_ERRORS:
                return await send_once(http, request, limit)
        except httpx.HTTPError as error:
            reason = type(error).__name__
        raise Unavailable(reason)

    def _client(self) -> httpx.AsyncClient:
        """Return the HTTP client of the running event loop.

        Connections belong to one loop, and test clients of web frameworks run a new loop for each request.
        """
        loop = asyncio.get_running_loop()
        if self._http is None or loop is not self._loop:
            self._http, self._loop = httpx.AsyncClient(**self._options), loop
        return self._http


async def send_once(http: httpx.AsyncClient, request: httpx.Request, limit: int) -> Response:
    response, body = await http.send(request, stream=True), bytearray()
    try:
        async for chunk in response.aiter_raw():
            body += chunk
            if len(body) > limit:
                responses.raise_too_long()
    finally:
        await response.aclose()
    return Response(response.status_code, response.headers, bytes(body))
