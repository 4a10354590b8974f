"""How gunicorn's threads serve here: with fewer turns for each request, and every promise of gunicorn's own.

What each turn costs is in docs/performance.md.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from gunicorn import glogging
from gunicorn.http import wsgi

from authsvc.server.connection import Connection
from authsvc.server.framing import Progress
from authsvc.server.slow_clients import SlowClients

NEW_OBJECTS = 10_000  # containers that a process makes more than it drops before it looks for cycles among them
LINGER = 2  # milliseconds that a thread waits for a client that has just been answered


class Worker(SlowClients):
    """Serves with the classes below, and takes its share of the connections of all processes.

    A thread stays with a connection as long as its client goes on asking and nobody waits for a thread: gunicorn's own
    gives it back to its main thread after each request.
    """

    wsgi: Any  # the application

    def init_process(self) -> None:
        """Serve, until told to stop."""
        # gunicorn has no setting for it.
        wsgi.Response = Response
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
    """gunicorn's own, which ends the connection where the rest of the request is not waited for."""

    def __init__(self, req: Any, sock: Any, cfg: Any) -> None:
        super().__init__(req, sock, cfg)
        self.must_close = getattr(sock, "must_close", False)


class Logger(glogging.Logger):  # type: ignore[misc]  # as above
    """gunicorn's own, without an access log: telemetry/access.py writes one that holds no address of a page."""

    def access(self, resp: Any, req: Any, environ: dict[str, Any], request_time: timedelta) -> None:
        """Write nothing. gunicorn gathers what its line would say even where no handler takes it."""


def remember(cfg: Any) -> None:
    """Have gunicorn find its settings as attributes of their own. It asks for 21 in each request, by two calls each."""
    vars(cfg).update({name: setting.get() for name, setting in cfg.settings.items()})


def settle() -> None:
    """Take what a process has loaded out of the search for cycles, which is for what requests leave behind."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(NEW_OBJECTS, 10, 10)
