"""ASGI middleware for an application of any framework."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from authsvc_client.errors import AuthsvcError, Unavailable
from authsvc_client.identity import AsyncVerifier, names
from authsvc_client.refusals import is_identity_header, refusal

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

IDENTITY = "authsvc.identity"
POLICY_VIOLATION, TRY_AGAIN_LATER = 1008, 1013  # the close codes of a websocket (RFC 6455, section 7.4)


class AuthsvcMiddleware:
    """Rejects every request whose credential is not valid or lacks one of ``scopes`` and ``roles``.

    The application finds the Identity in ``scope["authsvc.identity"]``. X-Auth-… headers of clients are removed. A
    websocket is verified once, when it opens. ``client_address`` takes the scope and returns the client's address to
    send to authsvc, or None; without it none is sent.
    """

    def __init__(
        self,
        app: App,
        verifier: AsyncVerifier,
        *,
        scopes: Iterable[str] = (),
        roles: Iterable[str] = (),
        audience: str | None = None,
        client_address: Callable[[Scope], str | None] = lambda scope: None,
    ) -> None:
        self.app, self.verifier, self.audience = app, verifier, audience
        self.scopes, self.roles, self.client_address = names(scopes), names(roles), client_address

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] not in ("http", "websocket"):
            raise NotImplementedError(f"The middleware does not support the protocol {scope['type']}.")
        try:
            identity = await self.verifier.verify(
                scope["headers"],
                scopes=self.scopes,
                roles=self.roles,
                audience=self.audience,
                client_address=self.client_address(scope),
            )
        except AuthsvcError as error:
            await (refuse if scope["type"] == "http" else refuse_websocket)(error, scope, receive, send)
            return
        headers = [(name, value) for name, value in scope["headers"] if not is_identity_header(name.decode("latin-1"))]
        await self.app({**scope, "headers": headers, IDENTITY: identity}, receive, send)


async def refuse(error: AuthsvcError, scope: Scope, receive: Receive, send: Send, prefix: str = "http") -> None:
    """Respond to a request that is rejected."""
    headers, body = refusal(error)
    raw = [(name.lower().encode(), value.encode()) for name, value in headers]
    await send({"type": f"{prefix}.response.start", "status": error.status, "headers": raw})
    await send({"type": f"{prefix}.response.body", "body": b"" if scope.get("method") == "HEAD" else body})


async def refuse_websocket(error: AuthsvcError, scope: Scope, receive: Receive, send: Send) -> None:
    """Reject a websocket before it opens, with an HTTP response where the server supports that."""
    await receive()  # the connect event, which servers require to be received first
    if "websocket.http.response" in (scope.get("extensions") or {}):
        await refuse(error, scope, receive, send, "websocket.http")
        return
    code = TRY_AGAIN_LATER if isinstance(error, Unavailable) else POLICY_VIOLATION
    await send({"type": "websocket.close", "code": code, "reason": error.detail})
