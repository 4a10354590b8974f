"""The main thread's part: it takes requests as their clients send them and hands whole ones to a thread.

gunicorn's own worker lets a thread read from the socket: a client that sends half a request, or takes half an answer,
holds the thread for as long as it likes. Here a client that is slow holds a descriptor and some memory, both bounded,
and has a deadline.
"""

from __future__ import annotations

import errno
import selectors
import socket
import time
from concurrent.futures import Executor, Future
from functools import partial
from typing import Any

from django.conf import settings
from gunicorn.workers.gthread import STOP_KEEPALIVE_LINGER, ThreadWorker

from authsvc.server.connection import Connection
from authsvc.server.framing import Progress
from authsvc.server.lanes import VERIFY, Lanes, QueueFull, method_and_path

RECEIVE_SECONDS = 12.0  # from a connection's first moment, or a request's first byte, to the request's last
LINGER_SECONDS = 2.0  # after the last answer, for the client to hang up (RFC 9112, section 9.6)
LINGER_BYTES = 16 * 1024 * 1024
SWEEP_SECONDS = 0.5
MEMORY_LIMIT = 64 * 1024 * 1024  # bytes of requests and answers that are on their way
REFUSALS = {Progress.LINE_TOO_LONG: 414, Progress.HEAD_TOO_LARGE: 431}
FULL = (errno.EMFILE, errno.ENFILE)
PASSING = (errno.EAGAIN, errno.EWOULDBLOCK, errno.ECONNABORTED)


class SlowClients(ThreadWorker):  # type: ignore[misc]  # gunicorn has no annotations
    """A ThreadWorker whose threads get whole requests and whose answers wait for nobody."""

    lanes: Lanes

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # What the main thread waits for, in the order in which it began to. Connections of requests are not among it.
        self.watched: dict[Connection, None] = {}
        self.held = 0  # bytes
        self.swept = self.stopped = 0.0  # time.monotonic()

    def get_thread_pool(self) -> Executor:
        """Return the threads of most requests, and make the lanes of all."""
        pool: Executor = super().get_thread_pool()
        wait = float(settings.DATABASE_TIMEOUT)
        self.lanes = Lanes(self.cfg.threads, pool, wait=wait, connections=self.worker_connections)
        return pool

    def run(self) -> None:
        """Serve until told to stop, and end the threads then."""
        try:
            super().run()
        finally:
            self.lanes.shut_down()

    def accept(self, listener: socket.socket) -> None:
        """Take a new connection; where there are too many, close the one that has been silent for the longest."""
        try:
            client, address = listener.accept()
        except OSError as error:
            if error.errno in FULL:
                if not self.evict():
                    time.sleep(0.01)  # every descriptor is in use by a request
            elif error.errno not in PASSING:
                raise
            return
        self.nr_conns += 1
        conn = Connection(self.cfg, client, address, listener.getsockname())
        if self.nr_conns >= self.worker_connections:
            self.evict()
        self.watch(conn, RECEIVE_SECONDS)
        self.on_readable(conn)

    def watch(self, conn: Connection, seconds: float, *, to_send: bool = False) -> None:
        """Wait until the client sends, or takes, something."""
        conn.deadline = time.monotonic() + seconds
        self.watched[conn] = None
        event, callback = (
            (selectors.EVENT_WRITE, self.on_writable) if to_send else (selectors.EVENT_READ, self.on_readable)
        )
        self.poller.register(conn.outlet.sock, event, partial(callback, conn))

    def unwatch(self, conn: Connection) -> None:
        """Wait for it no longer."""
        del self.watched[conn]
        self.poller.unregister(conn.outlet.sock)

    def on_readable(self, conn: Connection, _socket: object = None) -> None:
        """Take what the client has sent."""
        is_first = not conn.received.data
        try:
            is_open = conn.take()
        except OSError:
            self.drop(conn)
            return
        if conn.is_lingering:
            conn.lingered += len(conn.received.data)
            conn.received.data.clear()
            if not is_open or conn.lingered > LINGER_BYTES:
                self.drop(conn)
            return
        if is_first and conn.received.data:
            conn.deadline = time.monotonic() + RECEIVE_SECONDS
        self.proceed(conn, is_open=is_open)

    def proceed(self, conn: Connection, *, is_open: bool = True) -> None:
        """Hand a watched connection's request to a thread where it is complete."""
        self.count(conn)
        if conn not in self.watched:
            return  # there was no room for it
        try:
            progress = conn.progress()
        except OSError:  # of the interim answer that asks for a body
            is_open, progress = False, Progress.INCOMPLETE
        is_whole = progress is not Progress.INCOMPLETE
        if progress in REFUSALS:
            self.unwatch(conn)
            self.refuse(conn, REFUSALS[progress])
        elif is_whole or (conn.framing.head_end and (not is_open or is_verification(conn))):
            self.unwatch(conn)
            conn.outlet.cut_short = progress is Progress.CUT_SHORT
            conn.outlet.must_close = progress is not Progress.COMPLETE
            self.dispatch(conn)
        elif not is_open:
            self.drop(conn)

    def dispatch(self, conn: Connection) -> None:
        """Give a complete request to a thread of its lane, or let it wait for one."""
        conn.outlet.arrived = time.monotonic()
        conn.lane = self.lanes.lane_of(conn)
        try:
            admitted = conn.lane.admit(conn)
        except QueueFull:
            self.refuse(conn, 503)
        else:
            if admitted is not None:
                self.start(conn)

    def start(self, conn: Connection) -> None:
        """Answer a request in a thread."""
        future: Future[bool] = conn.lane.executor.submit(self.handle, conn)
        future.add_done_callback(lambda done: self.method_queue.defer(self.finish_request, conn, done))

    def finish_request(self, conn: Connection, future: Future[bool]) -> None:
        """Go on with a connection whose thread has answered."""
        following = conn.lane.release()
        if following is not None:
            self.start(following)
        conn.is_kept = not future.cancelled() and future.exception() is None and future.result()
        self.settle(conn)

    def settle(self, conn: Connection) -> None:
        """Send what is left of an answer, then wait for the next request or end the connection."""
        if conn.outlet.is_pending:
            self.watch(conn, conn.outlet.patience(), to_send=True)
            self.count(conn)
        elif conn.is_kept:
            self.watch(conn, RECEIVE_SECONDS if conn.received.data else self.cfg.keepalive)
            self.proceed(conn)
        else:
            self.linger(conn)

    def on_writable(self, conn: Connection, _socket: object = None) -> None:
        """Send what the client takes of an answer."""
        try:
            done = conn.outlet.flush()
        except OSError:
            self.drop(conn)
            return
        self.count(conn)
        if done and conn in self.watched:
            self.unwatch(conn)
            self.settle(conn)

    def refuse(self, conn: Connection, status: int) -> None:
        """Answer a request that no thread gets, and end its connection."""
        from authsvc.server.errors import refuse  # noqa: PLC0415  it loads the application's part, after the fork

        conn.is_kept = False
        refuse(conn.outlet, status)
        conn.received.data.clear()
        self.settle(conn)

    def linger(self, conn: Connection) -> None:
        """Hang up so that the client gets the last answer whole: what it still sends would reset the connection."""
        conn.is_lingering = True
        conn.received.data.clear()
        try:
            conn.outlet.sock.shutdown(socket.SHUT_WR)
            self.watch(conn, LINGER_SECONDS)
        except (OSError, ValueError):  # the client has hung up, or a thread has closed the socket after a failure
            self.drop(conn)
        else:
            self.count(conn)

    def drop(self, conn: Connection) -> None:
        """Close a connection."""
        if conn in self.watched:
            self.unwatch(conn)
        self.nr_conns -= 1
        self.held -= conn.held
        conn.close()

    def evict(self) -> bool:
        """Close the connection that has been waited for the longest; tell whether there was one."""
        oldest = next(iter(self.watched), None)
        if oldest is not None:
            self.drop(oldest)
        return oldest is not None

    def count(self, conn: Connection) -> None:
        """Note how much memory a connection holds; where all hold too much, close the one that holds the most."""
        before, conn.held = conn.held, conn.memory()
        self.held += conn.held - before
        while self.held > MEMORY_LIMIT and self.watched:
            self.drop(max(self.watched, key=lambda watched: watched.held))

    def murder_pending(self) -> None:
        """Close what is overdue. gunicorn's main loop calls it after each wait, which ends after a second at most."""
        now = time.monotonic()
        if now - self.swept < SWEEP_SECONDS:
            return
        self.swept = now
        if not self.alive:
            self.stopped = self.stopped or now
            for conn in self.watched:
                if conn.is_kept and not conn.received.data and not conn.outlet.is_pending:
                    conn.deadline = min(conn.deadline, self.stopped + STOP_KEEPALIVE_LINGER)
        for conn in [conn for conn in self.watched if conn.deadline <= now]:
            self.expire(conn)
        for lane in self.lanes:
            for conn in lane.overdue():
                self.refuse(conn, 503)

    def _keepalive_after(self, conn: Connection, keepalive: bool) -> bool:
        """Skip what no view has read of a body. It is here already, so gunicorn's bounds of it need not hold."""
        return keepalive and (not conn.framing.has_body or bool(conn.parser.finish_body()))

    def expire(self, conn: Connection) -> None:
        """End a wait: by 408 for a request that has begun, without a word for a client that is silent."""
        if conn.received.data and not conn.outlet.is_pending:
            self.unwatch(conn)
            self.refuse(conn, 408)
        else:
            self.drop(conn)


def is_verification(conn: Connection) -> bool:
    """Tell whether a request is for forward auth, which reads no body and so waits for none."""
    return method_and_path(conn.received.data)[1].startswith(VERIFY)
