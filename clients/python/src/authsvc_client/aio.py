"""The client for coroutines: client.py with ``await``."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from types import TracebackType
from typing import Any, Self

import httpx

from authsvc_client import answers, questions
from authsvc_client.answers import LOST, Answer
from authsvc_client.errors import Unavailable
from authsvc_client.identity import Headers, Identity, Introspection, names


class AsyncAuthsvcClient:
    """Asks authsvc as ``AuthsvcClient`` does, without blocking asyncio's event loop."""

    def __init__(
        self,
        base_url: str,
        *,
        api_key: str | None = None,
        token: str | None = None,
        timeout: float | httpx.Timeout = questions.TIMEOUT,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.base_url = questions.base_of(base_url)
        self._own = questions.own(api_key, token)
        self._options = questions.options(timeout, transport)
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
        """Close the connections that are kept."""
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
        """As ``AuthsvcClient.verify``."""
        wanted = {"scopes": names(scopes), "roles": names(roles)}
        sent, query = questions.verification(
            headers, credential, **wanted, audience=audience, client_address=client_address
        )
        answer = await self._ask("GET", "/auth/verify", sent, answers.SHORT, params=query)
        return answers.identity_of(answer, **wanted)

    async def introspect(self, token: str) -> Introspection:
        """As ``AuthsvcClient.introspect``."""
        return (await self.introspect_many([token]))[0]

    async def introspect_many(self, tokens: Iterable[str]) -> list[Introspection]:
        """As ``AuthsvcClient.introspect_many``."""
        if not self._own:
            raise TypeError("Introspection needs api_key or token.")
        texts, found = list(tokens), dict[str, Introspection]()
        for batch in questions.batches(texts):
            body = questions.as_json({"tokens": batch})
            headers = {**body.pop("headers"), **self._own}
            answer = await self._ask("POST", "/auth/introspect", headers, answers.LONG, **body)
            found |= zip(batch, answers.introspections(answer, len(batch)), strict=True)
        return [found.get(text, answers.INACTIVE) for text in texts]

    async def _ask(self, method: str, path: str, headers: Any, limit: int, **rest: Any) -> Answer:
        """As in client.py."""
        http = self._client()
        request = http.build_request(method, self.base_url + path, headers=headers, **rest)
        try:
            try:
                return await once(http, request, limit)
            except LOST:
                return await once(http, request, limit)
        except httpx.HTTPError as error:
            reason = type(error).__name__
        raise Unavailable(reason)

    def _client(self) -> httpx.AsyncClient:
        """Return the HTTP client of the event loop that runs. Connections of another loop cannot be used in this one,
        and a test client of a web framework has a new loop for each request."""
        loop = asyncio.get_running_loop()
        if self._http is None or loop is not self._loop:
            self._http, self._loop = httpx.AsyncClient(**self._options), loop
        return self._http


async def once(http: httpx.AsyncClient, request: httpx.Request, limit: int) -> Answer:
    """Ask once. Raises httpx.HTTPError."""
    response, body = await http.send(request, stream=True), bytearray()
    try:
        async for chunk in response.aiter_raw():
            body += chunk
            if len(body) > limit:
                answers.too_long()
    finally:
        await response.aclose()
    return Answer(response.status_code, response.headers, bytes(body))
