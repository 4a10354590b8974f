"""A TCP proxy in front of a database, that a test cuts, mutes and restores."""

from __future__ import annotations

import contextlib
import socket
import threading
from types import TracebackType


class Proxy:
    """Forwards connections to an address, until it is cut, muted or swallows what comes.

    Cut, it refuses and resets; muted, it accepts and never answers; swallowing, it does so on the open connections too.
    """

    def __init__(self, host: str, port: int) -> None:
        self.target, self.muted, self.swallows = (host, port), False, False
        self.sockets: list[socket.socket] = []
        self.listener = self.listen(0)
        self.port = int(self.listener.getsockname()[1])

    def __enter__(self) -> Proxy:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.cut()

    def listen(self, port: int) -> socket.socket:
        """Accept on a port, in a thread that ends when the listener is closed."""
        listener = socket.create_server(("127.0.0.1", port))
        threading.Thread(target=self.accept, args=(listener,), daemon=True).start()
        return listener

    def accept(self, listener: socket.socket) -> None:
        """Pair each connection with one to the target."""
        with contextlib.suppress(OSError):
            while True:
                near, _ = listener.accept()
                self.sockets.append(near)
                # Where the listener was closed meanwhile, all that was in the list was closed with it.
                (shut if listener.fileno() < 0 else self.pair)(near)

    def pair(self, near: socket.socket) -> None:
        """Pair a connection with one to the target."""
        if not self.muted:
            far = socket.create_connection(self.target)
            self.sockets.append(far)
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self.pump, args=(source, sink), daemon=True).start()

    def cut(self) -> None:
        """End every connection, and refuse new ones."""
        for one in (self.listener, *self.sockets):
            shut(one)
        self.sockets.clear()

    def mute(self) -> None:
        """End every connection; new ones are accepted and never answered, like those to a machine that hangs."""
        self.restore(muted=True)

    def swallow(self) -> None:
        """Drop whatever is sent, on open connections and new ones, like a network that loses each packet."""
        self.muted = self.swallows = True

    def restore(self, muted: bool = False) -> None:
        """Be as in the beginning."""
        self.cut()
        self.muted, self.swallows = muted, False
        self.listener = self.listen(self.port)

    def pump(self, source: socket.socket, sink: socket.socket) -> None:
        """Carry bytes one way until either side ends, and then end both."""
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if not self.swallows:
                    sink.sendall(data)
        shut(source)
        shut(sink)


def shut(one: socket.socket) -> None:
    """Close a socket, whatever its state; ``shutdown`` also wakes the thread that waits on it."""
    with contextlib.suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()
