"""The client for threads."""

from __future__ import annotations

from collections.abc import Iterable
from types import TracebackType
from typing import Any, Self

import httpx

from authsvc_client import requests, responses
from authsvc_client.errors import Unavailable
from authsvc_client.identity import Headers, Identity, Introspection, names
from authsvc_client.responses import RETRYABLE_ERRORS, Response


class AuthsvcClient:
    """Calls authsvc over pooled connections. Thread-safe.

    ``api_key`` or ``token`` is this service's own credential, with the scope ``tokens:introspect``. Only introspection
    needs it, and it is sent with nothing else. ``timeout`` bounds each step of a call, in seconds. ``transport``
    replaces httpx's own, for a private certificate authority or a Unix socket. Proxies from the environment are not
    used, and redirects are not followed. Nothing is cached: a revoked credential fails at the next call.
    """

    def __init__(
        self,
        base_url: str,
        *,
        api_key: str | None = None,
        token: str | None = None,
        timeout: float | httpx.Timeout = requests.TIMEOUT,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.base_url = requests.normalize_base_url(base_url)
        self._own_headers = requests.own_headers(api_key, token)
        self._http = httpx.Client(**requests.client_options(timeout, transport))

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.base_url}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the pooled connections."""
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
        """Return the identity behind a request whose credential is valid now and has all of ``scopes`` and ``roles``.

        Of ``headers`` only Authorization and x-api-key are forwarded; ``credential`` is a token or a key by itself.
        ``audience`` rejects tokens for another audience. ``client_address`` is sent for keys that are bound to
        addresses; authsvc trusts it where its TRUSTED_PROXIES counts this service.

        Raises Unauthenticated, Forbidden, RateLimited, or Unavailable for any other response.
        """
        wanted = {"scopes": names(scopes), "roles": names(roles)}
        sent, query = requests.verify_request(
            headers, credential, **wanted, audience=audience, client_address=client_address
        )
        response = self._send("GET", "/auth/verify", sent, responses.MAX_BODY, params=query)
        return responses.parse_identity(response, **wanted)

    def introspect(self, token: str) -> Introspection:
        """Introspect a token or a key (RFC 7662). It does not count as a use.

        Raises what ``verify`` raises; 401, 403 and 429 are about this service's own credential.
        """
        return self.introspect_many([token])[0]

    def introspect_many(self, tokens: Iterable[str]) -> list[Introspection]:
        """Introspect several, and return the results in the same order; one request for up to 100 of them."""
        if not self._own_headers:
            raise TypeError("Introspection needs api_key or token.")
        texts, found = list(tokens), dict[str, Introspection]()
        for batch in requests.batches(texts):
            body = requests.json_body({"tokens": batch})
            headers = {**body.pop("headers"), **self._own_headers}
            response = self._send("POST", "/auth/introspect", headers, responses.MAX_INTROSPECTION_BODY, **body)
            found |= zip(batch, responses.parse_introspections(response, len(batch)), strict=True)
        return [found.get(text, responses.INACTIVE) for text in texts]

    def _send(self, method: str, path: str, headers: Any, limit: int, **rest: Any) -> Response:
        """Return a response of at most ``limit`` bytes.

        Raises Unavailable with the name of httpx's exception, which itself holds the request and its credential.
        """
        request = self._http.build_request(method, self.base_url + path, headers=headers, **rest)
        try:
            try:
                return self._send_once(request, limit)
            except RETRYABLE_ERRORS:
                return self._send_once(request, limit)
        except httpx.HTTPError as error:
            reason = type(error).__name__
        raise Unavailable(reason)

    def _send_once(self, request: httpx.Request, limit: int) -> Response:
        response, body = self._http.send(request, stream=True), bytearray()
        try:
            for chunk in response.iter_raw():
                body += chunk
                if len(body) > limit:
                    responses.raise_too_long()
        finally:
            response.close()
        return Response(response.status_code, response.headers, bytes(body))
