"""The client for threads."""

from __future__ import annotations

from collections.abc import Iterable
from types import TracebackType
from typing import Any, Self

import httpx

from authsvc_client import answers, questions
from authsvc_client.answers import LOST, Answer
from authsvc_client.errors import Unavailable
from authsvc_client.identity import Headers, Identity, Introspection, names


class AuthsvcClient:
    """Asks authsvc, over connections that are kept; good for any number of threads.

    ``api_key`` or ``token`` is this service's own credential, with the scope ``tokens:introspect``; only introspection
    needs it, and it goes nowhere else. ``timeout`` bounds each step of a call, in seconds. ``transport`` replaces
    httpx's own, for a private certificate authority or a Unix socket. Proxies of the environment are not used, and no
    redirect is followed. Every answer is asked for anew: a revoked credential fails at the next call.
    """

    def __init__(
        self,
        base_url: str,
        *,
        api_key: str | None = None,
        token: str | None = None,
        timeout: float | httpx.Timeout = questions.TIMEOUT,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.base_url = questions.base_of(base_url)
        self._own = questions.own(api_key, token)
        self._http = httpx.Client(**questions.options(timeout, transport))

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.base_url}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections that are kept."""
        self._http.close()

    def verify(
        self,
        headers: Headers | None = None,
        *,
        credential: str | None = None,
        scopes: Iterable[str] = (),
        roles: Iterable[str] = (),
        audience: str | None = None,
        client_address: str | None = None,
    ) -> Identity:
        """Return who comes with a request, if the credential is good now and has all of these scopes and roles.

        Of ``headers`` only Authorization and x-api-key are sent on; ``credential`` is a token or a key by itself.
        ``audience`` refuses tokens that are for somebody else. ``client_address`` is told to authsvc for keys that are
        bound to addresses and believed where its TRUSTED_PROXIES counts this service.

        Raises Unauthenticated, Forbidden, RateLimited, or Unavailable for anything that is not a proper answer.
        """
        wanted = {"scopes": names(scopes), "roles": names(roles)}
        sent, query = questions.verification(
            headers, credential, **wanted, audience=audience, client_address=client_address
        )
        answer = self._ask("GET", "/auth/verify", sent, answers.SHORT, params=query)
        return answers.identity_of(answer, **wanted)

    def introspect(self, token: str) -> Introspection:
        """Return what a token or a key is, now (RFC 7662); it does not count as a use. Raises as ``verify`` does,
        where 401, 403 and 429 are about this service's own credential."""
        return self.introspect_many([token])[0]

    def introspect_many(self, tokens: Iterable[str]) -> list[Introspection]:
        """Return what each is, in the same order; one request for up to a hundred of them."""
        if not self._own:
            raise TypeError("Introspection needs api_key or token.")
        texts, found = list(tokens), dict[str, Introspection]()
        for batch in questions.batches(texts):
            body = questions.as_json({"tokens": batch})
            headers = {**body.pop("headers"), **self._own}
            answer = self._ask("POST", "/auth/introspect", headers, answers.LONG, **body)
            found |= zip(batch, answers.introspections(answer, len(batch)), strict=True)
        return [found.get(text, answers.INACTIVE) for text in texts]

    def _ask(self, method: str, path: str, headers: Any, limit: int, **rest: Any) -> Answer:
        """Return an answer of at most ``limit`` bytes. Raises Unavailable, by its name alone: httpx's own exception
        holds the request, and that the credential."""
        request = self._http.build_request(method, self.base_url + path, headers=headers, **rest)
        try:
            try:
                return self._once(request, limit)
            except LOST:
                return self._once(request, limit)
        except httpx.HTTPError as error:
            reason = type(error).__name__
        raise Unavailable(reason)

    def _once(self, request: httpx.Request, limit: int) -> Answer:
        """Ask once. Raises httpx.HTTPError."""
        response, body = self._http.send(request, stream=True), bytearray()
        try:
            for chunk in response.iter_raw():
                body += chunk
                if len(body) > limit:
                    answers.too_long()
        finally:
            response.close()
        return Answer(response.status_code, response.headers, bytes(body))
