"""What stands before and behind a client here: real servers of guarded applications, and one that answers oddly."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from socketserver import ThreadingMixIn
from typing import Any, TypeVar
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

import uvicorn
from authsvc_client import AsyncAuthsvcClient, Identity, Introspection

from tests.flows.proxy import shut

T = TypeVar("T")


def awaited(coroutine: Coroutine[Any, Any, T]) -> T:
    """Return what a coroutine returns, in a thread of its own: on CPython 3.11 coverage loses the frames below an event
    loop in which a coroutine was closed early, and those of a test must not be among them."""
    with ThreadPoolExecutor(max_workers=1) as thread:
        return thread.submit(asyncio.run, coroutine).result(60)


class Awaited:
    """An AsyncAuthsvcClient behind the face of an AuthsvcClient, so that one test holds for both."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self.client, self.runner = AsyncAuthsvcClient(*arguments, **options), asyncio.Runner()

    def __repr__(self) -> str:
        return repr(self.client)

    def verify(self, *arguments: Any, **options: Any) -> Identity:
        return self.runner.run(self.client.verify(*arguments, **options))

    def introspect(self, token: str) -> Introspection:
        return self.runner.run(self.client.introspect(token))

    def introspect_many(self, tokens: list[str]) -> list[Introspection]:
        return self.runner.run(self.client.introspect_many(tokens))

    def close(self) -> None:
        self.runner.run(self.client.aclose())
        self.runner.close()


class Odd:
    """A server that answers with given bytes in turn, the last ones for ever; None hangs, b"" ends the connection."""

    def __init__(self, *answers: bytes | None) -> None:
        self.answers, self.requests, self.sockets = list(answers), list[bytes](), list[socket.socket]()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self.listener.accept()
                self.sockets.append(near)
                threading.Thread(target=self.serve, args=(near,), daemon=True).start()

    def serve(self, near: socket.socket) -> None:
        """Answer the requests of a connection."""
        with contextlib.suppress(OSError):
            while request := read_request(near):
                self.requests.append(request)
                answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
                if answer is None:
                    near.recv(1)  # which comes when the client has had enough
                elif answer:
                    near.sendall(answer)
                else:
                    break
        shut(near)

    def close(self) -> None:
        for one in (self.listener, *self.sockets):
            shut(one)


def read_request(near: socket.socket) -> bytes:
    """Return a request with its body; b"" where the client has gone."""
    request = b""
    while not is_whole(request):
        if not (more := near.recv(65536)):
            return b""
        request += more
    return request


def is_whole(request: bytes) -> bool:
    """Return whether a request has its head and as much of a body as that says."""
    head, end, body = request.partition(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head.lower())
    return bool(end) and len(body) >= int(length[1] if length else 0)


def http(status: str, body: bytes = b"", **headers: str) -> bytes:
    """Return an answer as it is on the wire; an underscore in a header's name here is a hyphen there."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


@contextlib.contextmanager
def asgi_served(app: Any, *closed: Any) -> Iterator[str]:
    """Serve an ASGI application with uvicorn and give its address; connections wait until it accepts.

    In the end the clients are closed, in their own loop.
    """

    async def closing(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "lifespan":
            await app(scope, receive, send)
            return
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        for client in closed:
            await client.aclose()
        await send({"type": "lifespan.shutdown.complete"})

    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(closing, log_config=None, timeout_graceful_shutdown=5))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(30)


class ThreadedServer(ThreadingMixIn, WSGIServer):
    """wsgiref's, with a thread for each connection."""


class QuietHandler(WSGIRequestHandler):
    """wsgiref's, without its line for each request."""

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  wsgiref's name
        pass


@contextlib.contextmanager
def wsgi_served(app: Callable[..., Any]) -> Iterator[str]:
    """Serve a WSGI application with wsgiref and give its address."""
    with ThreadedServer(("127.0.0.1", 0), QuietHandler) as server:
        server.set_app(app)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join(30)
