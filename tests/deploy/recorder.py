"""A web server that writes down what it is given: the application behind a gateway, or a liar in authsvc's place."""

from __future__ import annotations

import contextlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple


class Seen(NamedTuple):
    """One request as it came."""

    method: str
    path: str
    headers: list[tuple[str, str]]
    body: bytes

    def values(self, name: str) -> list[str]:
        """Return every value under a name, as WSGI would take it: a hyphen and an underscore are the same."""
        return [value for key, value in self.headers if key.lower().replace("_", "-") == name.lower()]

    @property
    def identity(self) -> dict[str, str]:
        """Who the request says that it comes from; what stands there twice, or says nothing, fails or is left out."""
        names = [key.lower().replace("_", "-") for key, _ in self.headers]
        found = [name for name in names if name.startswith("x-auth-")]
        assert len(found) == len(set(found)), self.headers
        return {name: self.values(name)[0] for name in found if self.values(name)[0]}


class Handler(BaseHTTPRequestHandler):
    """Records, then answers with the server's status, headers and body."""

    protocol_version = "HTTP/1.1"
    server: Recorder

    def setup(self) -> None:
        super().setup()
        self.server.connections += 1

    def handle(self) -> None:
        # A gateway may reset a connection that it needs no more.
        with contextlib.suppress(ConnectionError):
            super().handle()

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.seen.append(Seen(self.command, self.path, self.headers.items(), body))
        if self.server.hangs_up:
            self.close_connection = True
            return
        self.send_response(self.server.status)
        for name, value in {**self.server.headers, "Content-Length": str(len(self.server.body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(self.server.body)

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


for method in ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"):
    setattr(Handler, f"do_{method}", Handler.answer)


class Recorder(ThreadingHTTPServer):
    """``seen`` is what came, ``connections`` how many connections it came over."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.port = int(self.server_address[1])
        self.reset()
        self.thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05})

    def reset(self, status: int = 200, headers: dict[str, str] | None = None, body: Any = None) -> None:
        """Forget what came, and answer like this from now on."""
        self.seen: list[Seen] = []
        self.connections = 0
        self.hangs_up = False
        self.status, self.headers = status, headers or {}
        self.body = b"" if body is None else json.dumps(body).encode()

    def __enter__(self) -> Recorder:
        self.thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.shutdown()
        self.thread.join(30)
        self.server_close()
