"""How gunicorn's threads serve here: with fewer turns for each request, and every promise of gunicorn's own.

What each turn costs is in docs/performance.md.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from datetime import timedelta
from email.utils import formatdate
from functools import lru_cache
from typing import Any

from gunicorn import glogging, util
from gunicorn.http import wsgi

from authsvc.server.connection import Connection
from authsvc.server.framing import Progress
from authsvc.server.slow_clients import SlowClients

NEW_OBJECTS = 10_000  # containers that a process makes more than it drops before it looks for cycles among them
LINGER = 2  # milliseconds that a thread waits for a client that has just been answered


class Worker(SlowClients):
    """Serves with the classes below.

    A thread stays with a connection as long as its client goes on asking and nobody waits for a thread: gunicorn's own
    gives it back to its main thread after each request.
    """

    wsgi: Any  # the application

    def init_process(self) -> None:
        """Serve, until told to stop."""
        # gunicorn has no settings for these.
        wsgi.Response, wsgi.base_environ, util.http_date = Response, environs(self.cfg), http_date
        remember(self.cfg)
        super().init_process()

    def load_wsgi(self) -> None:
        """Load the application, which learns when each request was complete and whether its body is."""
        super().load_wsgi()
        application = self.wsgi

        def call(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
            outlet = environ["gunicorn.socket"]
            environ["authsvc.arrived"], environ["authsvc.cut_short"] = outlet.arrived, outlet.cut_short
            return application(environ, start_response)

        self.wsgi = call

    def handle(self, conn: Connection) -> bool:
        """Answer a request and those that follow immediately; tell whether the connection can be kept."""
        kept: bool = super().handle(conn)
        while kept:
            conn.begin()
            if not self.can_keep_thread(conn):
                break
            kept = super().handle(conn)
        return kept

    def handle_request(self, req: Any, conn: Connection) -> bool:
        """Answer one request. Its body is here, or is not waited for: the client need not be asked for it."""
        req._expected_100_continue = False
        kept: bool = super().handle_request(req, conn)
        return kept

    def can_keep_thread(self, conn: Connection) -> bool:
        """Tell whether the thread of a connection goes on with its next request."""
        if not self.alive or conn.lane.waiting or conn.outlet.is_pending:
            return False
        try:
            if not conn.received.data and not (conn.receives(LINGER) and conn.take()):
                return False
            complete = conn.progress() is Progress.COMPLETE
        except OSError:  # the client has gone, as the main thread will see
            return False
        conn.outlet.arrived = time.monotonic()
        return complete and self.lanes.lane_of(conn) is conn.lane


class Response(wsgi.Response):  # type: ignore[misc]  # as above
    """Sends an answer that is one piece as one: gunicorn's own sends the head, and then the body."""

    headers_sent: bool
    # Headers that gunicorn would take as they are; what is here is what the API's answers have in common.
    known: frozenset[tuple[str, str]] = frozenset()

    def __init__(self, req: Any, sock: Any, cfg: Any) -> None:
        super().__init__(req, sock, cfg)
        self.must_close = getattr(sock, "must_close", False)

    def process_headers(self, headers: list[tuple[str, str]]) -> None:
        """Take an answer's headers. Raises gunicorn's errors for one that cannot be sent."""
        super().process_headers([pair for pair in headers if pair not in self.known])
        self.headers += [pair for pair in headers if pair in self.known]

    def write(self, arg: bytes) -> None:
        """Send a piece of the body, and the head before the first."""
        if self.headers_sent or self._omits_body or not arg or len(arg) != self.response_length:
            super().write(arg)
            return
        head = "".join((*self.default_headers(), *[f"{name}: {value}\r\n" for name, value in self.headers], "\r\n"))
        self.headers_sent, self.sent = True, len(arg)
        util.write(self.sock, head.encode("latin-1") + arg)


class Logger(glogging.Logger):  # type: ignore[misc]  # as above
    """gunicorn's own, without an access log: telemetry/access.py writes one that holds no address of a page."""

    def access(self, resp: Any, req: Any, environ: dict[str, Any], request_time: timedelta) -> None:
        """Write nothing. gunicorn gathers what its line would say even where no handler takes it."""


def environs(cfg: Any) -> Callable[[Any], dict[str, Any]]:
    """Return what makes the part of a request's environment that is the same for all, from one of gunicorn's own."""
    common = wsgi.base_environ(cfg)
    return lambda cfg: common.copy()


def http_date(timestamp: float | None = None) -> str:
    """Return a time, or now, as HTTP writes it (RFC 9110, section 5.6.7), worked out once a second."""
    return date_of(int(time.time() if timestamp is None else timestamp))


@lru_cache(maxsize=1)
def date_of(second: int) -> str:
    """Return a second since 1970 as HTTP writes it."""
    return formatdate(second, usegmt=True)


def remember(cfg: Any) -> None:
    """Have gunicorn find its settings as attributes of their own. It asks for 21 in each request, by two calls each."""
    vars(cfg).update({name: setting.get() for name, setting in cfg.settings.items()})


def settle() -> None:
    """Take what a process has loaded out of the search for cycles, which is for what requests leave behind."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(NEW_OBJECTS, 10, 10)
