"""A client's connection: what has arrived, and what the client has yet to take. Only ``Outlet._wait`` waits for it."""

from __future__ import annotations

import errno
import os
import select
import socket
import time
from collections import deque
from typing import Any

from gunicorn.http.parser import RequestParser
from gunicorn.http.unreader import Unreader
from gunicorn.workers.gthread import TConn

from authsvc.server.framing import Framing, Progress

READ = 64 * 1024  # bytes that are taken from a socket at once
PIECE = 8192  # bytes that gunicorn's parser gets at once; it copies what it has at each step
PENDING_LIMIT = 1024 * 1024  # bytes of an answer that are kept for a slow client; more, and its thread waits
STALL_SECONDS = 10.0  # how long a thread waits, in all, for a client to take what is over PENDING_LIMIT
SLOWEST = 16 * 1024  # bytes a second that a client must take of an answer
FILE = tuple[int, int, int]  # a descriptor, where to go on in its file, and how many bytes


class Received(Unreader):  # type: ignore[misc]  # gunicorn has no annotations
    """The bytes of a connection in the place of its socket: at their end the parser meets the end of the stream."""

    def __init__(self) -> None:
        super().__init__()
        self.data = bytearray()

    def chunk(self, size_hint: int | None = None) -> bytes:
        """Return the next bytes, b"" where no more have arrived."""
        size = max(PIECE, size_hint or 0)
        piece = bytes(self.data[:size])
        del self.data[:size]
        return piece

    def restore(self) -> None:
        """Put back what the parser has read ahead of the next request."""
        if ahead := self.take_buffered():
            self.data[:0] = ahead


class Outlet:
    """A socket that takes an answer at once; what its client is too slow for is kept and sent by ``flush``."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.must_close = False  # after the next answer, since the rest of its request is not waited for
        self.cut_short = False  # whether that is because its body is too large
        self.arrived = 0.0  # time.monotonic() at which the request that is being answered was complete
        self.size = 0  # bytes that are kept; files are not
        self._pending: deque[bytes | FILE] = deque()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.sock, name)

    def setblocking(self, flag: bool) -> None:
        """Ignore it: gunicorn makes a socket block for its threads."""

    def sendall(self, data: bytes) -> None:
        """Send data, or keep it. Raises OSError where the client has gone or stalls."""
        sent = 0 if self.is_pending else self._send(data)
        if sent < len(data):
            self._pending.append(bytes(data[sent:]))
            self.size += len(data) - sent
            if self.size > PENDING_LIMIT:
                self._wait()

    def sendfile(self, file: Any, offset: int = 0, count: int | None = None) -> int:
        """Send a part of a file, or keep a descriptor of it. Raises OSError where the client has gone."""
        count = os.fstat(file.fileno()).st_size - offset if count is None else count
        self._pending.append((os.dup(file.fileno()), offset, count))
        self.flush()
        return count

    @property
    def is_pending(self) -> bool:
        """Whether the client has yet to take something."""
        return bool(self._pending)

    def flush(self) -> bool:
        """Send what the client takes now; tell whether that was all. Raises OSError where it has gone."""
        while self._pending:
            piece = self._pending[0]
            if isinstance(piece, bytes):
                sent = self._send(piece)
                self.size -= sent
                rest: bytes | FILE | None = piece[sent:] or None
            else:
                sent, rest = self._send_file(*piece)
            if rest is None:
                self._pending.popleft()
                continue
            self._pending[0] = rest
            if not sent:
                return False
        return True

    def patience(self) -> float:
        """Return how many seconds the client has for what is pending."""
        files = sum(piece[2] for piece in self._pending if not isinstance(piece, bytes))
        return STALL_SECONDS + (self.size + files) / SLOWEST

    def discard(self) -> None:
        """Forget what is pending."""
        for piece in self._pending:
            if not isinstance(piece, bytes):
                os.close(piece[0])
        self._pending.clear()
        self.size = 0

    def _send(self, data: bytes) -> int:
        try:
            return self.sock.send(data)
        except BlockingIOError:
            return 0

    def _send_file(self, descriptor: int, offset: int, count: int) -> tuple[int, FILE | None]:
        try:
            sent = os.sendfile(self.sock.fileno(), descriptor, offset, count) if count else 0
        except BlockingIOError:
            return 0, (descriptor, offset, count)
        if sent in {0, count}:  # a file may have become shorter
            os.close(descriptor)
            return sent, None
        return sent, (descriptor, offset + sent, count - sent)

    def _wait(self) -> None:
        end, poll = time.monotonic() + STALL_SECONDS, select.poll()
        poll.register(self.sock, select.POLLOUT)
        self.flush()
        while self.size > PENDING_LIMIT:
            if not poll.poll(max(0.0, end - time.monotonic()) * 1000):
                self.discard()
                raise BrokenPipeError(errno.EPIPE, "the client takes no answer")
            self.flush()


class Connection(TConn):  # type: ignore[misc]  # as above
    """A connection between its requests, and the request that is arriving on it."""

    def __init__(self, cfg: Any, sock: socket.socket, client: Any, server: Any) -> None:
        super().__init__(cfg, sock, client, server)
        self.sock = self.outlet = Outlet(sock)
        self.received = Received()
        self.parser = RequestParser(cfg, (), client)
        self.parser.unreader = self.received
        self.initialized = self.data_ready = True
        self.deadline = 0.0  # time.monotonic() by which the client has to do what is waited for
        self.held = 0  # bytes of memory that the worker has counted for it
        self._poll = select.poll()
        self._poll.register(sock, select.POLLIN)
        self.lane: Any = None  # whose threads answer the request
        self.is_kept = True  # whether another request may follow
        self.is_lingering = False  # whether only the client's end of it is waited for
        self.lingered = 0  # bytes that came meanwhile
        self.begin()

    def begin(self) -> None:
        """Expect a request; a part of it may be here."""
        self.received.restore()
        self.parser.mesg = None  # the one that is answered: its body has been read
        self.framing, self.continued = Framing(), False

    def receives(self, milliseconds: int) -> bool:
        """Wait for the client to send something, and tell whether it has."""
        return bool(self._poll.poll(milliseconds))

    def take(self) -> bool:
        """Take what has arrived; tell whether the client may send more. Raises OSError where it has gone."""
        try:
            data = self.outlet.sock.recv(READ)
        except BlockingIOError:
            return True
        self.received.data += data
        return bool(data)

    def progress(self) -> Progress:
        """Return what is known of the request, and ask for its body where the client waits to be asked."""
        if not self.received.data:
            return Progress.INCOMPLETE
        found = self.framing.progress(self.received.data)
        if found is Progress.INCOMPLETE and self.framing.expects_continue and not self.continued:
            self.continued = True
            self.outlet.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        return found

    def memory(self) -> int:
        """Return how many bytes it holds."""
        return len(self.received.data) + self.outlet.size

    def close(self, graceful: bool = False) -> None:
        """Close it now; the worker has lingered where that was due."""
        self.outlet.discard()
        super().close()
